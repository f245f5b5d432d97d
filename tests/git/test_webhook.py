"""A webhook is accepted only with a valid signature."""

import hashlib
import hmac
import json

import pytest

from bateau.sources.git.webhook import Push, Refused, Unheeded, received

SECRET = "a secret"  # noqa: S105 - of this test
SECRET_OF_THE_EXAMPLE = "It's a Secret to Everybody"  # noqa: S105 - it is published
ID = "ab" * 20
BODY = json.dumps({"ref": "refs/heads/release/1", "after": ID}).encode()


def signature(body: bytes = BODY, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    "headers",
    [
        {"X-GitHub-Event": "push", "X-Hub-Signature-256": f"sha256={signature()}"},
        {"x-gitea-event": "push", "x-gitea-signature": signature()},
        {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": SECRET},
    ],
)
def test_a_genuine_push_says_its_ref(headers: dict[str, str]):
    found = received(headers, BODY, secret=SECRET)
    assert isinstance(found, Push)
    assert (found.ref, found.commit) == ("refs/heads/release/1", ID)
    assert found.name == "release/1"


def test_the_example_of_githubs_documentation_holds():
    mac = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    headers = {"X-GitHub-Event": "ping", "X-Hub-Signature-256": f"sha256={mac}"}
    found = received(headers, b"Hello, World!", secret=SECRET_OF_THE_EXAMPLE)
    assert found == Unheeded(event="ping")


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, "the signature is missing"),
        ({"X-Hub-Signature": "sha1=00"}, "the signature is SHA-1 only, which is not accepted"),
        ({"X-Hub-Signature-256": "sha256=00"}, "the signature is wrong"),
        ({"X-Hub-Signature-256": f"sha256={signature(secret='other')}"}, "the signature is wrong"),
        ({"X-Gitea-Signature": signature(BODY + b" ")}, "the signature is wrong"),
        ({"X-Gitlab-Token": "ünknown"}, "the token is wrong"),
        ({"X-Gitlab-Token": ""}, "the token is wrong"),
    ],
)
def test_what_is_not_signed_with_the_secret_is_refused(headers: dict[str, str], says: str):
    assert received({"X-GitHub-Event": "push", **headers}, BODY, secret=SECRET) == Refused(says=says, status=401)


def test_an_empty_secret_believes_nobody():
    found = received({"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": ""}, BODY, secret="")
    assert isinstance(found, Refused)


@pytest.mark.parametrize("body", [b"", b"[", b"[" * 100_000, b"[]", b'{"ref": 1}', b"payload=%7B%7D"])
def test_a_body_that_says_nothing_is_refused(body: bytes):
    headers = {"X-GitHub-Event": "push", "X-Hub-Signature-256": signature(body)}
    found = received(headers, body, secret=SECRET)
    assert isinstance(found, Refused)
    assert found.status == 400


def test_a_removed_branch_has_no_commit():
    body = json.dumps({"ref": "refs/heads/old", "after": "0" * 40}).encode()
    headers = {"X-GitHub-Event": "push", "X-Hub-Signature-256": signature(body)}
    assert received(headers, body, secret=SECRET) == Push(ref="refs/heads/old", commit=None)
