"""The commands, as people type them."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from local.stack import CHAT, Stack, wait_for


def test_up_says_where_and_down_leaves_nothing(stack: Stack):
    done = stack.up("--ask", "Say hi.")
    assert done.code == 0, done.err
    assert f"{stack.url}/v1" in done.out
    assert ">>> Say hi." in done.out
    assert "tokens/s" in done.out
    assert stack.bateau("down").code == 0
    assert stack.processes() == []


def test_a_second_up_says_that_it_is_up_already(stack: Stack):
    assert stack.up().code == 0
    done = stack.up()
    assert done.code == 3
    assert "default is up already" in done.err
    assert "Traceback" not in done.err


def test_a_taken_port_is_named_with_a_way_out(stack: Stack):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", stack.port))
        taken.listen()
        done = stack.up()
    assert done.code == 3
    assert f"port {stack.port} on 127.0.0.1 is taken" in done.err
    assert "--listen" in done.err


def test_listening_beyond_loopback_is_refused_without_a_key(stack: Stack):
    done = stack.bateau("up", "--listen", "0.0.0.0:8080")
    assert done.code == 3
    assert "there is no key" in done.err


def test_run_answers_once_and_leaves_nothing(stack: Stack):
    done = stack.bateau("run", "smollm2", "Say hi.")
    assert done.code == 0, done.err
    assert done.out.strip()
    assert stack.processes() == []
    assert not list(stack.base.rglob("run-*"))


def test_run_takes_a_pipe_and_uses_the_model_that_runs(stack: Stack):
    assert stack.up().code == 0
    # A small model may go on for as long as it likes, and tests beside it slow it down.
    done = stack.bateau("run", "chat", "Repeat this:", stdin="hello", timeout_s=300)
    assert done.code == 0, done.err
    assert done.out.strip()


def test_run_refuses_an_unknown_model_by_name(stack: Stack):
    done = stack.bateau("run", "smolm2", "hi")
    assert done.code == 3
    assert "smollm2" in done.err
    assert "Traceback" not in done.err


def test_logs_show_what_the_replica_printed(running: Stack):
    done = running.bateau("logs", "chat", "-n", "5")
    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == 5


def test_status_names_state_replicas_and_address(running: Stack):
    done = running.bateau("status")
    assert done.code == 0
    row = next(line for line in done.out.splitlines() if line.startswith("model/chat"))
    assert row.split()[:3] == ["model/chat", "Ready", "1/1"]


def test_a_replica_of_a_model_listens_on_no_port(running: Stack):
    (pid,) = running.pids().values()
    assert psutil.Process(pid).net_connections("inet") == []


def test_metrics_parse_and_count(running: Stack):
    import urllib.request

    from prometheus_client.parser import text_string_to_metric_families

    running.post(
        "/v1/chat/completions", {"model": "chat", "max_tokens": 8, "messages": [{"role": "user", "content": "hi"}]}
    )

    def counted() -> dict[str, Any] | None:
        with urllib.request.urlopen(f"{running.url}/metrics") as response:
            found = {family.name: family for family in text_string_to_metric_families(response.read().decode())}
        return found if "bateau_requests" in found else None

    families = wait_for(counted)  # requests are counted within half a second of their answers
    generated = families["bateau_model_generated_tokens"].samples[0]
    assert generated.value > 0
    assert generated.labels["gen_ai_request_model"] == "chat"
    assert families["gen_ai_server_time_to_first_token_seconds"].type == "histogram"
    assert any(s.labels.get("gen_ai_request_model") == "chat" for s in families["bateau_requests"].samples)


def test_explain_tells_written_from_default(stack: Stack):
    written = stack.bateau("explain", "chat", "spec.parallel")
    assert written.out.splitlines()[0] == "4"
    assert "chat.yaml:7:13" in written.out
    default = stack.bateau("explain", "chat", "spec.drainTimeout")
    assert "default" in default.out


def test_an_app_uses_the_model_and_answers_through_its_own_port(stack: Stack):
    stack.write(APP, "app.yaml")
    (stack.specs / "server.py").write_text(SERVER)
    assert stack.up().code == 0
    tree = stack.ask_status()
    assert tree is not None
    address = next(s["address"] for s in tree["services"] if s["service"] == "app/front")
    import urllib.request

    with urllib.request.urlopen(address) as response:
        found = json.loads(response.read())
    assert found == {"url": f"{stack.url}/v1", "model": "chat"}
    assert len(stack.pids("app/front")) == 2


def test_a_replica_that_dies_at_start_shows_its_last_lines(stack: Stack):
    stack.write(
        "apiVersion: bateau.dev/v1alpha1\nkind: App\nmetadata: {name: bad}\n"
        "spec: {command: [sh, -c, 'echo no config here; exit 7']}\n",
        "bad.yaml",
    )
    done = stack.up()
    assert done.code == 3
    assert "no config here" in done.err
    assert "exited with code 7" in done.err
    assert stack.pids()


def test_a_file_that_is_no_model_is_named(stack: Stack):
    (stack.specs / "x.gguf").write_text("<html>login</html>")
    stack.write(CHAT.replace("smollm2", "./x.gguf"))
    done = stack.up()
    assert done.code == 3
    assert "x.gguf" in done.err
    assert "Traceback" not in done.err


def test_a_read_only_state_directory_is_named(stack: Stack, tmp_path: Path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    done = stack.bateau("up", "--detach", "--listen", f":{stack.port}", XDG_STATE_HOME=str(blocked))
    assert done.code == 3
    assert "cannot write to" in done.err
    assert "XDG_STATE_HOME" in done.err


def test_ctrl_c_stops_everything(stack: Stack):
    import signal

    process = subprocess.Popen(
        [sys.executable, "-m", "bateau", "up", "-C", str(stack.specs), "--listen", f":{stack.port}"],
        env=stack.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_for(lambda: (stack.ask_status() or {}).get("settled"), timeout_s=60)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in out
    assert stack.processes() == []


APP = """\
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {name: front}
spec:
  command: [python3, server.py, "${ ports.http }"]
  ports: {http: {protocol: http}}
  health: {path: /}
  uses: [model/chat]
  replicas: 2
"""

SERVER = """\
import http.server, json, os, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"url": os.environ["BATEAU_CHAT_URL"], "model": os.environ["BATEAU_CHAT_MODEL"]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
