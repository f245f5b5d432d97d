"""Keys of a real instance: they take effect at once, whatever runs, and outlive every process."""

import http.client
import json
import os
import signal
import time

from local.stack import Stack, chat_body, wait_for


def status(stack: Stack, secret: str | None = None) -> int:
    """Return the status that the endpoint answers a chat with; 0 where nobody listens."""
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {secret}"} if secret else {})
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(chat_body(max_tokens=1)), headers)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def create(stack: Stack, name: str, *more: str) -> str:
    done = stack.bateau("keys", "create", name, *more)
    assert done.code == 0, done.err
    return done.out.strip()


def test_a_revoked_key_is_refused_within_a_second_while_no_control_plane_runs(stack: Stack) -> None:
    assert stack.up().code == 0
    assert status(stack) == 200
    first, second = create(stack, "first"), create(stack, "second", "--models", "chat*")
    wait_for(lambda: status(stack, second) == 200, timeout_s=1)
    assert (status(stack), status(stack, first)) == (401, 200)
    stack.kill_control()
    assert stack.bateau("keys", "revoke", "first").code == 0
    wait_for(lambda: status(stack, first) == 401, timeout_s=1)
    third = create(stack, "third")
    wait_for(lambda: status(stack, third) == 200, timeout_s=1)
    # The next control plane, and the next Envoy, know the same keys.
    done = stack.up()
    assert done.code == 0, done.err
    assert "$OPENAI_API_KEY" in done.out
    (pid,) = stack.pids("gateway/envoy").values()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: status(stack, third) == 200, timeout_s=20)
    assert [status(stack), status(stack, first), status(stack, second)] == [401, 401, 200]


def test_open_lets_everybody_in_until_the_next_start(stack: Stack) -> None:
    secret = create(stack, "ci")
    assert stack.up("--open").code == 0
    assert (status(stack), status(stack, secret)) == (200, 200)
    assert "--open" in stack.bateau("keys", "list").err
    create(stack, "other")
    time.sleep(0.5)
    assert status(stack) == 200
    stack.kill_control()
    assert stack.up().code == 0
    wait_for(lambda: status(stack) == 401, timeout_s=5)


def test_the_command_line_uses_the_key_of_its_environment(stack: Stack) -> None:
    secret = create(stack, "ci")
    assert stack.up().code == 0
    refused = stack.bateau("run", "chat", "hello")
    assert refused.code != 0
    assert "BATEAU_API_KEY" in refused.err
    assert "mistyped" in stack.bateau("run", "chat", "hello", BATEAU_API_KEY=secret[:-1]).err
    answered = stack.bateau("run", "chat", "hello", BATEAU_API_KEY=secret)
    assert (answered.code, bool(answered.out.strip())) == (0, True), answered.err


def test_keys_are_listed_without_their_secrets(stack: Stack) -> None:
    secret = create(
        stack,
        "ci",
        "--owner",
        "search",
        "--expires",
        "90d",
        "--requests-per-minute",
        "60",
        "--note",
        "n",
        "--tokens-per-day",
        "1M",
    )
    row = json.loads(stack.bateau("keys", "list", "--json").out)["keys"][0]
    assert {**row, "created": "", "expires": ""} == {
        "name": "ci",
        "secret": f"bateau_...{secret[-4:]}",
        "owner": "search",
        "models": ["*"],
        "requestsPerMinute": 60,
        "concurrent": None,
        "tokensPerMinute": None,
        "tokensPerDay": 1_000_000,
        "tokensPerMonth": None,
        "moneyPerDay": None,
        "moneyPerMonth": None,
        "kwhPerDay": None,
        "kwhPerMonth": None,
        "created": "",
        "expires": "",
        "expired": False,
        "declaredAt": None,
        "note": "n",
    }
    shown = json.loads(stack.bateau("keys", "show", "ci", "--json").out)
    (budget,) = shown.pop("budgets")
    assert (budget["unit"], budget["period"], budget["used"], budget["budget"]) == ("tokens", "day", 0, 1_000_000)
    assert shown == row
    rotated = json.loads(stack.bateau("keys", "rotate", "ci", "--json").out)
    assert rotated["secret"] != secret
    listed = stack.bateau("keys", "list")
    assert secret not in listed.out + listed.err
    assert stack.bateau("keys", "create", "ci").code == 3
    assert "did you mean ci?" in stack.bateau("keys", "revoke", "cii").err
    for path in stack.base.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
            assert rotated["secret"].encode() not in path.read_bytes(), path


def test_a_wrong_option_is_a_usage_error(stack: Stack) -> None:
    for wrong in (
        ["--expires", "yesterday"],
        ["--expires", "2020-01-01"],
        ["--requests-per-minute", "0"],
        ["--tokens-per-day", "1.5M"],
    ):
        assert stack.bateau("keys", "create", "ci", *wrong).code == 2, wrong
    for name in ("C I", "-x", "a/b", ""):
        assert stack.bateau("keys", "create", "--", name).code == 3, name
    assert stack.bateau("keys", "create", "ci", "--models", "a b").code == 3
    assert stack.bateau("keys", "create", "ci", "--requests-per-minute", str(2**40)).code == 3
    assert json.loads(stack.bateau("keys", "list", "--json").out) == {"required": False, "keys": []}


def test_an_instance_with_a_damaged_key_file_does_not_start(stack: Stack) -> None:
    create(stack, "ci")
    (path,) = stack.base.glob("state/bateau/*/keys.json")
    path.write_text("{")
    done = stack.up()
    assert done.code != 0
    assert "keys.json" in done.err
    assert status(stack) == 0
