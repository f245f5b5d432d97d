"""Read a small answer completely into memory: a manifest, a listing, an index page, a bundle.

Called by sources.

Invariant: no answer takes more memory than its caller allows. Held by
tests/sources/test_pypi.py::test_no_more_of_a_page_is_read_than_is_allowed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bateau.domain.errors import SourceError
from bateau.kit.json_value import Json
from bateau.sources.redirect import answer, sent
from bateau.sources.session import Session

if TYPE_CHECKING:
    from aiohttp import ClientResponse

_CHUNK_BYTES = 1 << 20
_WRITTEN_BYTES_MAX = 1 << 16  # of an answer to a write, which has no content


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An answer. `url` is its URL after all redirects."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self, *, says: str) -> Json:
        """Return the body as JSON. Raises SourceError."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{says}: the answer is not JSON") from error


async def page(
    http: Session,
    url: str,
    *,
    says: str,
    headers: Mapping[str, str],
    params: Mapping[str, str] | None = None,
    head: bool = False,
    bytes_max: int,
) -> Page:
    """Return the answer to GET `url`, or with `head` to HEAD, whatever its status. Raises the SourceError family."""
    async with answer(http, url, says=says, headers=headers, params=params, head_of_origin=head) as response:
        return await _read(response, says=says, bytes_max=bytes_max)


async def written(
    http: Session, method: str, url: str, *, says: str, headers: Mapping[str, str], data: bytes = b""
) -> Page:
    """Return the answer to a request that writes `data`, whatever its status. Raises the SourceError family."""
    async with sent(http, method, url, says=says, headers=headers, data=data) as response:
        return await _read(response, says=says, bytes_max=_WRITTEN_BYTES_MAX)


async def _read(response: "ClientResponse", *, says: str, bytes_max: int) -> Page:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise SourceError(f"{says}: the server sends a compressed answer, although the request forbids it")
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > bytes_max:
            raise SourceError(f"{says}: the answer is larger than {bytes_max} bytes")
    return Page(url=str(response.url), status=response.status, headers=response.headers, body=bytes(body))
