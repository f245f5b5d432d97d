"""Ollama's client for Python."""

from concurrent.futures import ThreadPoolExecutor

import ollama
from suite import KEY, PARALLEL, QUESTION, URL, WRONG_KEY, quick, raised, run

MESSAGES = [{"role": "user", "content": QUESTION}]
SHORT = {"num_predict": 8, "num_ctx": 2048}


def client(key=KEY):
    return ollama.Client(host=URL, headers={"authorization": f"Bearer {key}"})


def ask(**more):
    return client().chat(**{"model": "chat", "messages": MESSAGES, "options": SHORT, **more})


def chat():
    answer = ask()
    assert answer.message.content
    assert (answer.done, answer.done_reason, answer.eval_count) == (True, "length", 8)
    assert answer.prompt_eval_count > 3
    assert answer.total_duration > answer.eval_duration > 0


def stream():
    pieces = list(ask(stream=True))
    assert len(pieces) > 2
    assert "".join(each.message.content for each in pieces)
    assert [each.done for each in pieces] == [False] * (len(pieces) - 1) + [True]


def generate():
    assert client().generate("chat", QUESTION, system="Be brief.", options=SHORT).response
    assert client().generate("chat", QUESTION, raw=True, options=SHORT).done
    assert list(client().generate("chat", QUESTION, stream=True, options=SHORT))[-1].done
    assert client().generate("chat").done_reason == "load"


def schema():
    wanted = {"type": "object", "properties": {"answer": {"type": "boolean"}}, "required": ["answer"]}
    assert '"answer"' in ask(format=wanted, options={"num_predict": 30}).message.content


def tools():
    def weather(city: str) -> str:
        """Return the weather of a city."""
        return city

    call = {"function": {"name": "weather", "arguments": {"city": "Oslo"}}}
    answer = ask(tools=[weather], messages=[
        *MESSAGES,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "rain", "tool_name": "weather"},
    ])  # fmt: skip
    assert answer.message.content or answer.message.tool_calls


def cancel():
    for _ in range(4):
        next(iter(ask(stream=True, options={"num_predict": 1000})))
    quick(ask)


def unknown_model():
    error = raised(ollama.ResponseError, lambda: ask(model="nope"))
    assert (error.status_code, "chat" in error.error) == (404, True)
    assert raised(ollama.ResponseError, lambda: client().pull("nope")).status_code == 404
    assert raised(ollama.ResponseError, lambda: client().delete("chat")).status_code == 501


def wrong_key():
    assert raised(ollama.ResponseError, lambda: client(WRONG_KEY).list()).status_code == 401


def embeddings():
    found = client().embed("embed", ["a b", "c d"])
    assert len(found.embeddings) == 2
    assert found.prompt_eval_count > 3
    assert len(client().embeddings("embed", "a b").embedding) > 1
    assert raised(ollama.ResponseError, lambda: ask(model="embed")).status_code == 400
    long = "a b " * 2000
    assert client().embed("embed", long).prompt_eval_count == 1024
    error = raised(ollama.ResponseError, lambda: client().embed("embed", long, truncate=False))
    assert (error.status_code, "1024 tokens" in error.error) == (400, True)


def keep_alive():
    assert ask(keep_alive=0).message.content
    assert client().generate("chat", keep_alive="10m").done_reason == "load"
    error = raised(ollama.ResponseError, lambda: client().generate("chat", keep_alive=0))
    assert (error.status_code, "scale.idleAfter" in error.error) == (501, True)
    assert client().ps().models[0].expires_at.year == 2999


def parallel():
    with ThreadPoolExecutor(PARALLEL) as pool:
        assert all(each.message.content for each in pool.map(lambda _: ask(), range(PARALLEL)))


def names():
    assert {each.model for each in client().list().models} == {
        *("chat:latest", "embed:latest", "rank:latest", "gpt-4o-mini:latest")
    }
    assert {each.model for each in client().ps().models} >= {"chat:latest"}
    chat = next(each for each in client().list().models if each.model == "chat:latest")
    assert chat.size > 10_000_000
    assert len(chat.digest) == 64
    assert (chat.details.format, chat.details.family, chat.details.parameter_size) == ("gguf", "llama", "134.52M")
    assert client().show("embed:latest").capabilities == ["embedding"]
    assert client().show("chat").modelinfo["llama.context_length"] == 8192
    assert client().pull("chat").status == "success"
    assert ask(model="chat:latest").message.content


run({
    "chat": chat, "stream": stream, "generate": generate, "schema": schema, "tools": tools, "cancel": cancel,
    "unknown_model": unknown_model, "wrong_key": wrong_key, "embeddings": embeddings, "parallel": parallel,
    "names": names, "keep_alive": keep_alive,
})  # fmt: skip
