"""The monitoring systems that .ci/monitoring installs."""

import os
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@cache
def installed() -> Path:
    """The folder of the programs. Without them the test is skipped, and fails in CI."""
    done = subprocess.run([str(ROOT / ".ci/monitoring")], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        assert os.environ.get("CI") != "true", done.stderr
        pytest.skip(f"Prometheus and the others cannot be installed: {done.stderr[-300:]}")
    return Path(done.stdout.split()[-1]) / "bin"
