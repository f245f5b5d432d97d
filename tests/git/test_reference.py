"""References are taken apart; nothing in them reaches git as an option."""

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
        ("git+https://h.org/a.git@--upload-pack=x", "`--upload-pack=x` is no branch, tag or commit"),
        ("git+ssh://-oProxyCommand=x/a.git", "names no host"),
        ("git+ssh://-l@h.org/a.git", "the user's name is not understood"),
        ("git+ssh://git:hunter2@h.org/a.git", "holds a password"),
        ("git+ext::sh -c id", "`ext` is not spoken"),
        ("git+http://h.org/a.git", "is plain http"),
        ("git+https://h.org/", "names no repository"),
        ("git+https://h.org/a.git#subdirectory=../x", "leads out of the repository"),
        ("git+https://h.org/a.git#sub=x", "what stands behind # is not understood"),
        ("git+https://h.org/a.git?x=hunter2", "has a query"),
        ("git+https://h.org:port/a.git", "is no URL"),
        ("git+file://h.org/a.git", "names a host"),
    ],
)
def test_a_reference_that_is_wrong_is_refused(text: str, says: str):
    with pytest.raises(SourceError) as caught:
        parse(text)
    assert says in caught.value.message
    assert caught.value.hint
    assert "hunter2" not in caught.value.message
