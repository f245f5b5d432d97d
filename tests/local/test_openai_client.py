"""The OpenAI Python client, unmodified, against the real gateway and the real model."""

from collections.abc import Iterator

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from local.stack import Stack, wait_for

MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Why is the sky blue?"}]


@pytest.fixture
def client(running: Stack) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def test_chats(client: openai.OpenAI):
    answer = client.chat.completions.create(model="chat", messages=MESSAGES, max_tokens=12)
    assert answer.choices[0].message.content
    assert answer.model == "chat"
    assert answer.usage is not None and answer.usage.completion_tokens == 12


def test_streams_with_usage(client: openai.OpenAI):
    chunks = list(
        client.chat.completions.create(
            model="chat", messages=MESSAGES, max_tokens=12, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 12


def test_lists_models(client: openai.OpenAI):
    assert [model.id for model in client.models.list()] == ["chat"]
    assert client.models.retrieve("chat").id == "chat"


def test_cancelling_a_stream_frees_the_slot(client: openai.OpenAI, running: Stack):
    stream = client.chat.completions.create(model="chat", messages=MESSAGES, max_tokens=400, stream=True)
    next(iter(stream))
    assert _processing(running) == 1
    stream.close()
    wait_for(lambda: _processing(running) == 0, timeout_s=5)


def test_an_unknown_model_is_its_not_found_error_with_the_names_that_exist(client: openai.OpenAI):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="chta", messages=MESSAGES)
    assert caught.value.code == "model_not_found"
    assert '"chat"' in str(caught.value)


def test_a_request_without_a_model_is_its_bad_request_error(client: openai.OpenAI):
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/chat/completions", body={"messages": MESSAGES}, cast_to=object)
    assert caught.value.code == "missing_model"


def test_a_body_that_is_no_json_is_its_bad_request_error(client: openai.OpenAI):
    with pytest.raises(openai.BadRequestError) as caught:
        client.post(
            "/chat/completions", content=b"{", options={"headers": {"content-type": "application/json"}}, cast_to=object
        )
    assert caught.value.code == "invalid_json"


def _processing(running: Stack) -> int:
    import urllib.request

    with urllib.request.urlopen(f"{running.url}/metrics") as response:
        text = response.read().decode()
    line = next(line for line in text.splitlines() if line.startswith("bateau_model_requests_processing{"))
    return int(float(line.rpartition(" ")[2]))
