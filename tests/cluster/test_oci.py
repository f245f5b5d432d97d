"""Image archives: the same folders give the same bytes, and the archive is what the specification says."""

import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest

import oci

CONFIG = oci.Config(entrypoint=["/app"], environment={"HOME": "/tmp"}, user="65532", labels={"a": "b"})


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    folder = tmp_path / "layer"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/app").write_text("#!/bin/sh\n")
    (folder / "bin/app").chmod(0o755)
    (folder / "app").symlink_to("bin/app")
    return folder


def test_times_owners_and_the_order_of_files_are_not_part_of_an_image(tmp_path: Path, layer: Path):
    first = oci.write(tmp_path / "1.tar", "example.com/app:1", [layer], CONFIG)
    (layer / "bin/app").rename(layer / "bin/other")
    (layer / "bin/other").rename(layer / "bin/app")
    os.utime(layer / "bin/app", (1, 1))
    if os.geteuid() == 0:
        os.chown(layer / "bin/app", 1234, 1234)
    second = oci.write(tmp_path / "2.tar", "example.com/app:1", [layer], CONFIG)
    assert first == second == oci.digest(tmp_path / "2.tar")
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()


@pytest.mark.parametrize("change", ["content", "mode", "config"])
def test_every_change_that_a_pod_can_see_changes_the_digest(tmp_path: Path, layer: Path, change: str):
    before = oci.write(tmp_path / "1.tar", "example.com/app:1", [layer], CONFIG)
    config = CONFIG
    if change == "content":
        (layer / "bin/app").write_text("#!/bin/bash\n")
    elif change == "mode":
        (layer / "bin/app").chmod(0o700)
    else:
        config = oci.Config(entrypoint=["/other"])
    assert oci.write(tmp_path / "2.tar", "example.com/app:1", [layer], config) != before


def test_every_blob_lies_under_its_digest_and_every_descriptor_names_one(tmp_path: Path, layer: Path):
    digest = oci.write(tmp_path / "1.tar", "example.com/team/app:1", [layer, layer], CONFIG)
    with tarfile.open(tmp_path / "1.tar") as tar:
        content = {each.name: file.read() for each in tar if (file := tar.extractfile(each))}
    blobs = {f"sha256:{name.rpartition('/')[2]}": data for name, data in content.items() if name.startswith("blobs/")}
    assert all(name == f"sha256:{hashlib.sha256(data).hexdigest()}" for name, data in blobs.items())
    assert json.loads(content["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads(content["index.json"])["manifests"]
    assert entry["digest"] == digest
    assert entry["annotations"] == {
        "io.containerd.image.name": "example.com/team/app:1",
        "org.opencontainers.image.ref.name": "1",
    }
    manifest = json.loads(blobs[digest])
    config = json.loads(blobs[manifest["config"]["digest"]])
    assert config["config"]["Entrypoint"] == ["/app"]
    assert config["config"]["User"] == "65532"
    assert config["rootfs"]["diff_ids"] == [each["digest"] for each in manifest["layers"]]
    assert all(len(blobs[each["digest"]]) == each["size"] for each in [manifest["config"], *manifest["layers"]])
