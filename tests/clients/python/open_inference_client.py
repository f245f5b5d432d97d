"""NVIDIA's client for the Open Inference Protocol, version 2, over HTTP, with binary tensors and without."""

from concurrent.futures import ThreadPoolExecutor

import numpy
import tritonclient.http as inference
from suite import KEY, PARALLEL, QUESTION, URL, WRONG_KEY, raised, run
from tritonclient.utils import InferenceServerException

HEADERS = {"authorization": f"Bearer {KEY}"}


def client():
    return inference.InferenceServerClient(URL.removeprefix("http://"), concurrency=PARALLEL)


def ask(texts, model="chat", headers=HEADERS, *, binary=True, output="text_output", **more):
    values = numpy.array([text.encode() for text in texts], dtype=object)
    tensor = inference.InferInput("text_input", [len(texts)], "BYTES")
    tensor.set_data_from_numpy(values, binary_data=binary)
    wanted = inference.InferRequestedOutput(output, binary_data=binary)
    return client().infer(model, [tensor], outputs=[wanted], headers=dict(headers), **more).as_numpy(output)


def chat():
    for binary in (True, False):
        found = ask([QUESTION, "Hello"], binary=binary, parameters={"max_tokens": 8})
        assert found.shape == (2,)
        assert all(found)


def health():
    assert client().is_server_live(headers=HEADERS)
    assert client().is_server_ready(headers=HEADERS)
    assert client().is_model_ready("chat", headers=HEADERS)
    assert client().get_server_metadata(headers=HEADERS)["name"] == "bateau"
    assert client().get_model_metadata("embed", headers=HEADERS)["outputs"][0]["datatype"] == "FP32"


def unknown_model():
    error = raised(InferenceServerException, lambda: ask(["a"], model="nope"))
    assert "chat" in error.message()
    assert not client().is_model_ready("nope", headers=HEADERS)


def wrong_key():
    raised(InferenceServerException, lambda: ask(["a"], headers={"authorization": f"Bearer {WRONG_KEY}"}))


def embeddings():
    for binary in (True, False):
        found = ask(["a b", "c d"], model="embed", binary=binary, output="embedding")
        assert found.shape[0] == 2
        assert abs(float((found[0] ** 2).sum()) - 1) < 1e-3


def rank():
    pairs = {"query": ["a b"] * 3, "document": ["a", "c d", "b"]}
    for binary in (True, False):
        tensors = [inference.InferInput(name, [len(texts)], "BYTES") for name, texts in pairs.items()]
        for tensor, texts in zip(tensors, pairs.values(), strict=True):
            tensor.set_data_from_numpy(numpy.array([text.encode() for text in texts], dtype=object), binary_data=binary)
        wanted = inference.InferRequestedOutput("score", binary_data=binary)
        found = client().infer("rank", tensors, outputs=[wanted], headers=dict(HEADERS)).as_numpy("score")
        assert found.shape == (3,)
        assert len(set(found.tolist())) > 1


def parallel():
    with ThreadPoolExecutor(PARALLEL) as pool:
        list(pool.map(lambda _: ask(["Hello"], parameters={"max_tokens": 2}), range(PARALLEL)))


run({
    "chat": chat, "health": health, "unknown_model": unknown_model, "wrong_key": wrong_key, "embeddings": embeddings,
    "rank": rank, "parallel": parallel,
})  # fmt: skip
