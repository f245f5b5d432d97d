"""OpenAI's client for Python."""

from concurrent.futures import ThreadPoolExecutor

import openai
from suite import KEY, PARALLEL, QUESTION, URL, WRONG_KEY, quick, raised, run

MESSAGES = [{"role": "user", "content": QUESTION}]


def client(key=KEY):
    return openai.OpenAI(base_url=f"{URL}/v1", api_key=key, max_retries=0)


def ask(**more):
    return client().chat.completions.create(**{"model": "chat", "messages": MESSAGES, "max_tokens": 8, **more})


def chat():
    answer = ask()
    assert answer.choices[0].message.content
    assert answer.usage.completion_tokens == 8


def stream():
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))
    assert "".join(each.choices[0].delta.content or "" for each in chunks if each.choices)
    assert chunks[-1].usage.completion_tokens == 8


def responses():
    events = list(client().responses.create(model="chat", input=QUESTION, max_output_tokens=8, stream=True))
    assert events[-1].type == "response.completed"
    assert client().responses.create(model="chat", input=QUESTION, max_output_tokens=8).output_text


def tools():
    function = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
    answer = ask(
        tools=[{"type": "function", "function": function}],
        tool_choice={"type": "function", "function": {"name": "weather"}},
        max_tokens=40,
    )
    assert answer.choices[0].message.tool_calls or answer.choices[0].message.content


def schema():
    wanted = {"type": "object", "properties": {"answer": {"type": "boolean"}}, "required": ["answer"]}
    form = {"type": "json_schema", "json_schema": {"name": "yes_or_no", "schema": wanted}}
    assert '"answer"' in ask(response_format=form, max_tokens=30).choices[0].message.content


def cancel():
    for _ in range(4):
        answer = ask(stream=True, max_tokens=1000)
        next(iter(answer))
        answer.close()
    quick(ask)


def unknown_model():
    error = raised(openai.NotFoundError, lambda: ask(model="nope"))
    assert error.code == "model_not_found"


def wrong_key():
    raised(openai.AuthenticationError, lambda: client(WRONG_KEY).models.list().data)


def embeddings():
    found = client().embeddings.create(model="embed", input=["a b", "c d"])
    assert len(found.data) == 2
    assert len(found.data[0].embedding) > 1
    raised(openai.BadRequestError, lambda: ask(model="embed"))


def messages():
    error = raised(openai.BadRequestError, lambda: ask(messages=[]))
    assert (error.code, error.param) == ("empty_array", "messages")
    error = raised(openai.BadRequestError, lambda: ask(messages=[{"role": "alien", "content": "hi"}]))
    assert (error.code, error.type) == ("invalid_value", "invalid_request_error")
    error = raised(openai.NotFoundError, lambda: client().post("/nope", body={"model": "chat"}, cast_to=object))
    assert error.code == "unknown_path"


def parallel():
    with ThreadPoolExecutor(PARALLEL) as pool:
        assert all(each.choices for each in pool.map(lambda _: ask(), range(PARALLEL)))


def names():
    assert {each.id for each in client().models.list()} == {"chat", "embed", "rank", "gpt-4o-mini"}
    assert ask(model="gpt-4o-mini").choices


run({
    "chat": chat, "stream": stream, "responses": responses, "tools": tools, "schema": schema, "cancel": cancel,
    "unknown_model": unknown_model, "wrong_key": wrong_key, "embeddings": embeddings, "parallel": parallel,
    "names": names, "messages": messages,
})  # fmt: skip
