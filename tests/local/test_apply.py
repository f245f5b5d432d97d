"""`apply` and `rollback` with a real instance: plan, ask, carry out, wait for health, and go back."""

import json
import os
import signal
import urllib.request
from concurrent.futures import ThreadPoolExecutor

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
BAD = "apiVersion: bateau.dev/v1alpha1\nkind: Ap\nmetadata: {name: x}\n"
CRASHES = "spec: {command: [python3, -c, 'exit(1)']}\n"
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


def outcomes(stack: Stack) -> list[str]:
    return [each["outcome"] for each in json.loads(stack.bateau("history", "--json").out)]


def apply(stack: Stack, *more: str):
    return stack.bateau("apply", "--env", "prod", "--listen", f":{stack.port}", *more)


def test_apply_shows_asks_carries_out_and_rollback_goes_back(stack: Stack) -> None:
    say(stack, "one")
    unasked = apply(stack)
    assert unasked.code == 2
    assert "app/web starts 1 replica" in unasked.out
    assert "confirmation needs a terminal" in unasked.err
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
    # The newest is healthy once it has been ready for ten seconds, the one before was ready until it was replaced.
    wait_for(lambda: outcomes(stack) == ["healthy", "healthy", "rolled back", "healthy"])
    assert "rolled back" in stack.bateau("history", "--service", "web").out


def test_what_does_not_become_healthy_is_told_and_what_ran_goes_on(stack: Stack) -> None:
    say(stack, "one")
    assert apply(stack, "--yes").code == 0
    say(stack, "broken")
    done = apply(stack, "--yes")
    assert done.code == 3
    assert "not healthy: app/web" in done.err
    assert answer(stack) == "one"
    again = apply(stack, "--yes", "--json")
    assert again.code == 3  # nothing changes, and it is not healthy for that
    tree = json.loads(again.out)
    assert (tree["applied"], tree["failed"], tree["pending"]) == (False, ["app/web"], False)
    back = stack.bateau("rollback", "web")
    assert back.code == 0, back.err
    assert answer(stack) == "one"


def test_json_is_one_tree_on_stdout(stack: Stack) -> None:
    say(stack, "one")
    unasked = apply(stack, "--json")
    assert unasked.code == 2
    assert json.loads(unasked.out)["applied"] is False
    assert "app/web starts 1 replica" in unasked.err
    done = apply(stack, "--json", "--yes")
    tree = json.loads(done.out)
    assert done.code == 0
    assert tree["applied"] is True
    assert tree["status"]["services"][0]["state"] == "Ready"
    stack.write(BAD, "bad.yaml")
    wrong = apply(stack, "--json", "--yes")
    assert wrong.code == 1
    assert json.loads(wrong.out)["applied"] is False


def test_of_two_that_begin_at_once_one_serves_and_the_other_is_told(stack: Stack) -> None:
    (other := stack.base / "other").mkdir()
    say(stack, "one")
    (other / "web.yaml").write_text((stack.specs / "web.yaml").read_text().replace("word: one", "word: two"))
    with ThreadPoolExecutor() as pool:
        begun = [pool.submit(apply, stack, "--yes", "-C", str(where)) for where in (stack.specs, other)]
        ours, theirs = (each.result() for each in begun)
    assert sorted((ours.code, theirs.code)) == [0, 3]
    assert "is up already" in ours.err + theirs.err or "was applied from" in ours.err + theirs.err
    assert answer(stack) == ("one" if ours.code == 0 else "two")


def test_a_control_plane_that_is_killed_while_it_comes_up_is_a_failure_with_a_code(stack: Stack) -> None:
    say(stack, "one")
    begun = stack.begin("apply", "--env", "prod", "--yes", "--listen", f":{stack.port}")
    wait_for(lambda: stack.ask_status() is not None)
    os.kill(stack.control_pid(), signal.SIGKILL)
    _, said = begun.communicate(timeout=30)
    assert begun.returncode == 3, said


def test_ctrl_c_while_it_rolls_out_leaves_it_to_itself_and_says_so(stack: Stack) -> None:
    say(stack, "one")
    assert apply(stack, "--yes").code == 0
    slow = WEB.replace("startTimeout: 5s", "startTimeout: 60s").replace(
        "PROGRAM", f"import time; time.sleep(8)\\n{PROGRAM}"
    )
    stack.write(slow.replace("WORD", "two"), "web.yaml")
    begun = stack.begin("apply", "--env", "prod", "--yes", "--listen", f":{stack.port}")
    wait_for(lambda: len(stack.replicas("app/web")) == 2)
    begun.send_signal(signal.SIGINT)
    _, said = begun.communicate(timeout=30)
    assert begun.returncode == 130
    assert "continues in the background" in said
    wait_for(lambda: answer(stack) == "two")


def test_a_mistake_in_what_is_written_does_not_hold_a_rollback_up(stack: Stack) -> None:
    say(stack, "one")
    assert stack.up("--env", "prod").code == 0
    wait_for(lambda: outcomes(stack) == ["healthy"])
    say(stack, "two")
    wait_for(lambda: len(outcomes(stack)) == 2 and answer(stack) == "two")
    stack.write(BAD, "bad.yaml")
    wait_for(lambda: "have errors" in stack.bateau("status").out)
    back = stack.bateau("rollback", "web")
    assert back.code == 0, back.err
    assert answer(stack) == "one"


def test_a_damaged_history_prevents_only_rollbacks(stack: Stack) -> None:
    say(stack, "one")
    assert apply(stack, "--yes").code == 0
    assert stack.bateau("down").code == 0
    history = stack.base / "state/bateau/default/history.sqlite"
    for beside in history.parent.glob("history.sqlite-*"):
        beside.unlink()
    history.write_bytes(b"no database" * 1000)
    assert apply(stack, "--yes").code == 0
    assert answer(stack) == "one"
    assert "no history is kept" in stack.bateau("status").out
    back = stack.bateau("rollback", "web")
    assert back.code == 3
    assert "is not a database" in back.err


def test_mistakes_and_other_owners_change_nothing(stack: Stack) -> None:
    say(stack, "one")
    assert apply(stack, "--yes").code == 0
    stack.write(BAD, "bad.yaml")
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


def test_a_program_that_cannot_start_is_a_failure_at_once_and_in_the_status(stack: Stack) -> None:
    say(stack, "one")
    assert apply(stack, "--yes").code == 0
    stack.write(WEB.replace('python3, -c, "PROGRAM"', "/no/such/program").replace("WORD", "two"), "web.yaml")
    done = apply(stack, "--yes")
    assert done.code == 3
    assert "not healthy: app/web" in done.err
    status = stack.bateau("status").out
    assert "Degraded" in status
    assert "program /no/such/program does not exist" in status
    assert answer(stack) == "one"


def test_an_apply_that_another_has_replaced_says_so(stack: Stack) -> None:
    say(stack, "one")
    assert apply(stack, "--yes").code == 0
    slow = WEB.replace("startTimeout: 5s", "startTimeout: 60s").replace("WORD", "two")
    stack.write(slow.replace("PROGRAM", f"import time; time.sleep(30)\\n{PROGRAM}"), "web.yaml")
    first = stack.begin("apply", "--env", "prod", "--yes", "--listen", f":{stack.port}")
    wait_for(lambda: len(stack.replicas("app/web")) == 2)
    say(stack, "three")
    assert apply(stack, "--yes").code == 0
    _, said = first.communicate(timeout=30)
    assert first.returncode == 3
    assert "another `apply` has replaced these specs" in said


def test_a_rollback_is_judged_by_its_service_alone(stack: Stack) -> None:
    say(stack, "one")
    assert apply(stack, "--yes").code == 0
    wait_for(lambda: outcomes(stack) == ["healthy"])
    say(stack, "two")
    stack.write(BAD.replace("Ap\n", "App\n").replace("x}", "bad}") + CRASHES, "bad.yaml")
    assert apply(stack, "--yes").code == 3
    back = stack.bateau("rollback", "web")
    assert back.code == 0, back.err
    assert answer(stack) == "one"
    newest = json.loads(stack.bateau("history", "--json").out)[1]["id"]
    forth = stack.bateau("rollback", "web", "--to", str(newest))
    assert forth.code == 0, forth.err
    assert answer(stack) == "two"
    assert "was rolled back" not in stack.bateau("status").out  # it is what is written again


def test_after_a_dead_control_plane_the_plan_is_against_what_it_left(stack: Stack) -> None:
    say(stack, "one")
    assert apply(stack, "--yes").code == 0
    pids = stack.pids("app/web")
    stack.kill_control()
    done = apply(stack, "--yes")
    assert done.code == 0, done.err
    assert "nothing changes" in done.out
    assert "replicas of an earlier control plane are still running" in done.err
    assert stack.pids("app/web") == pids


@pytest.mark.parametrize(
    "memory",
    [
        '{"rollbacks": {"prod": {"app/web": 3}}}',
        '{"rollbacks": {"prod": []}}',
        '{"texts": 5}',
        '{"app_ports": {"app/web/http": 99999999}}',
    ],
)
def test_saved_state_of_the_wrong_shape_prevents_no_apply(stack: Stack, memory: str) -> None:
    say(stack, "one")
    state = stack.base / "state/bateau/default"
    state.mkdir(parents=True, mode=0o700)
    (state / "control.json").write_text(memory)
    assert apply(stack, "--yes").code == 0
    assert answer(stack) == "one"
