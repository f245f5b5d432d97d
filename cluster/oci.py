"""Turn folders into an OCI image archive, without a daemon, a registry or root.

Called by build.sh as a program and by image.py as a module. Python's standard library is enough for it.

Invariant: the same folders and options give the same bytes, and so the same digests; owner, group and times of files
are not part of an image. Held by tests/cluster/test_oci.py.
Refused: Dockerfiles and a builder for them. No step of these images needs to run inside of one.
"""

import argparse
import contextlib
import hashlib
import io
import json
import platform
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Config:
    """The part of an image that says how to run it."""

    entrypoint: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    user: str = ""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


def write(archive: Path, name: str, layers: Sequence[Path], config: Config) -> str:
    """Write the archive of an image with one layer per folder, and return the digest of its manifest.

    `name` is a reference with a tag, under which `ctr images import` lists the image. The archive appears only when it
    is whole.
    """
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        blobs = _Blobs(Path(folder))
        manifest = blobs.add_json(_manifest(blobs, layers, config))
        entry = {
            "mediaType": _MANIFEST,
            **manifest,
            "platform": _platform(),
            "annotations": {
                "io.containerd.image.name": name,
                "org.opencontainers.image.ref.name": name.rpartition(":")[2],
            },
        }
        whole = Path(folder) / "archive"
        with tarfile.open(whole, "w") as tar:
            _add_bytes(tar, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
            _add_bytes(tar, "index.json", _json({"schemaVersion": 2, "manifests": [entry]}))
            for digest, path in blobs.paths.items():
                with path.open("rb") as content:
                    tar.addfile(_member(f"blobs/sha256/{digest}", path.stat().st_size), content)
        whole.replace(archive)
    return manifest["digest"]


def digest(archive: Path) -> str:
    """Return the digest of the manifest in an archive."""
    with tarfile.open(archive) as tar, contextlib.closing(tar.extractfile("index.json") or io.BytesIO()) as index:
        return json.load(index)["manifests"][0]["digest"]


class _Blobs:
    """Files by the digest of their content, in the order in which they were added."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.paths: dict[str, Path] = {}

    def add(self, path: Path) -> dict[str, Any]:
        """Add a file and return its descriptor, without a media type."""
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        self.paths[digest] = path
        return {"digest": f"sha256:{digest}", "size": path.stat().st_size}

    def add_json(self, tree: Mapping[str, Any]) -> dict[str, Any]:
        path = self._folder / f"{len(self.paths)}.json"
        path.write_bytes(_json(tree))
        return self.add(path)

    def add_layer(self, source: Path) -> dict[str, Any]:
        path = self._folder / f"{len(self.paths)}.layer"
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
            for each in sorted(source.rglob("*")):
                tar.add(each, str(each.relative_to(source)), recursive=False, filter=_anonymous)
        return self.add(path)


def _manifest(blobs: _Blobs, layers: Sequence[Path], config: Config) -> dict[str, Any]:
    added = [blobs.add_layer(each) for each in layers]
    run: dict[str, Any] = {
        "Env": [f"PATH={_PATH}", *(f"{k}={v}" for k, v in config.environment.items())],
        "WorkingDir": "/",
    }
    run |= {"Entrypoint": list(config.entrypoint)} if config.entrypoint else {}
    run |= {"User": config.user} if config.user else {}
    run |= {"Labels": dict(config.labels)} if config.labels else {}
    described = {
        **_platform(),
        "config": run,
        "rootfs": {"type": "layers", "diff_ids": [each["digest"] for each in added]},
    }
    return {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **blobs.add_json(described)},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", **each} for each in added],
    }


def _platform() -> dict[str, str]:
    machine = platform.machine()
    return {"architecture": _ARCHITECTURES.get(machine, machine), "os": "linux"}


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    return info


def _json(tree: Mapping[str, Any]) -> bytes:
    return json.dumps(tree, sort_keys=True).encode()


def _member(name: str, size_bytes: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size_bytes
    return info


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    tar.addfile(_member(name, len(content)), io.BytesIO(content))


def main() -> None:
    """Write an archive as the arguments say, and print the digest."""
    parser = argparse.ArgumentParser(description="Write an OCI image archive with one layer per folder.")
    parser.add_argument("archive", type=Path)
    parser.add_argument("name", help="reference with a tag")
    parser.add_argument("layers", nargs="+", type=Path)
    parser.add_argument("--entrypoint", nargs="?", default="")
    given = parser.parse_args()
    print(write(given.archive, given.name, given.layers, Config(entrypoint=given.entrypoint.split())))


if __name__ == "__main__":
    main()
