"""LlamaIndex with its packages for endpoints like OpenAI's."""

from concurrent.futures import ThreadPoolExecutor

import openai
from llama_index.core.llms import ChatMessage
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike
from suite import KEY, PARALLEL, QUESTION, URL, WRONG_KEY, quick, raised, run

MESSAGES = [ChatMessage(role="user", content=QUESTION)]


def model(name="chat", key=KEY, tokens=8):
    return OpenAILike(
        model=name, api_base=f"{URL}/v1", api_key=key, is_chat_model=True, max_tokens=tokens, max_retries=0
    )


def chat():
    assert model().chat(MESSAGES).message.content


def stream():
    assert len([each for each in model().stream_chat(MESSAGES) if each.delta]) > 1


def cancel():
    for _ in range(4):
        next(iter(model(tokens=1000).stream_chat(MESSAGES)))
    quick(chat)


def unknown_model():
    raised(openai.NotFoundError, lambda: model("nope").chat(MESSAGES))


def wrong_key():
    raised(openai.AuthenticationError, lambda: model(key=WRONG_KEY).chat(MESSAGES))


def embeddings():
    made = OpenAILikeEmbedding(model_name="embed", api_base=f"{URL}/v1", api_key=KEY, max_retries=0)
    assert len(made.get_text_embedding_batch(["a b", "c d"])) == 2


def parallel():
    with ThreadPoolExecutor(PARALLEL) as pool:
        assert all(each.message.content for each in pool.map(lambda _: model().chat(MESSAGES), range(PARALLEL)))


run({
    "chat": chat, "stream": stream, "cancel": cancel, "unknown_model": unknown_model, "wrong_key": wrong_key,
    "embeddings": embeddings, "parallel": parallel,
})  # fmt: skip
