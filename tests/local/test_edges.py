"""What people do to a running instance without meaning harm."""

import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from bateau.wiring.paths import paths
from local.stack import Stack, free_port, wait_for

APP = """\
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {{name: {name}}}
spec:
  command: [python3, -m, http.server, "${{ ports.http }}", --bind, 127.0.0.1]
  ports: {{http: {{port: {port}}}}}
"""


@pytest.fixture
def app(cache: Path):
    """An instance with one app and no model."""
    made = Stack(cache)
    made.write(APP.format(name="web", port=free_port()), "app.yaml")
    yield made
    made.destroy()


def services(stack: Stack) -> list[str]:
    tree = stack.ask_status()
    return [service["service"] for service in tree["services"]] if tree else []


def test_a_removed_directory_stops_nothing_and_is_followed_when_it_is_back(app: Stack):
    assert app.up().code == 0
    before = app.pids("app/web")
    kept = app.base / "kept"
    shutil.move(app.specs, kept)
    wait_for(lambda: "no longer exists" in (app.base / "state/bateau/default/control.log").read_text())
    assert app.pids("app/web") == before
    assert any("no longer exists" in problem["says"] for problem in (app.ask_status() or {})["problems"])
    app.specs.mkdir()
    app.write(APP.format(name="other", port=free_port()), "other.yaml")
    wait_for(lambda: services(app) == ["app/other"])


def test_a_file_that_is_emptied_before_it_is_written_stops_nothing(app: Stack):
    assert app.up().code == 0
    before = app.pids("app/web")
    path = app.specs / "app.yaml"
    text = path.read_text()
    for _ in range(5):
        path.write_text("")
        time.sleep(0.3)
        assert services(app) == ["app/web"]
        path.write_text(text)
        time.sleep(0.3)
    assert app.pids("app/web") == before


def test_removing_the_last_spec_starts_nothing_else(app: Stack):
    assert app.up().code == 0
    (app.specs / "app.yaml").unlink()
    wait_for(lambda: services(app) == [])
    app.kill_control()
    assert app.up().code == 0
    assert services(app) == []


def test_an_app_port_that_is_taken_is_named_and_tried_again(app: Stack):
    port = free_port()
    app.write(APP.format(name="web", port=port), "app.yaml")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        app.up()
        shown = wait_for(lambda: "clients cannot reach it" in (out := app.bateau("status").out) and out)
        assert str(port) in shown
    wait_for(lambda: "clients cannot reach it" not in app.bateau("status").out)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}") as response:
        assert response.status == 200


def test_down_reaches_a_control_plane_that_is_still_coming_up(app: Stack):
    up = subprocess.Popen(
        [sys.executable, "-m", "bateau", "up", "-C", str(app.specs), "--detach", "--listen", f":{app.port}"],
        env=app.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(paths(app.name, app.environ).control_lock.exists)
    done = app.bateau("down")
    assert done.code == 0, done.err
    up.wait(timeout=30)
    wait_for(lambda: app.processes() == [])


def test_a_control_plane_that_hangs_is_named_with_its_pid(app: Stack):
    import os

    assert app.up().code == 0
    pid = app.control_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        done = app.bateau("down")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert done.code == 3
    assert f"(pid {pid}) is running but does not answer" in done.err


def test_ctrl_c_during_a_detached_start_stops_the_control_plane(stack: Stack):
    up = stack.begin("up", "-C", str(stack.specs), "--detach", "--listen", f":{stack.port}")
    wait_for(lambda: stack.ask_status() is not None)
    up.send_signal(signal.SIGINT)
    up.communicate(timeout=60)
    assert up.returncode == 130
    wait_for(lambda: stack.processes() == [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_run_that_is_ended_leaves_nothing(stack: Stack, number: signal.Signals):
    process = subprocess.Popen(
        [sys.executable, "-m", "bateau", "run", "smollm2", "Tell me a very long story."],
        env=stack.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.read(1)
    process.send_signal(number)
    time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert stack.processes() == []


def test_a_key_that_is_not_set_is_said(stack: Stack):
    stack.write(
        "apiVersion: bateau.dev/v1alpha1\nkind: Model\nmetadata: {name: remote}\n"
        f"spec:\n  engine: external\n  source: http://127.0.0.1:{free_port()}/v1\n"
        "  external: {apiKeyEnv: NOT_SET_HERE}\n"
    )
    done = stack.up()
    assert "NOT_SET_HERE is not set" in done.err


def test_a_web_page_of_another_origin_gets_no_model(stack: Stack):
    stack.write(APP.format(name="web", port=free_port()), "app.yaml")
    assert stack.up().code == 0
    request = urllib.request.Request(f"{stack.url}/v1/chat/completions", data=b'{"model":"chat"}')
    request.add_header("content-type", "")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert caught.value.code == 400
    caught.value.close()


def up_with_limit(app: Stack, limit: str) -> "subprocess.CompletedProcess[str]":
    up = [sys.executable, "-m", "bateau", "up", "-C", str(app.specs), "--detach", "--listen", f"127.0.0.1:{app.port}"]
    script = ["sh", "-c", f'ulimit {limit}; exec "$@"', "sh", *up]
    return subprocess.run(script, env=app.environ, capture_output=True, text=True, check=False)


def test_a_low_limit_of_open_files_is_raised(app: Stack):
    """Issue 8: the control plane crashed with a low limit of open files."""
    done = up_with_limit(app, "-S -n 32")
    assert done.returncode == 0, done.stderr
    assert app.pids("app/web")


def test_a_limit_of_open_files_that_is_too_low_is_one_error(app: Stack):
    done = up_with_limit(app, "-n 64")
    assert done.returncode == 3
    assert done.stderr.startswith("error: this process may open 64 files only, and a control plane needs 256\n")
    assert len(done.stderr.splitlines()) == 2
    assert app.processes() == []
