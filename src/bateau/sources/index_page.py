"""Read the page of a package index about one project.

Called by sources.pypi. Source: the simple repository API (PEP 503 for HTML, PEP 592 for yanked files, PEP 691 for
JSON).

Invariant: a page in neither form is an error. Missing facts about a file are never guessed. Held by
tests/sources/test_index_page.py.
"""

import json
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urldefrag, urljoin

from bateau.domain.errors import SourceError
from bateau.kit.json_value import object_at
from bateau.sources.page import Page

_JSON: Final = "application/vnd.pypi.simple.v1+json"
_HTML: Final = ("application/vnd.pypi.simple.v1+html", "text/html")
ACCEPT: Final = f"{_JSON}, {_HTML[0]};q=0.2, {_HTML[1]};q=0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexFile:
    """One file of a project. `size_bytes` and `sha256` are None if the index does not promise them."""

    file_name: str
    url: str
    sha256: str | None
    size_bytes: int | None
    is_yanked: bool


def project_url(index: str, name: str) -> str:
    """Return the URL of a project's page (PEP 503 normalises the name).

    >>> project_url("https://pypi.org/simple", "Tiny.Model")
    'https://pypi.org/simple/tiny-model/'
    """
    return f"{index.rstrip('/')}/{re.sub(r'[-_.]+', '-', name).lower()}/"


def index_files(page: Page, *, says: str) -> list[IndexFile]:
    """Return the files that a page lists. Raises SourceError if it is not a page of an index."""
    media_type = page.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    try:
        if media_type == _JSON:
            return _from_json(page)
        if media_type in _HTML:
            return _from_html(page)
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{says}: the answer is not an index page") from error
    raise SourceError(f"{says}: the answer is not an index page, its content type is {media_type or 'missing'}")


def _from_json(page: Page) -> list[IndexFile]:
    items = object_at(json.loads(page.body))["files"]
    if not isinstance(items, list):
        raise TypeError("`files` is not a list")
    files: list[IndexFile] = []
    for item in items:
        if not isinstance(item, dict):
            raise TypeError("an item of `files` is not an object")
        url, fragment = urldefrag(urljoin(page.url, str(item["url"])))
        size = item.get("size")
        files.append(
            IndexFile(
                file_name=str(item["filename"]),
                url=url,
                sha256=_sha256(object_at(item, "hashes").get("sha256")) or _promised(fragment),
                size_bytes=size if isinstance(size, int) and not isinstance(size, bool) else None,
                is_yanked=bool(item.get("yanked", False)),
            )
        )
    return files


def _from_html(page: Page) -> list[IndexFile]:
    reader = _Links()
    reader.feed(page.body.decode("utf-8", "replace"))
    reader.close()
    base = urljoin(page.url, reader.base)
    files: list[IndexFile] = []
    for attributes, text in reader.links:
        url, fragment = urldefrag(urljoin(base, attributes.get("href") or ""))
        files.append(
            IndexFile(
                file_name=text.strip(),
                url=url,
                sha256=_promised(fragment),
                size_bytes=None,
                is_yanked="data-yanked" in attributes,
            )
        )
    return files


class _Links(HTMLParser):
    """Collects the anchors of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.base = ""
        self.links: list[tuple[dict[str, str | None], str]] = []
        self._in_link = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "base":
            self.base = self.base or dict(attrs).get("href") or ""
        elif tag == "a":
            self.links.append((dict(attrs), ""))
            self._in_link = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._in_link = False

    def handle_data(self, data: str) -> None:
        if self._in_link:
            attributes, text = self.links[-1]
            self.links[-1] = (attributes, text + data)


def _promised(fragment: str) -> str | None:
    """Return the sha256 that the fragment of a link promises (PEP 503)."""
    match = re.fullmatch(r"sha256=(.*)", fragment)
    return _sha256(match[1]) if match else None


def _sha256(text: object) -> str | None:
    return text.lower() if isinstance(text, str) and re.fullmatch(r"[0-9A-Fa-f]{64}", text) else None
