"""Another machine at the endpoint: a network namespace with an address of its own, over TLS, with a key."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bateau.kit.certificates import issue
from local.stack import Stack, chat_body, wait_for
from local.test_keys import create

# Prints the status of a POST, or the name of the error.
ASK = """
import json, ssl, sys, urllib.error, urllib.request
url, authority, key, host, body = sys.argv[1:]
context = ssl.create_default_context(cafile=authority) if authority else None
headers = {"content-type": "application/json", "authorization": f"Bearer {key}", **({"host": host} if host else {})}
try:
    request = urllib.request.Request(url, body.encode(), headers)
    print(urllib.request.urlopen(request, timeout=20, context=context).status)
except urllib.error.HTTPError as error:
    print(error.status)
except OSError as error:
    print(type(getattr(error, "reason", error)).__name__)
"""


class Machine:
    """A network namespace, which reaches this one at `here`."""

    def __init__(self, name: str, here: str) -> None:
        self.name = name
        self.here = here

    def ask(self, url: str, key: str, *, authority: Path | None = None, host: str = "") -> str:
        body = json.dumps(chat_body(max_tokens=1))
        script = [sys.executable, "-c", ASK, url, str(authority or ""), key, host, body]
        return subprocess.run(
            ["ip", "netns", "exec", self.name, *script], capture_output=True, text=True, check=True, timeout=60
        ).stdout.strip()


@pytest.fixture
def machine() -> Iterator[Machine]:
    number = os.getpid() % 250
    name, here = f"bateau-{os.getpid()}", f"10.203.{number}.1"
    if os.geteuid() != 0:
        pytest.skip("a network namespace needs root")
    steps = (
        f"netns add {name}",
        f"link add bt{number}a type veth peer name bt{number}b netns {name}",
        f"addr add {here}/30 dev bt{number}a",
        f"link set bt{number}a up",
        f"-n {name} addr add 10.203.{number}.2/30 dev bt{number}b",
        f"-n {name} link set bt{number}b up",
        f"-n {name} link set lo up",
    )
    try:
        for step in steps:
            subprocess.run(["ip", *step.split()], check=True, capture_output=True)
        yield Machine(name, here)
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            subprocess.run(["ip", "netns", "delete", name], check=True, capture_output=True)


def up(stack: Stack, listen: str, *more: str) -> str:
    done = stack.bateau("up", "-C", str(stack.specs), "--detach", "--listen", f"{listen}:{stack.port}", *more)
    assert done.code == 0, done.err
    return done.out


def test_another_machine_gets_in_over_tls_with_a_key_until_it_is_revoked(stack: Stack, machine: Machine) -> None:
    refused = stack.bateau("up", "-C", str(stack.specs), "--detach", "--listen", f"{machine.here}:{stack.port}")
    assert refused.code == 3
    assert "bateau keys create" in refused.err
    secret = create(stack, "ci", "--models", "chat*", "--requests-per-minute", "60")
    said = up(stack, machine.here)
    (authority,) = stack.base.glob("state/bateau/*/gateway/ca.crt")
    assert str(authority) in said
    url = f"https://{machine.here}:{stack.port}/v1/chat/completions"
    assert machine.ask(url, secret, authority=authority) == "200"
    assert machine.ask(url, "wrong", authority=authority) == "401"
    assert machine.ask(url, secret, authority=authority, host="example.org") == "403"
    assert machine.ask(url, secret) == "SSLCertVerificationError"
    assert machine.ask(url.replace("https", "http"), secret) != "200"
    # This machine still has plain HTTP, on its loopback only.
    assert stack.bateau("run", "chat", "hi", BATEAU_API_KEY=secret).code == 0
    assert stack.status()["remote"].startswith("https://")
    stack.kill_control()
    assert stack.bateau("keys", "revoke", "ci").code == 0
    wait_for(lambda: machine.ask(url, secret, authority=authority) == "401", timeout_s=2)


def test_a_certificate_of_the_user_is_shown_and_again_after_it_was_renewed(
    stack: Stack, machine: Machine, tmp_path: Path
) -> None:
    from datetime import UTC, datetime, timedelta

    def renew() -> None:
        made = issue(
            server_names=["models.example.org", machine.here],
            client_name="none",
            now=datetime.now(UTC),
            lifetime=timedelta(days=90),
        )
        for path, content in (("ca", made.authority), ("crt", made.server.certificate), ("key", made.server.key)):
            (tmp_path / path).write_bytes(content)

    renew()
    secret = create(stack, "ci")
    given = ("--tls-cert", str(tmp_path / "crt"), "--tls-key", str(tmp_path / "key"))
    up(stack, "0.0.0.0", *given, "--host", "models.example.org")  # noqa: S104 - that is what is tested
    url = f"https://{machine.here}:{stack.port}/v1/chat/completions"
    assert machine.ask(url, secret, authority=tmp_path / "ca") == "200"
    assert machine.ask(url, secret, authority=tmp_path / "ca", host="models.example.org") == "200"
    renew()
    wait_for(lambda: machine.ask(url, secret, authority=tmp_path / "ca") == "200", timeout_s=20)


def test_plain_http_says_what_it_gives_up(stack: Stack, machine: Machine) -> None:
    secret = create(stack, "ci")
    said = up(stack, machine.here, "--plain-http")
    assert "without TLS: keys and prompts can be read on the way" in said
    assert machine.ask(f"http://{machine.here}:{stack.port}/v1/chat/completions", secret) == "200"
