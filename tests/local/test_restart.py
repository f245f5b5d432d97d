"""`bateau restart` with real processes: no client notices, and a control plane that dies midway is followed (A17)."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from local.stack import Stack, wait_for

START_S = 1.5  # long enough to kill the control plane while the first new replica starts

SERVER = f"""\
import os, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/held":
            open("arrived", "w").close()
        while self.path == "/held" and not os.path.exists("release"):
            time.sleep(0.05)
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

time.sleep({START_S})
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
APP = """\
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {name: front}
spec:
  command: [python3, server.py]
  ports: {http: {protocol: http}}
  replicas: 2
  drainTimeout: 5s
"""


def with_replicas(count: int) -> str:
    return APP.replace("replicas: 2", f"replicas: {count}")


def up(stack: Stack, *, replicas: int = 2) -> str:
    (stack.specs / "server.py").write_text(SERVER)
    stack.write(with_replicas(replicas))
    done = stack.up()
    assert done.code == 0, done.err
    return address(stack)


def address(stack: Stack) -> str:
    tree = stack.ask_status()
    assert tree is not None
    return str(tree["services"][0]["address"])


@contextmanager
def requests(url: str) -> Generator[list[str]]:
    """Send one request after another for the length of the block, and yield the failures."""
    failures: list[str] = []
    over = threading.Event()

    def send() -> None:
        while not over.is_set():
            try:
                with urllib.request.urlopen(url, timeout=10) as answer:
                    answer.read()
            except (OSError, urllib.error.HTTPError) as error:
                failures.append(repr(error))
            time.sleep(0.01)

    senders = [threading.Thread(target=send) for _ in range(4)]
    for sender in senders:
        sender.start()
    try:
        yield failures
    finally:
        over.set()
        for sender in senders:
            sender.join()


def test_a_restart_replaces_every_replica_and_loses_no_request(stack: Stack):
    """A17."""
    url = up(stack)
    before = stack.pids("app/front")
    with requests(url) as failures:
        done = stack.bateau("restart", "front")
        assert done.code == 0, done.err
        assert done.out == "app/front was restarted\n"
        wait_for(lambda: len(stack.replicas("app/front")) == 2)
    assert failures == []
    assert set(stack.pids("app/front").values()).isdisjoint(before.values())
    told = json.loads(stack.bateau("restart", "app/front", "--json").out)
    assert (told["service"], told["rolledOut"], told["failed"]) == ("app/front", True, [])
    assert told["restartedAt"].endswith("Z")
    events = json.loads(stack.bateau("history", "--json").out)[0]["events"]
    assert sum("restarted app/front" in event["says"] for event in events) == 2


def test_a_control_plane_that_dies_in_the_middle_is_followed_by_one_that_finishes_and_stops(stack: Stack):
    """A17."""
    url = up(stack)
    before = stack.pids("app/front")
    with requests(url) as failures:
        restarting = stack.begin("restart", "front")
        wait_for(lambda: len(stack.replicas("app/front")) == 3)
        stack.kill_control()
        restarting.communicate(timeout=30)
        assert restarting.returncode == 3
        done = stack.up()
        assert done.code == 0, done.err
        wait_for(lambda: len(stack.pids("app/front")) == 2 == len(stack.replicas("app/front")))
        after = stack.pids("app/front")
        assert set(after.values()).isdisjoint(before.values())
        time.sleep(3 * START_S)
        assert stack.pids("app/front") == after, "it is not restarted again"
    assert failures == []
    stack.kill_control()
    assert stack.up().code == 0
    assert stack.pids("app/front") == after


def test_up_does_not_wait_for_the_requests_of_an_old_replica_and_they_end_well(stack: Stack):
    """With one replica: of several, each waits for the requests of the one before it, so that memory stays bounded."""
    url = up(stack, replicas=1)
    before = set(stack.pids("app/front").values())
    with ThreadPoolExecutor() as pool:
        held = pool.submit(lambda: urllib.request.urlopen(f"{url}/held", timeout=300).read())
        try:
            wait_for((stack.specs / "arrived").exists)
            stack.kill_control()
            stack.write(with_replicas(1).replace("drainTimeout: 5s", "drainTimeout: 10m\n  env: {CHANGED: 'true'}"))
            done = stack.up()
            assert done.code == 0, done.err
            assert not held.done()
            (replica,) = [each for each in stack.replicas("app/front") if each["draining"]]
            assert replica["pid"] in before
        finally:
            (stack.specs / "release").touch()
        assert int(held.result()) in before
    wait_for(lambda: len(stack.replicas("app/front")) == 1)


def test_a_service_that_falls_is_restarted_and_its_old_replica_is_no_failure_of_the_new_one(stack: Stack):
    """A17: restart a crashed service after its missing file exists."""
    stack.write(APP.replace("python3, server.py", "sh, -c, 'test -e ready && exec python3 server.py'"))
    (stack.specs / "server.py").write_text(SERVER)
    assert stack.up().code == 3
    wait_for(lambda: any(each["restarts"] > 1 for each in stack.replicas("app/front")))
    (stack.specs / "ready").touch()
    done = stack.bateau("restart", "front")
    assert done.code == 0, done.err


def test_one_that_does_not_get_ready_is_told_and_the_old_one_serves(stack: Stack):
    """A17."""
    url = up(stack)
    (stack.specs / "server.py").write_text("raise SystemExit('no such table')")
    done = stack.bateau("restart", "front")
    assert done.code == 3
    assert "not ready: app/front; previous replicas continue" in done.err
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.status == 200
    missing = stack.bateau("restart", "fornt")
    assert (missing.code, missing.err) == (3, "error: there is no service fornt\n  hint: did you mean `front`?\n")


def test_a_service_that_is_not_up_says_so(stack: Stack):
    done = stack.bateau("restart", "chat")
    assert done.code == 3
    assert "no control plane answers for default" in done.err


def test_an_edited_program_is_reported_until_the_service_is_restarted(stack: Stack):
    """A17."""
    up(stack)
    program = stack.specs / "server.py"
    program.write_text(SERVER + "# edited\n")
    warning = f"warning: app/front runs from a file that was edited since it started: {program}"
    wait_for(lambda: warning in stack.bateau("status").out, every_s=1.0)
    assert "hint: run `bateau restart front` to run the file as it is now" in stack.bateau("status").out
    assert stack.bateau("restart", "front").code == 0
    wait_for(lambda: warning not in stack.bateau("status").out, every_s=1.0)
