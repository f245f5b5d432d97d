"""A real registry for tests: Debian's docker-registry, once per session, on a free port of this machine.

Called by the conftest of all tests, so any test can use it.
"""

import json
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cluster.fixtures import unavailable


@dataclass(frozen=True)
class Registry:
    """A registry: HOST:PORT, and the directory with its content. `repository` is one that no other test has."""

    host: str
    folder: Path
    repository: str = field(default_factory=lambda: f"test/{uuid.uuid4().hex[:10]}")

    def reference(self, tag: str) -> str:
        """Return the reference of an artifact in this repository."""
        return f"oci://{self.host}/{self.repository}:{tag}"

    def blob(self, digest: str) -> Path:
        """Return the file with the content of a digest."""
        algorithm, _, name = digest.partition(":")
        return self.folder / "docker/registry/v2/blobs" / algorithm / name[:2] / name / "data"


@pytest.fixture(scope="session")
def running_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Return the registry of this session."""
    if shutil.which("docker-registry") is None:
        unavailable("docker-registry is not installed; .ci/cluster installs it")
    folder = tmp_path_factory.mktemp("registry")
    with serving(folder) as host:
        yield Registry(host, folder)


@pytest.fixture
def registry(running_registry: Registry) -> Registry:
    """Return the registry of this session, with a repository for one test."""
    return Registry(running_registry.host, running_registry.folder)


@contextmanager
def serving(folder: Path) -> Generator[str]:
    """Run a registry on a free port, and give its HOST:PORT."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        host = f"127.0.0.1:{taken.getsockname()[1]}"
    storage = {"filesystem": {"rootdirectory": str(folder)}}
    config = folder / "registry.json"
    tree = {"version": 0.1, "log": {"level": "warn"}, "storage": storage, "http": {"addr": host}}
    config.write_text(json.dumps(tree))
    command = ["docker-registry", "serve", config]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as it:
        try:
            deadline = time.monotonic() + 30
            while not _listens(host):
                assert it.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield host
        finally:
            it.terminate()


def _listens(host: str) -> bool:
    name, _, port = host.partition(":")
    try:
        socket.create_connection((name, int(port)), timeout=1).close()
    except OSError:
        return False
    return True
