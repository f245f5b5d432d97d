"""A real OIDC issuer and a real instance: its tokens get in at once, and while the issuer is gone."""

import json
import urllib.request
from collections.abc import Iterator

import pytest

from bateau.wiring.issuers import REFRESH_S
from local.stack import Stack, wait_for
from local.test_keys import create, status
from traffic.issuer import AUDIENCE, RealIssuer


@pytest.fixture
def issuer() -> Iterator[RealIssuer]:
    made = RealIssuer()
    made.start()
    yield made
    made.stop()


def add(stack: Stack, issuer: RealIssuer, *more: str) -> None:
    done = stack.bateau("keys", "issuer", "add", issuer.url, "--audience", AUDIENCE, *more)
    assert done.code == 0, done.err


def listed(stack: Stack) -> list[dict[str, object]]:
    return json.loads(stack.bateau("keys", "issuer", "list", "--json").out)["issuers"]


def metrics(stack: Stack, token: str) -> str:
    request = urllib.request.Request(f"{stack.url}/metrics", headers={"authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read().decode()


def test_an_issuer_that_is_gone_changes_nothing(stack: Stack, issuer: RealIssuer) -> None:
    assert stack.up().code == 0
    assert status(stack) == 200
    add(stack, issuer)
    token = issuer.token("ada")
    wait_for(lambda: status(stack, token) == 200, timeout_s=1)
    assert status(stack) == 401
    assert 'bateau_issuer_failing{issuer="127.0.0.1"} 0' in metrics(stack, token)
    issuer.stop()
    stack.kill_control()
    assert status(stack, token) == 200
    done = stack.up()
    assert done.code == 0, done.err
    wait_for(lambda: listed(stack)[0]["failingSince"], timeout_s=10)
    assert status(stack, token) == 200
    assert 'bateau_issuer_failing{issuer="127.0.0.1"} 1' in metrics(stack, token)
    shown = stack.bateau("keys", "issuer", "list").out
    assert "and not since: " in shown
    # The issuer is back, with a key more: the control plane notices by itself.
    issuer.start()
    wait_for(lambda: listed(stack)[0]["failingSince"] is None, timeout_s=REFRESH_S + 10)
    usage = json.loads(stack.bateau("usage", "--by", "owner", "--json").out)["groups"]
    assert {"ada@example.org"} <= {group["owner"] for group in usage}
    stack.kill_control()
    removed = stack.bateau("keys", "issuer", "remove", "127.0.0.1")
    assert "every request is refused" in removed.err
    wait_for(lambda: status(stack, token) == 401, timeout_s=1)


def test_issuers_are_listed_with_their_rules(stack: Stack, issuer: RealIssuer) -> None:
    create(stack, "ci")
    add(stack, issuer, "--as", "corp", "--models", "chat*", "--requests-per-minute", "60", "--owner-claim", "name")
    (row,) = listed(stack)
    assert {**row, "created": "", "refreshed": ""} == {
        "name": "corp",
        "url": issuer.url,
        "audiences": [AUDIENCE],
        "ownerClaim": "name",
        "modelsClaim": "bateau_models",
        "models": ["chat*"],
        "requestsPerMinute": 60,
        "authority": None,
        "created": "",
        "signingKeys": 1,
        "refreshed": "",
        "failingSince": None,
        "error": None,
    }
    shown = stack.bateau("keys", "issuer", "list").out
    assert "60 requests/min each" in shown
    assert stack.bateau("keys", "revoke", "ci").err.startswith("there is no key, so only the tokens of issuers get in")
    again = stack.bateau("keys", "issuer", "add", issuer.url, "--audience", "other")
    assert (again.code, "there is an issuer corp already" in again.err) == (3, True)
    assert "did you mean corp?" in stack.bateau("keys", "issuer", "remove", "crop").err


def test_a_wrong_issuer_is_an_error_at_once(stack: Stack, issuer: RealIssuer) -> None:
    for url, says in (
        (f"{issuer.url}/", "is of the issuer"),
        ("http://login.example.org", "plain http"),
        ("login.example.org", "this is not the URL of an issuer"),
        ("https://user:secret@login.example.org", "has no credentials"),
        ("https://login.example.org?x=y", "no query"),
        (f"{issuer.url}/nothing", "not found"),
    ):
        done = stack.bateau("keys", "issuer", "add", url, "--audience", "models")
        assert (done.code, says in done.err) == (3, True), done.err
        assert "secret" not in done.err
    for wrong in (["--models", "a b"], ["--as", "A B"], ["--models-claim", 'a"b'], ["--owner-claim", ""]):
        done = stack.bateau("keys", "issuer", "add", issuer.url, "--audience", "models", *wrong)
        assert (done.code, "hint: " in done.err) == (3, True), done.err
    assert stack.bateau("keys", "issuer", "add", issuer.url).code == 2
    issuer.stop()
    gone = stack.bateau("keys", "issuer", "add", issuer.url, "--audience", "models")
    assert (gone.code, issuer.url in gone.err) == (3, True)
    assert json.loads(stack.bateau("keys", "list", "--json").out) == {"required": False, "keys": []}
    assert listed(stack) == []
