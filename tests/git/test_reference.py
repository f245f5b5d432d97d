"""References are parsed, and no part of them reaches git as an option."""

import pytest

from bateau.domain.errors import SourceError
from bateau.sources.git import GitReference, parse

SECRET = "t:p@ss"  # noqa: S105 - of this test


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("git+file:///srv/acme", GitReference(url="file:///srv/acme")),
        ("git+ssh://git@h.org:22/a.git@v1", GitReference(url="ssh://git@h.org:22/a.git", ref="v1")),
        ("git+https://t:p%40ss@h.org/a.git", GitReference(url="https://h.org/a.git", secret=SECRET)),
        ("git+file:///a%40b@main", GitReference(url="file:///a%40b", ref="main")),
    ],
)
def test_a_reference_is_taken_apart(text: str, expected: GitReference):
    assert parse(text) == expected
    assert "p@ss" not in expected.shown + repr(expected)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("git+https://h.org/a.git@--upload-pack=x", "`--upload-pack=x` is not the name of a branch, a tag or a commit"),
        ("git+ssh://-oProxyCommand=x/a.git", "does not have a host"),
        ("git+ssh://-l@h.org/a.git", "the name of the user is not valid"),
        ("git+ssh://git:hunter2@h.org/a.git", "has a password"),
        ("git+ext::sh -c id", "`ext` is not supported"),
        ("git+http://h.org/a.git", "is plain http"),
        ("git+https://h.org/", "does not name a repository"),
        ("git+https://h.org/a.git#subdirectory=../x", "is outside the repository"),
        ("git+https://h.org/a.git#sub=x", "the part after # is not valid"),
        ("git+https://h.org/a.git?x=hunter2", "has a query"),
        ("git+https://h.org:port/a.git", "is not a URL"),
        ("git+file://h.org/a.git", "has a host, which a file URL cannot have"),
    ],
)
def test_a_reference_that_is_wrong_is_refused(text: str, says: str):
    with pytest.raises(SourceError) as caught:
        parse(text)
    assert says in caught.value.message
    assert caught.value.hint
    assert "hunter2" not in caught.value.message
