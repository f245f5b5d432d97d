"""Ask for embeddings, and cut the texts that are longer than the context of the model, as Ollama does.

Called by traffic.translator.ollama. Sources: Ollama's API reference, "Generate embeddings"; llama.cpp's server, whose
embeddings take the tokens of a text in its place, and whose `/tokenize` returns them.

Only the engine counts tokens, so a text is cut after the engine has refused it. Texts of other engines are not cut.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiohttp import web

from bateau.kit.json_value import JsonObject, array_at
from bateau.traffic.translator.gateway import Gateway, Refused

# The largest number of tokens of a text, in the messages of the native filter and in two messages of llama.cpp.
_MOST: Final = re.compile(
    r"context of the model, .*is (\d+) tokens|\(current batch size: (\d+)\)|available context size \((\d+) tokens\)"
)


async def embedded(
    gateway: Gateway, caller: web.Request, asked: Mapping[str, Any], texts: Sequence[str], *, cut: bool
) -> JsonObject:
    """Return the answer to a request for the embeddings of texts; with `cut`, of their beginnings. Raises Refused."""
    try:
        return await gateway.post(caller, "/v1/embeddings", {**asked, "input": list(texts)})
    except Refused as refused:
        if (found := _MOST.search(refused.says)) is None:
            raise
        most = int(found[1] or found[2] or found[3])
    if not cut:
        raise Refused(f"an input is longer than the context of the model, which is {most} tokens")
    beginnings = await _beginnings(gateway, caller, str(asked["model"]), texts, most)
    return await gateway.post(caller, "/v1/embeddings", {**asked, "input": beginnings})


async def _beginnings(
    gateway: Gateway, caller: web.Request, model: str, texts: Sequence[str], most: int
) -> list[str | list[int]]:
    """Return texts, and the tokens of the beginnings of those that have more than `most`."""
    around = await _tokens(gateway, caller, model, "")
    found: list[str | list[int]] = []
    for text in texts:
        if len(text.encode()) + len(around) <= most:  # a token is a byte or more
            found.append(text)
            continue
        tokens = await _tokens(gateway, caller, model, text)
        found.append(text if len(tokens) <= most else beginning(tokens, around, most))
    return found


def beginning(tokens: Sequence[int], around: Sequence[int], most: int) -> list[int]:
    """Return the first tokens of a text, `most` with those that the model has `around` every text.

    >>> beginning([2, 5, 6, 7, 8, 3], [2, 3], 4)
    [2, 5, 6, 3]
    >>> beginning([5, 6, 7], [], 2)
    [5, 6]
    """
    before = next(
        (
            number
            for number in range(len(around), -1, -1)
            if list(tokens[:number]) == list(around[:number])
            and list(tokens[len(tokens) - (len(around) - number) :]) == list(around[number:])
        ),
        len(around),
    )
    after = list(around[before:])
    return [*tokens[: most - len(after)], *after]


async def _tokens(gateway: Gateway, caller: web.Request, model: str, text: str) -> list[int]:
    body = {"model": model, "content": text, "add_special": True}
    answer = await gateway.post(caller, "/tokenize", body)
    return [token for token in array_at(answer, "tokens") if isinstance(token, int)]
