"""Check manifests against the schemas of a cluster, strictly: unknown fields are errors.

Called by control. It checks Bateau's own manifests and foreign ones.

Invariant: a manifest, or a part of one, that could not be checked gives a finding "not checked". Held by
tests/render/test_validation.py.
Invariant: a finding never shows a value of a Secret, and placing it never starts a search for origins. Held by
tests/render/test_validation.py and tests/sources/foreign/test_places.py.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from bateau.domain.finding import Finding, Verdict
from bateau.domain.manifest import Manifest
from bateau.domain.origin import place
from bateau.kit.flux_variable import flux_variable
from bateau.kit.json_value import ReadObject, object_at
from bateau.kit.position import Position, leaves
from bateau.render.rejections import rejections
from bateau.render.schemas import Schemas

_ENCRYPTED: Final = "ENC["
_NO_NAMESPACE: Final = "the object gets no namespace; bring its CRD in an App, or write metadata.namespace"
_SOPS_HINT: Final = "decrypt them before the object is applied, as Flux and KSOPS do"


def validate(manifests: Iterable[Manifest], schemas: Schemas) -> tuple[Finding, ...]:
    """Return an error for everything that the API server would reject, and "not checked" for parts without a schema."""
    return tuple(finding for manifest in manifests for finding in _of(manifest, schemas))


def repeated(manifests: Iterable[Manifest]) -> tuple[Finding, ...]:
    """Return an error for each object that more than one manifest describes; it names their services and places."""
    described: dict[tuple[str, str, str, str], list[Manifest]] = {}
    for manifest in manifests:
        if not manifest.is_generated:
            described.setdefault(manifest.key, []).append(manifest)
    found: list[Finding] = []
    for same in described.values():
        if len(same) > 1:
            second = same[1]
            sources = " and ".join(f"that of {each.service} at {place(each.origins)}" for each in same)
            says = f"{len(same)} manifests describe this object: {sources}"
            found.append(_finding(second, "error", says, place(second.origins), "metadata.name"))
    return tuple(found)


def is_encrypted(tree: ReadObject) -> bool:
    """Whether SOPS has encrypted values of an object: it then has added its own metadata as a top-level field."""
    return isinstance(tree.get("sops"), Mapping)


def _of(manifest: Manifest, schemas: Schemas) -> Iterator[Finding]:
    tree, origins = manifest.tree, manifest.origins
    encrypted = is_encrypted(tree)
    if encrypted:
        tree = {key: value for key, value in tree.items() if key != "sops"}
        count = sum(isinstance(value, str) and value.startswith(_ENCRYPTED) for _, value in leaves(tree))
        says = f"{count} value{'' if count == 1 else 's'} encrypted with SOPS; {_SOPS_HINT}"
        yield _finding(manifest, "not checked", says, place(origins))
    group, kind = manifest.group_kind
    version = str(tree["apiVersion"]).rpartition("/")[2]
    key = (group, version, kind)
    checker = schemas.checker(key)
    unscoped = schemas.scope(group, kind) is None and not object_at(tree, "metadata").get("namespace")
    if isinstance(checker, str):
        server, versions = schemas.versions(group, kind)
        if versions and version not in versions:
            says = f"{server} serves {kind} as {', '.join(versions)} and not as {version}"
            yield _finding(manifest, "error", says, place(origins, "apiVersion"), "apiVersion")
        else:
            says = f"{checker}{f', and neither is its scope: {_NO_NAMESPACE}' if unscoped else ''}"
            yield _finding(manifest, "not checked", says, place(origins), "apiVersion")
        return
    if unscoped:
        says = f"the scope of {kind} is not known: {_NO_NAMESPACE}"
        yield _finding(manifest, "not checked", says, place(origins), "metadata.namespace")
    for each in rejections(tree, checker, secret=kind == "Secret"):
        if not _is_replaced_later(each.value, manifest, encrypted=encrypted):
            where = place(origins, each.path, of_key=each.of_key)
            yield _finding(manifest, "error", each.says, where, each.path)
    # Whatever Bateau renders itself is tested with the API server, CEL rules included.
    if manifest.target != "kubernetes" and schemas.has_rules(key):
        yield _finding(manifest, "not checked", f"the CEL rules in the schema of {kind}", place(origins))


def _is_replaced_later(value: object, manifest: Manifest, *, encrypted: bool) -> bool:
    """Whether SOPS or Flux replaces a value before it is applied. Of both, a finding says that it was not checked."""
    if encrypted and isinstance(value, str) and value.startswith(_ENCRYPTED):
        return True
    return manifest.target == "foreign" and flux_variable(value) is not None


def _finding(manifest: Manifest, verdict: Verdict, says: str, where: Position | None, path: str = "") -> Finding:
    name = f"{manifest.group_kind[1]} {manifest.name}"
    service = None if manifest.service is None else str(manifest.service)
    return Finding(
        rule="schema", subject=name, verdict=verdict, says=says, where=where, path=path or None, service=service
    )
