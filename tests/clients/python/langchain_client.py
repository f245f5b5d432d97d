"""LangChain with its package for OpenAI."""

import openai
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from suite import KEY, PARALLEL, QUESTION, URL, WRONG_KEY, quick, raised, run


def model(name="chat", key=KEY, tokens=8):
    return ChatOpenAI(model=name, base_url=f"{URL}/v1", api_key=key, max_retries=0, max_tokens=tokens)


def chat():
    answer = model().invoke(QUESTION)
    assert answer.content
    assert answer.usage_metadata["output_tokens"] == 8


def stream():
    assert len([each for each in model().stream(QUESTION) if each.content]) > 1


def cancel():
    for _ in range(4):
        next(iter(model(tokens=1000).stream(QUESTION)))
    quick(chat)


def unknown_model():
    raised(openai.NotFoundError, lambda: model("nope").invoke(QUESTION))


def wrong_key():
    raised(openai.AuthenticationError, lambda: model(key=WRONG_KEY).invoke(QUESTION))


def embeddings():
    made = OpenAIEmbeddings(
        model="embed", base_url=f"{URL}/v1", api_key=KEY, check_embedding_ctx_length=False, max_retries=0
    )
    assert len(made.embed_documents(["a b", "c d"])) == 2


def parallel():
    assert len(model().batch([QUESTION] * PARALLEL)) == PARALLEL


run({
    "chat": chat, "stream": stream, "cancel": cancel, "unknown_model": unknown_model, "wrong_key": wrong_key,
    "embeddings": embeddings, "parallel": parallel,
})  # fmt: skip
