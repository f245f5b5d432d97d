"""Write the software bill of materials of an image as CycloneDX 1.6 JSON, beside its archive.

Called by image.py. The parts are read from the layers themselves: dpkg's database and the metadata of Python packages.
Libraries inside of wheels, such as those in Envoy, are not listed: a wheel does not name them.

Invariant: the same layers give the same bytes. There is no time and no random serial number in the file. Held by
tests/cluster/test_image.py.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path
from typing import Any
from urllib.parse import quote


@dataclass(frozen=True)
class Subject:
    """The image that the document describes. `digest` is that of its manifest."""

    name: str
    version: str
    digest: str


@dataclass(frozen=True, order=True)
class Part:
    """A package or a model in the image. `sha256` is None if the content is not one file."""

    kind: str
    name: str
    version: str
    url: str
    licence: str = ""
    sha256: str | None = None


def path(archive: Path) -> Path:
    """Return where the document of an archive lies."""
    return archive.with_suffix(".cdx.json")


def write(archive: Path, subject: Subject, parts: Iterable[Part]) -> None:
    """Write the document of an archive."""
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": subject.digest,
                "name": subject.name,
                "version": subject.version,
                "hashes": [_sha256(subject.digest.removeprefix("sha256:"))],
            }
        },
        "components": [_component(each) for each in sorted(set(parts), key=lambda part: (part.kind, part.name))],
    }
    path(archive).write_text(json.dumps(document, indent=1) + "\n")


def debian(root: Path) -> Iterator[Part]:
    """Yield the installed packages of a root file system."""
    architecture_version = re.compile(r"^(Package|Version|Architecture|Status): (.*)$", re.MULTILINE)
    for paragraph in (root / "var/lib/dpkg/status").read_text().split("\n\n"):
        fields = dict(architecture_version.findall(paragraph))
        if fields.get("Status", "").endswith(" installed"):
            name, version = fields["Package"], fields["Version"]
            url = f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={fields['Architecture']}"
            yield Part("library", name, version, url)


def python(site: Path) -> Iterator[Part]:
    """Yield the packages in a folder of installed wheels."""
    for metadata in site.glob("*.dist-info/METADATA"):
        fields = HeaderParser().parsestr(metadata.read_text())
        name = re.sub(r"[-_.]+", "-", fields["Name"]).lower()
        licence = fields["License-Expression"] or ""
        yield Part("library", name, fields["Version"], f"pkg:pypi/{name}@{quote(fields['Version'])}", licence)


def _component(part: Part) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "machine-learning-model" if part.kind == "model" else part.kind,
        "bom-ref": part.url or f"{part.kind}:{part.name}",
        "name": part.name,
        "version": part.version,
    }
    found |= {"purl": part.url} if part.url else {}
    found |= {"licenses": [{"expression": part.licence}]} if part.licence else {}
    found |= {"hashes": [_sha256(part.sha256)]} if part.sha256 else {}
    return found


def _sha256(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest}
