"""Every test has its own runtime folders, and must leave no process behind."""

import contextlib
import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from runtimes.rig import Rig


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[Rig]:
    # Short, as socket paths must be; pytest's own folders are too long.
    folder = Path(tempfile.mkdtemp(prefix="bt-"))
    made = Rig(folder, f"test-{uuid.uuid4().hex[:12]}")
    try:
        yield made
        await made.end()
        assert made.pids() == set(), "processes were left behind"
    finally:
        for pid in made.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)
