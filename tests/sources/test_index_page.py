"""Pages of package indexes in both of their forms, and answers that are neither."""

import json

import pytest

from bateau.domain.errors import SourceError
from bateau.sources.index_page import index_files
from bateau.sources.page import Page

JSON = "application/vnd.pypi.simple.v1+json"


def page(media_type: str, body: str) -> Page:
    return Page(url="https://index/tiny/", status=200, headers={"Content-Type": media_type}, body=body.encode())


@pytest.mark.parametrize(
    ("media_type", "body"),
    [("application/json", "{}"), ("", "<html>"), (JSON, "<html>"), (JSON, "{}"), (JSON, '{"files": [{}]}')],
)
def test_a_page_of_neither_form_is_an_error(media_type: str, body: str) -> None:
    with pytest.raises(SourceError, match="tiny: the answer is not an index page"):
        index_files(page(media_type, body), says="tiny")


def test_a_promise_that_is_absent_is_not_guessed() -> None:
    entry: dict[str, object] = {"filename": "tiny-1-py3-none-any.whl", "url": "tiny-1-py3-none-any.whl", "hashes": {}}
    (of_json,) = index_files(page(JSON, json.dumps({"files": [entry]})), says="tiny")
    (of_html,) = index_files(page("text/html", f"<a href='{entry['url']}'>{entry['filename']}</a>"), says="tiny")
    for found in (of_json, of_html):
        assert (found.file_name, found.sha256, found.size_bytes) == (entry["filename"], None, None)
