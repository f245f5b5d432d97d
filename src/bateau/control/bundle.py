"""Pack one environment into a file: manifests, the origins of their fields, and the findings.

Called by cli.render, control.bundled, wiring.bundles and wiring.packing. The agent of a cluster applies it without the
repository. A bundle is a tar archive (POSIX.1-2001) compressed by Zstandard (RFC 8878):

  bundle.json                   the contents: apiVersion, environment, services, objects in the order in which they are
                                applied (group, kind, namespace, name, and a digest of 16 bytes), counts of findings;
                                for an agent: namespace, repository, commit, drift, health checks, digests of services
  findings.json                 the findings of target, schemas and policies
  gateway.json                  the models and the keys that the gateway of the cluster serves: see control.served
  manifests/app/shop.yaml       one file for each service
  provenance/app/shop.json      the origins of its fields

Invariant: the same content gives the same bytes: no times, owners or host names, and services in a fixed order. Held by
tests/wiring/test_bundles.py::test_a_bundle_is_the_same_to_the_bit_with_a_cache_and_without.
Invariant: the files are in the frames that packing made, so that unchanged services are copied. Held by
tests/control/test_packing.py::test_one_change_works_out_one_service_and_its_neighbours_only.
"""

import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import orjson

from bateau.control.destinations import Terms
from bateau.control.packing import Packed
from bateau.control.piece import manifests_file, provenance_file
from bateau.control.provenance import Provenance
from bateau.control.served import FILE
from bateau.domain.apply_order import rank
from bateau.domain.change import ObjectKey, object_name
from bateau.domain.errors import ControlError
from bateau.domain.finding import Finding
from bateau.domain.manifest import Manifest, numbered
from bateau.kit.archive import archive, compressed, files_in, members
from bateau.kit.json_value import JsonObject, ReadJson, ReadObject, object_at, texts_at
from bateau.kit.yaml_tree import read_documents
from bateau.kit.yaml_writer import split_documents

API_VERSION: Final = "bateau.dev/bundle/v2"
_READABLE: Final = ("bateau.dev/bundle/v1", API_VERSION)  # v1 lists the objects by service
_VERDICTS: Final = ("error", "warning", "excepted", "not checked")


def bundle(
    packed: Packed,
    terms: Terms,
    *,
    version: str,
    kubernetes: str,
    commit: str | None,
    repository: str,
    served: ReadObject,
) -> bytes:
    """Return the bundle of an environment.

    `version` is that of Bateau; `commit` is the commit of the specs, and `repository` the name of their repository.
    `served` has the models and the keys for a gateway.
    """
    about: ReadObject = {
        "apiVersion": API_VERSION,
        "bateau": version,
        "environment": packed.environment,
        "namespace": packed.namespace,
        "kubernetes": kubernetes,
        "commit": commit,
        "repository": repository,
        "drift": terms.drift,
        "healthChecks": [
            {
                "apiVersion": each.api_version,
                "kind": each.kind,
                "current": each.current,
                "failed": each.failed,
                "inProgress": each.in_progress,
            }
            for each in terms.health_checks
        ],
        "services": [piece.service for piece in packed.pieces],
        "digests": {str(piece.service): piece.digest for piece in packed.pieces},
        "objects": [[*key, digest.hex()] for key, digest in _in_order(packed)],
        "findings": {verdict: sum(f.verdict == verdict for f in packed.findings) for verdict in _VERDICTS},
    }
    findings = [_finding(finding) for finding in packed.findings]
    files = {"bundle.json": _json(about), "findings.json": _json(findings), FILE: _json(served)}
    first = compressed(members(files))
    return archive((first, *packed.frames))


def manifests_of(packed: Packed) -> Iterator[tuple[str, bytes]]:
    """Yield each service with the YAML of its manifests, in their order."""
    files = files_in(b"".join(packed.frames))
    for piece in packed.pieces:
        yield piece.service, files[manifests_file(piece.service)]


def manifests_in_order(packed: Packed) -> Iterator[bytes]:
    """Yield the YAML of each manifest in the order in which they are applied: all namespaces first."""
    found: list[tuple[int, bytes]] = []
    for (_, text), piece in zip(manifests_of(packed), packed.pieces, strict=True):
        documents = [each.encode() for each in split_documents(text.decode())]
        ranks = (rank(*key[:2]) for key, _ in piece.objects)
        found += zip(ranks, documents, strict=True)
    yield from (document for _, document in sorted(found, key=lambda pair: pair[0]))


def _in_order(packed: Packed) -> list[tuple[ObjectKey, bytes]]:
    """Return the objects with their digests in the order in which they are applied, and within it by service."""
    return sorted((each for piece in packed.pieces for each in piece.objects), key=lambda pair: rank(*pair[0][:2]))


def _json(tree: ReadJson) -> bytes:
    return orjson.dumps(tree, option=orjson.OPT_SORT_KEYS)


def _finding(finding: Finding) -> JsonObject:
    return {
        "rule": finding.rule,
        "subject": finding.subject,
        "verdict": finding.verdict,
        "says": finding.says,
        "where": str(finding.where) if finding.where else None,
        "path": finding.path,
        "service": finding.service,
    }


def read_bundle(data: bytes, name: str, *, environment: str | None = None) -> tuple[Manifest, ...]:
    """Return the manifests in the bundle with this `name`, each field with its origin.

    Raises ControlError if it is not a bundle, is damaged, or is for another environment than `environment`.
    """
    with reading_of(name):
        files = files_in(data)
        about = about_in(files, name)
        manifests = tuple(each for service in texts_at(about, "services") for each in _explained(files, service))
    if environment and about.get("environment") != environment:
        raise ControlError(f"{name} is a bundle of {about.get('environment')}, not of {environment}")
    return manifests


@contextmanager
def reading_of(name: str) -> Generator[None]:
    """Turn an error in the content of a bundle into a ControlError."""
    try:
        yield
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        hint = "make one with `bateau render --env NAME --bundle FILE`"
        raise ControlError(f"{name} is not a bundle, or is damaged: {error}", hint=hint) from error


def about_in(files: Mapping[str, bytes], name: str) -> JsonObject:
    """Return the contents of a bundle. Raises ControlError for another format, and the errors of damaged JSON."""
    about = object_at(json.loads(files["bundle.json"]))
    form = about["apiVersion"]
    if form not in _READABLE:
        raise ControlError(f"{name} has the bundle format {form}", hint=f"this version reads {' and '.join(_READABLE)}")
    json.loads(files["findings.json"])  # every bundle has them
    return about


def manifests_in(files: Mapping[str, bytes], service: str) -> list[Manifest]:
    """Return the manifests of a service in a bundle, without origins. Raises ValueError."""
    text = files[manifests_file(service)]
    documents, unread = read_documents(service, text.decode(), bytes_max=len(text))
    if unread:
        raise ValueError(f"the manifests of {service} are damaged")
    trees = [object_at(document.tree) for document in documents]
    return numbered(Manifest(service=service, target="bundle", tree=tree, origins={}) for tree in trees)


def _explained(files: Mapping[str, bytes], service: str) -> Iterator[Manifest]:
    provenance = files[provenance_file(service)]
    for manifest in manifests_in(files, service):
        yield replace(manifest, origins=Provenance(provenance, object_name(manifest.key), manifest.tree))
