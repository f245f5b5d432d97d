"""Engines beside llama.cpp, and models that do not fit."""

import re
import shutil
import urllib.request

import openai
import pytest

from local.stack import CHAT, Stack, wait_for
from local.tiny_models import MEAN, RANK, write_bert


@pytest.mark.parametrize("engine", ["vllm", "ollama"])
def test_an_engine_that_is_not_installed_is_named(stack: Stack, engine: str):
    assert shutil.which(engine, path="/usr/bin:/bin") is None
    stack.write(CHAT.replace("  replicas: 1\n", f"  replicas: 1\n  engine: {engine}\n"))
    done = stack.bateau("up", "-C", str(stack.specs), "--detach", "--listen", f":{stack.port}", PATH="/usr/bin:/bin")
    assert done.code == 3
    assert f"there is no program `{engine}` on PATH" in done.err
    assert "Traceback" not in done.err


def test_embeddings_and_ranks_come_from_the_models_made_for_them(stack: Stack):
    """A5: a reranker was Ready, answered 501 to /v1/rerank, and 200 with zeros to /v1/embeddings. C5, C6, C7, C14."""
    (stack.specs / "chat.yaml").unlink()
    for name, pooling in (("embed", MEAN), ("rank", RANK)):
        write_bert(stack.specs / f"{name}.gguf", pooling=pooling)
        stack.write(
            f"apiVersion: bateau.dev/v1alpha1\nkind: Model\nmetadata: {{name: {name}}}\n"
            f"spec: {{source: ./{name}.gguf, parallel: 1}}\n",
            f"{name}.yaml",
        )
    done = stack.up()
    assert done.code == 0, done.err
    assert '/v1/embeddings -H content-type:application/json -d \'{"model":"embed","input":"hi"}\'' in done.out
    query = {"query": "a b c", "documents": ["a b", "x y z"]}
    found = stack.post("/v1/rerank", {"model": "rank", **query})
    assert [abs(each["relevance_score"]) > 1e-6 for each in found["results"]] == [True, True]
    # Longer than the default batch of llama.cpp, in which it has to be as a whole.
    found = stack.post("/v1/embeddings", {"model": "embed", "input": "a " * 600})
    assert found["usage"]["prompt_tokens"] == 602
    assert sum(number * number for number in found["data"][0]["embedding"]) == pytest.approx(1.0)
    for name, path, says in (
        ("rank", "/v1/embeddings", "ranks documents: send requests to /v1/rerank."),
        ("embed", "/v1/chat/completions", "creates embeddings: send requests to /v1/embeddings."),
    ):
        refused = stack.post(path, {"model": name, "input": "a", "messages": [{"role": "user", "content": "a"}]})
        assert refused["error"]["code"] == "unsupported_by_model"
        assert refused["error"]["message"] == f'The model "{name}" {says}'


def test_the_reason_for_an_abort_is_shown_and_no_backtrace(stack: Stack):
    """A14: `status` showed ten lines of a debugger."""
    write_bert(stack.specs / "bad.gguf", pooling=MEAN, doubled_token=True)
    stack.write(
        "apiVersion: bateau.dev/v1alpha1\nkind: Model\nmetadata: {name: chat}\n"
        "spec: {source: ./bad.gguf, parallel: 1}\n"
    )
    assert stack.up().code == 3
    shown = wait_for(lambda: (text := stack.bateau("status").out) and "SIGABRT" in text and text)
    assert "GGML_ASSERT(id_to_token.size() == token_to_id.size()) failed" in shown
    assert "__libc_start" not in shown
    assert "GGML_ASSERT" in stack.replicas()[0]["lastLog"][-1]


def test_an_external_api_answers_under_its_name_here(stack: Stack, running: Stack):
    stack.write(
        "apiVersion: bateau.dev/v1alpha1\nkind: Model\nmetadata: {name: remote}\n"
        f"spec: {{engine: external, source: '{running.url}/v1', external: {{model: chat}}}}\n"
    )
    assert stack.up().code == 0
    with openai.OpenAI(base_url=f"{stack.url}/v1", api_key="none", max_retries=0) as client:
        answer = client.chat.completions.create(
            model="remote", messages=[{"role": "user", "content": "hi"}], max_tokens=4
        )
    assert answer.model == "chat"
    assert answer.usage is not None and answer.usage.completion_tokens == 4


def test_a_model_that_cannot_fit_is_refused_with_both_figures_and_hinders_no_other(stack: Stack):
    stack.write(
        "apiVersion: bateau.dev/v1alpha1\nkind: Model\nmetadata: {name: huge}\n"
        "spec: {source: smollm2, contextLength: 100000000}\n",
        "huge.yaml",
    )
    done = stack.up()
    assert done.code == 3
    assert "a replica of huge needs about" in done.err
    assert "this machine has" in done.err
    assert stack.pids("model/chat")


def test_a_long_prompt_is_read_in_parts_and_other_streams_go_on_between_them(stack: Stack):
    """llama.cpp looks at other requests between two calls of llama_decode only."""
    stack.write(CHAT.replace("contextLength: 512", "contextLength: 2048"))
    assert stack.up().code == 0
    before = decodes(stack)
    answer = stack.post("/v1/completions", {"model": "chat", "prompt": "boat river " * 700, "max_tokens": 1})
    assert answer["usage"]["prompt_tokens"] > 1200
    assert decodes(stack) - before >= 3


def decodes(stack: Stack) -> float:
    with urllib.request.urlopen(f"{stack.url}/metrics", timeout=30) as answer:
        page = answer.read().decode()
    return sum(float(value) for value in re.findall(r"^bateau_model_decodes_total\{.*\} (\S+)$", page, re.MULTILINE))
