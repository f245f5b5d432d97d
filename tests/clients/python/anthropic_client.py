"""Anthropic's client for Python."""

from concurrent.futures import ThreadPoolExecutor

import anthropic
from suite import KEY, PARALLEL, QUESTION, URL, WRONG_KEY, quick, raised, run

MESSAGES = [{"role": "user", "content": QUESTION}]


def client(key=KEY):
    return anthropic.Anthropic(base_url=URL, api_key=key, max_retries=0)


def ask(**more):
    return client().messages.create(**{"model": "chat", "messages": MESSAGES, "max_tokens": 8, **more})


def chat():
    answer = ask()
    assert answer.content[0].text
    assert answer.usage.output_tokens == 8


def stream():
    with client().messages.stream(model="chat", messages=MESSAGES, max_tokens=8) as events:
        assert "".join(events.text_stream)
        assert events.get_final_message().usage.output_tokens == 8


def count_tokens():
    assert client().messages.count_tokens(model="chat", messages=MESSAGES).input_tokens > 3


def cancel():
    for _ in range(4):
        with client().messages.stream(model="chat", messages=MESSAGES, max_tokens=1000) as events:
            next(iter(events.text_stream))
    quick(ask)


def unknown_model():
    assert "chat" in str(raised(anthropic.NotFoundError, lambda: ask(model="nope")))


def wrong_key():
    error = raised(anthropic.AuthenticationError, lambda: client(WRONG_KEY).messages.create(
        model="chat", messages=MESSAGES, max_tokens=8
    ))  # fmt: skip
    assert error.body["error"]["type"] == "authentication_error"


def messages():
    for wrong in ([], [{"role": "alien", "content": "hi"}], [{"role": "system", "content": "hi"}]):
        error = raised(anthropic.BadRequestError, lambda wrong=wrong: client().messages.create(
            model="chat", messages=wrong, max_tokens=8
        ))  # fmt: skip
        assert error.body["error"]["type"] == "invalid_request_error"


def parallel():
    with ThreadPoolExecutor(PARALLEL) as pool:
        assert all(each.content for each in pool.map(lambda _: ask(), range(PARALLEL)))


run({
    "chat": chat, "stream": stream, "count_tokens": count_tokens, "cancel": cancel, "unknown_model": unknown_model,
    "wrong_key": wrong_key, "messages": messages, "parallel": parallel,
})  # fmt: skip
