"""A benchmark that is ended takes its instance with it."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent.parent
PROGRAM = """\
import time
from bench.instance import Instance

SPEC = "apiVersion: bateau.dev/v1alpha1\\nkind: App\\nmetadata: {name: shop}\\nspec: {command: [sleep, infinity]}\\n"
with Instance({"shop.yaml": SPEC}) as instance:
    instance.up()
    print(instance.status()["pid"], instance.base, flush=True)
    time.sleep(600)
"""


def test_an_instance_goes_down_with_a_benchmark_that_is_terminated() -> None:
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        pid, _, base = process.stdout.readline().strip().partition(" ")
        control = psutil.Process(int(pid))
        others = control.children(recursive=True)
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=60)
    left = [each for each in (control, *others) if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    for each in left:
        each.kill()
    assert left == []
    assert "KeyboardInterrupt" in error
    assert not Path(base).exists()
