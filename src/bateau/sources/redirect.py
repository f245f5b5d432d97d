"""Ask for a URL and follow where the answer points to, safely.

Called by download and registry, for every request of theirs. Source: RFC 9110, 15.4.

Invariant: no request leaves for plain http on another machine, credentials stay with the origin they are for, and a
URL that is written correctly is sent as it is written: signatures are over its bytes.
Refused: the redirects of aiohttp; it asks first, and the target can be judged only afterwards.
"""

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bateau.domain.errors import SourceError
from bateau.sources.http import refuse_plain_http, shown, without_credentials

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession
    from yarl import URL

REDIRECTS_MAX = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_WRITTEN_CORRECTLY = re.compile(r"(?:[!-$&-~]|%[0-9A-Fa-f]{2})+")


@asynccontextmanager
async def answer(
    http: "ClientSession", url: str, *, headers: Mapping[str, str], params: Mapping[str, str] | None = None
) -> "AsyncGenerator[ClientResponse]":
    """Yield the answer to GET `url`, with `params` added to its query, after all redirects.

    Raises SourceError for redirects that cannot be followed, and what aiohttp raises.
    """
    target = _url(url)
    if params:
        target = target.update_query(params)
    headers = dict(headers)
    for _ in range(REDIRECTS_MAX + 1):
        refuse_plain_http(str(target))
        async with http.get(target, headers=headers, allow_redirects=False) as response:
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or not location:
                yield response
                return
        target, headers = _next(target, location, headers)
    raise SourceError(f"{shown(url)} redirects more than {REDIRECTS_MAX} times")


def _next(target: "URL", location: str, headers: dict[str, str]) -> tuple["URL", dict[str, str]]:
    bare, own = without_credentials(location)
    after = target.join(_url(bare))
    if after.scheme not in {"http", "https"} or not after.host:
        raise SourceError(f"{shown(str(target))} redirects to {shown(str(after))}, which is no http URL")
    if after.origin() != target.origin():
        headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
    return after, headers | own


def _url(text: str) -> "URL":
    from yarl import URL

    try:
        url = URL(text, encoded=_WRITTEN_CORRECTLY.fullmatch(text) is not None)
        _ = url.host, url.port  # what is taken as it is written is otherwise judged only when it is used
    except ValueError as error:
        raise SourceError(f"{shown(text)} is no URL: {error}") from error
    return url
