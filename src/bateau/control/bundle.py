"""One environment as a file: manifests, where their fields came from, what was found, and what made it.

Called by `render --bundle`, by `plan --against` and by `explain --bundle`, through wiring. The agent of a cluster
applies it without the repository. A bundle is a tar archive (POSIX.1-2001) compressed by Zstandard (RFC 8878):

  bundle.json                   what is in it: apiVersion, environment, services, objects (group, kind, namespace,
                                name, and a digest of 16 bytes), how many findings
  findings.json                 what target, schemas and policies say
  manifests/app/shop.yaml       one file for each service
  provenance/app/shop.json      where its fields came from

Invariant: the same content gives the same bytes: no times, owners or host names, and services in a fixed order.
Invariant: the files stand in the frames that packing made, so that what has not changed is taken as it was.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import orjson

from bateau.control.packing import Packed
from bateau.control.piece import manifests_file, provenance_file
from bateau.control.provenance import Provenance
from bateau.domain.change import object_name
from bateau.domain.errors import ControlError
from bateau.domain.finding import Finding
from bateau.domain.manifest import Manifest
from bateau.kit.archive import archive, compressed, files_in, members
from bateau.kit.yaml_tree import read_documents

API_VERSION: Final = "bateau.dev/bundle/v1"
_VERDICTS: Final = ("error", "warning", "excepted", "not checked")


def bundle(packed: Packed, *, version: str, namespace: str, kubernetes: str, commit: str | None) -> bytes:
    """Return the bundle of an environment. `version` is that of Bateau, `commit` the one that was read."""
    about = {
        "apiVersion": API_VERSION,
        "bateau": version,
        "environment": packed.environment,
        "namespace": namespace,
        "kubernetes": kubernetes,
        "commit": commit,
        "services": [piece.service for piece in packed.pieces],
        "objects": [[*key, digest.hex()] for piece in packed.pieces for key, digest in piece.objects],
        "findings": {verdict: sum(f.verdict == verdict for f in packed.findings) for verdict in _VERDICTS},
    }
    findings = [_finding(finding) for finding in packed.findings]
    first = compressed(members({"bundle.json": _json(about), "findings.json": _json(findings)}))
    return archive((first, *packed.frames))


def manifests_of(packed: Packed) -> Iterator[tuple[str, bytes]]:
    """Yield each service with the YAML of its manifests, in their order."""
    files = files_in(b"".join(packed.frames))
    for piece in packed.pieces:
        yield piece.service, files[manifests_file(piece.service)]


def _json(tree: Any) -> bytes:
    return orjson.dumps(tree, option=orjson.OPT_SORT_KEYS)


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "subject": finding.subject,
        "verdict": finding.verdict,
        "says": finding.says,
        "where": str(finding.where) if finding.where else None,
        "path": finding.path,
    }


def read_bundle(data: bytes, name: str, *, environment: str | None = None) -> tuple[Manifest, ...]:
    """Return the manifests in the bundle that is called `name`, each field with where it came from.

    Raises ControlError where it is none, is damaged, or is of another than the `environment` that is given.
    """
    try:
        files = files_in(data)
        about: dict[str, Any] = json.loads(files["bundle.json"])
        json.loads(files["findings.json"])  # a bundle without them is none
        form = about["apiVersion"]
        manifests = tuple(each for service in about["services"] for each in _manifests(files, service))
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        hint = "make one with `bateau render ENV --bundle FILE`"
        raise ControlError(f"{name} is no bundle, or is damaged: {error}", hint=hint) from error
    if form != API_VERSION:
        raise ControlError(f"{name} is a bundle of form {form}", hint=f"this version reads {API_VERSION}")
    if environment and about.get("environment") != environment:
        raise ControlError(f"{name} is a bundle of {about.get('environment')}, not of {environment}")
    return manifests


def _manifests(files: Mapping[str, bytes], service: str) -> Iterator[Manifest]:
    text, provenance = files[manifests_file(service)], files[provenance_file(service)]
    documents, unread = read_documents(service, text.decode(), bytes_max=len(text))
    if unread:
        raise ValueError(f"the manifests of {service} are damaged")
    for document in documents:
        manifest = Manifest(service=service, target="bundle", tree=cast("dict[str, Any]", document.tree), origins={})
        origins = Provenance(provenance, object_name(manifest.key), manifest.tree)
        yield Manifest(service=service, target="bundle", tree=manifest.tree, origins=origins)
