"""`apply` and `rollback` with a real instance: plan, ask, carry out, wait for health, and go back."""

import json
import urllib.request

import pytest

from local.stack import Stack, wait_for

WEB = """\
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {name: web}
spec:
  command: [python3, -c, "PROGRAM", "${ ports.http }", "${ values.word }"]
  ports: {http: {protocol: http}}
  health: {startTimeout: 5s, interval: 500ms}
---
apiVersion: bateau.dev/v1alpha1
kind: Environment
metadata: {name: prod}
spec: {values: {word: WORD}}
"""
PROGRAM = (
    "import http.server as h, sys\\n"
    "if sys.argv[2] == 'broken': sys.exit(1)\\n"
    "class H(h.BaseHTTPRequestHandler):\\n"
    "    def do_GET(self):\\n"
    "        self.send_response(200); self.end_headers(); self.wfile.write(sys.argv[2].encode())\\n"
    "h.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), H).serve_forever()\\n"
)


def say(stack: Stack, word: str) -> None:
    stack.write(WEB.replace("PROGRAM", PROGRAM).replace("WORD", word), "web.yaml")


def answer(stack: Stack) -> str:
    tree = stack.status()
    address = next(service["address"] for service in tree["services"] if service["service"] == "app/web")
    with urllib.request.urlopen(address, timeout=5) as response:
        return response.read().decode()


def apply(stack: Stack, *more: str):
    return stack.bateau("apply", "prod", "--listen", f":{stack.port}", *more)


def test_apply_shows_asks_carries_out_and_rollback_goes_back(stack: Stack) -> None:
    say(stack, "one")
    unasked = apply(stack)
    assert unasked.code == 2
    assert "app/web starts 1 replica" in unasked.out
    assert "nobody to ask" in unasked.err
    assert stack.ask_status() is None

    done = apply(stack, "--yes")
    assert done.code == 0, done.err
    assert answer(stack) == "one"

    say(stack, "two")
    assert answer(stack) == "one"  # nothing is followed
    dry = apply(stack, "--dry-run", "--json")
    assert [row["what"] for row in json.loads(dry.out)["rows"]] == ["command[4] one -> two"]
    assert answer(stack) == "one"
    done = apply(stack, "--yes")
    assert done.code == 0, done.err
    assert "replaces 1 replica" in done.out
    assert answer(stack) == "two"

    back = stack.bateau("rollback", "web", "--env", "prod")
    assert back.code == 0, back.err
    assert "command[4] two -> one" in back.out
    assert answer(stack) == "one"
    again = apply(stack, "--yes")
    assert "nothing changes" in again.out
    assert answer(stack) == "one"  # what was rolled back is not what is written anew
    assert "was rolled back" in stack.bateau("status").out
    say(stack, "one")
    assert "nothing changes" in apply(stack, "--yes").out
    wait_for(lambda: "was rolled back" not in stack.bateau("status").out)
    outcomes = [each["outcome"] for each in json.loads(stack.bateau("history", "--json").out)]
    assert outcomes == ["healthy", "healthy", "rolled back", "healthy"]
    assert "rolled back" in stack.bateau("history", "--service", "web").out


def test_what_does_not_become_healthy_is_told_and_what_ran_goes_on(stack: Stack) -> None:
    say(stack, "one")
    assert apply(stack, "--yes").code == 0
    say(stack, "broken")
    done = apply(stack, "--yes")
    assert done.code == 3
    assert "not healthy: app/web" in done.err
    assert answer(stack) == "one"
    back = stack.bateau("rollback", "web")
    assert back.code == 0, back.err
    assert answer(stack) == "one"


def test_mistakes_and_other_owners_change_nothing(stack: Stack) -> None:
    say(stack, "one")
    assert apply(stack, "--yes").code == 0
    stack.write("apiVersion: bateau.dev/v1alpha1\nkind: Ap\nmetadata: {name: x}\n", "bad.yaml")
    wrong = apply(stack, "--yes")
    assert wrong.code == 1
    assert "bad.yaml:2:7" in wrong.err
    assert "nothing was applied" in wrong.err
    (stack.specs / "bad.yaml").unlink()
    elsewhere = stack.bateau("apply", "--yes", "--listen", f":{stack.port}")
    assert elsewhere.code in (1, 3)
    assert answer(stack) == "one"


@pytest.mark.parametrize("command", [("apply", "--yes"), ("rollback", "web", "--env", "staging")])
def test_an_instance_that_follows_a_directory_says_so(stack: Stack, command: tuple[str, ...]) -> None:
    say(stack, "one")
    assert stack.up("--env", "prod").code == 0
    refused = stack.bateau(*command)
    assert refused.code != 0
    assert "follows" in refused.err or "serves prod" in refused.err or "values" in refused.err
