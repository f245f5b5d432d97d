"""What the README tells people to type is typed here, with the real Envoy and the real model."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from docs.pages import ROOT, blocks
from local.stack import Stack, chat_body


@pytest.fixture
def stack() -> Iterator[Stack]:
    made = Stack(Path.home() / ".cache")
    yield made
    made.destroy()


def test_the_commands_of_the_readme_work_as_they_stand(stack: Stack):
    script = "".join(block.text for block in blocks(ROOT / "README.md") if block.runnable)
    assert "bateau up" in script and "bateau down" in script
    # A port that is free on this machine, and directories of our own; all else as it stands.
    script = script.replace("--detach", f"--detach --listen 127.0.0.1:{stack.port}").replace(
        ":8080/", f":{stack.port}/"
    )
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env={**stack.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    # llama.cpp's answer has no newline at its end.
    answer, _ = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index('{"choices"') :])
    assert answer["choices"][0]["message"]["content"]
    assert "model/chat" in done.stdout
    assert done.stdout.rstrip().endswith("default is down")
    assert stack.processes() == []


def test_every_metric_of_a_real_instance_is_in_the_reference(stack: Stack, generated: Path):
    done = stack.bateau("up", "-C", str(ROOT / "examples/laptop"), "--detach", "--listen", f"127.0.0.1:{stack.port}")
    assert done.code == 0, done.err
    request = urllib.request.Request(
        f"{stack.url}/v1/chat/completions",
        data=json.dumps(chat_body()).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        assert response.status == 200
    counted = {"bateau_requests_total", "bateau_model_generated_tokens_total"}
    deadline = time.monotonic() + 10
    while not counted <= (families := _families(stack)):  # they come within half a second of the answer
        assert time.monotonic() < deadline, families
        time.sleep(0.1)
    documented = (generated / "metrics.md").read_text()
    assert sorted(name for name in families if f"| `{name}` |" not in documented) == []


def _families(stack: Stack) -> set[str]:
    """Return the names of the families that the metrics page has now."""
    with urllib.request.urlopen(f"{stack.url}/metrics") as response:
        page = response.read().decode()
    return {
        family.name + ("_total" if family.type == "counter" else "") for family in text_string_to_metric_families(page)
    }
