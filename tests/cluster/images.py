"""The images of this checkout and of a small model, built once per session, and a cluster that has them.

Called by the conftest of this folder.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.fixtures import recipe, unavailable

MINUTES_5 = 300.0


@dataclass(frozen=True)
class Built:
    """What `bateau dev image` printed."""

    name: str
    digest: str
    archive: Path
    document: Any


def build(*words: str, output: Path) -> Built:
    """Run `bateau dev image`."""
    done = subprocess.run(
        [Path(sys.executable).with_name("bateau"), "dev", "image", *words, "--output", output],
        capture_output=True,
        text=True,
        timeout=MINUTES_5,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    document = json.loads(Path(told["sbom"]).read_text())
    return Built(told["image"], told["digest"], Path(told["archive"]), document)


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """The image of this checkout."""
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        unavailable("an image of Debian needs root and mmdebstrap; .ci/cluster installs it")
    output = tmp_path_factory.mktemp("app")
    yield build("app", output=output)
    shutil.rmtree(output)  # half a gigabyte


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """The image of a small model."""
    output = tmp_path_factory.mktemp("model")
    yield build("model", "smollm2", output=output)
    shutil.rmtree(output)


@pytest.fixture(scope="session")
def loaded(cluster: Path, app: Built, model: Built) -> Path:
    """The kubeconfig of a cluster whose nodes have both images."""
    if "KUBECONFIG" in os.environ:
        pytest.skip("images are imported only into the nodes that this suite started")
    archives = [str(app.archive), str(model.archive)]
    done = recipe("load.sh", *archives, name=cluster.parent.name, timeout_s=MINUTES_5)
    assert done.returncode == 0, done.stderr
    return cluster
