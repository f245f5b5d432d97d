"""Call the JSON API of a forge: pages, rate limits, and the errors for HTTP statuses.

Called by sources.forge.github and sources.forge.gitlab.

Invariant: the token is sent in a header only, and to the forge's own address only. Redirects are not followed, and a
next page at another address is not requested. Held by tests/git/test_forges.py.
Invariant: a comment or a status is written once. Only a request that the forge has rejected is sent again. Held by
tests/git/test_forges.py::test_a_comment_that_may_have_been_written_is_not_sent_again.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from bateau.domain.errors import SourceDenied, SourceError, SourceNotFound, SourceUnreachable
from bateau.kit.json_value import Json, JsonObject, ReadObject
from bateau.sources.http import is_loopback, shown

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

PAGES_MAX: Final = 50
TIMEOUT_S: Final = 30.0
_FORBIDDEN, _TOO_MANY, _UNAVAILABLE = 403, 429, 503
_NEXT: Final = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?next"?')
_KINDS: Final[Mapping[int, type[SourceError]]] = {
    401: SourceDenied,
    403: SourceDenied,
    404: SourceNotFound,
    429: SourceUnreachable,
}


@dataclass(frozen=True, kw_only=True)
class Comments:
    """The paths of the comments of a pull request: `all` lists and creates them; `one`, ending in "/", precedes an id.

    `update` is the HTTP method that replaces a comment, `characters_max` the length limit of the forge.
    """

    all: str
    one: str
    query: str
    update: str
    characters_max: int


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """A forge's API at `url`, without a slash at the end. `wait_s_max` limits the wait for rate limits per request."""

    session: "ClientSession"
    url: str
    headers: Mapping[str, str] = field(repr=False)
    wait_s_max: float = 60.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
            raise SourceError(f"{shown(self.url)} would send the token without encryption", hint="use https")

    async def send(self, method: str, path: str, *, json: ReadObject | None = None) -> Json:
        """Return the answer's JSON. Raises the SourceError family."""
        answer, _ = await self._ask(method, self.url + path, json)
        return answer

    async def items(self, path: str) -> AsyncIterator[JsonObject]:
        """Yield the items of a list, page by page. Raises the SourceError family."""
        url: str | None = self.url + path
        for _ in range(PAGES_MAX):
            if url is None:
                return
            page, url = await self._ask("GET", url, None)
            if not isinstance(page, list):
                raise SourceError(f"{shown(self.url)}: the answer for {path} is not a list")
            for each in page:
                if isinstance(each, dict):
                    yield each

    async def write_pages(self, where: Comments, marker: str, pages: Sequence[str]) -> None:
        """Write the comments with `marker`, one per page. Existing ones are replaced, and surplus ones are deleted.

        Raises the SourceError family.
        """
        marks = [hidden(marker), *(hidden(f"{marker} page {number}") for number in range(2, len(pages) + 1))]
        ours = re.compile(re.escape(hidden(marker).removesuffix(" -->")) + r"(?: page \d+)? -->")
        found: dict[str, JsonObject] = {}
        stale: list[JsonObject] = []
        async for each in self.items(f"{where.all}?{where.query}"):
            match = None if each.get("system") else ours.match(str(each.get("body", "")))
            if match and match[0] in marks:
                found.setdefault(match[0], each)
            elif match:
                stale.append(each)
        for mark, page in zip(marks, pages, strict=True):
            body = shortened(f"{mark}\n{page}", where.characters_max)
            known = found.get(mark)
            if known is None:
                await self.send("POST", where.all, json={"body": body})
            elif known.get("body") != body:
                await self.send(where.update, f"{where.one}{self._id(known)}", json={"body": body})
        for each in stale:
            await self.send("DELETE", f"{where.one}{self._id(each)}")

    def _id(self, comment: ReadObject) -> int:
        if not isinstance(found := comment.get("id"), int):
            raise SourceError(f"{shown(self.url)}: the answer has a comment without an id")
        return found

    async def _ask(self, method: str, url: str, json: ReadObject | None) -> tuple[Json, str | None]:
        from aiohttp import ClientError, ClientTimeout

        waited_s = 0.0
        while True:
            try:
                async with self.session.request(
                    method,
                    url,
                    json=json,
                    headers=self.headers,
                    allow_redirects=False,
                    timeout=ClientTimeout(total=TIMEOUT_S),
                ) as answer:
                    if answer.status < 300:  # noqa: PLR2004 - success
                        # 204: a comment was deleted, and there is no body.
                        body: Json = await answer.json(content_type=None) if answer.status != 204 else None  # noqa: PLR2004
                        return body, self._next(answer)
                    error = await _refusal(answer, method, url)
                    pause_s = _pause_s(answer)
            except TimeoutError as caught:
                raise SourceUnreachable(f"{method} {shown(url)}: no answer within {TIMEOUT_S:.0f} s") from caught
            except (ClientError, OSError) as caught:
                raise SourceUnreachable(f"{method} {shown(url)}: {type(caught).__name__}") from caught
            except ValueError as caught:
                raise SourceError(f"{method} {shown(url)}: the answer is not JSON") from caught
            if pause_s is None:
                raise error
            waited_s += pause_s
            if waited_s > self.wait_s_max:
                hint = f"the forge asks to wait {pause_s:.0f} s; try again then"
                raise SourceUnreachable(f"{method} {shown(url)}: the rate limit is reached", hint=hint)
            await asyncio.sleep(pause_s)

    def _next(self, answer: "ClientResponse") -> str | None:
        found = _NEXT.search(answer.headers.get("Link", ""))
        if found is None:
            return None
        here, there = urlsplit(self.url), urlsplit(found[1])
        if (here.scheme, here.netloc) != (there.scheme, there.netloc):
            raise SourceError(
                f"{shown(self.url)} names {there.netloc} for its next page, but only the forge itself may have pages"
            )
        return found[1]


def _pause_s(answer: "ClientResponse") -> float | None:
    """Return the seconds that the forge asks to wait, or None if waiting does not help.

    GitHub answers 403 with Retry-After, or with no remaining requests until a time by its own clock (see `Date`).
    """
    if answer.status not in {_FORBIDDEN, _TOO_MANY, _UNAVAILABLE}:
        return None
    asked = answer.headers.get("Retry-After", "")
    if asked.isdecimal():
        return max(float(asked), 0.0)
    reset = answer.headers.get("X-RateLimit-Reset", answer.headers.get("RateLimit-Reset", ""))
    remaining = answer.headers.get("X-RateLimit-Remaining", answer.headers.get("RateLimit-Remaining"))
    if remaining == "0" and reset.isdecimal():
        try:
            now_s = parsedate_to_datetime(answer.headers.get("Date", "")).timestamp()
        except ValueError:
            return None
        return max(float(reset) - now_s, 0.0) + 1.0
    return None


async def _refusal(answer: "ClientResponse", method: str, url: str) -> SourceError:
    text = (await answer.content.read(4096)).decode("utf-8", "replace")
    told = re.search(r'"(?:message|error)"\s*:\s*"([^"]{1,200})', text)
    says = f"{method} {shown(url)}: HTTP {answer.status}{f', {told[1]}' if told else ''}"
    default = SourceUnreachable if answer.status >= 500 else SourceError  # noqa: PLR2004 - server errors
    hint = "the token must be allowed to write commit statuses and comments" if answer.status in {401, 403} else None
    return _KINDS.get(answer.status, default)(says, hint=hint)


def shortened(text: str, characters_max: int) -> str:
    """Return `text`, truncated if it is longer than the forge allows.

    >>> shortened("abcdef", 4)
    'abc…'
    """
    return text if len(text) <= characters_max else text[: characters_max - 1] + "…"


def hidden(marker: str) -> str:
    """Return the invisible line by which a comment is recognised later.

    >>> hidden("plan/prod")
    '<!-- bateau: plan/prod -->'
    """
    return f"<!-- bateau: {re.sub(r'[^A-Za-z0-9._/ -]|--+', '-', marker)} -->"
