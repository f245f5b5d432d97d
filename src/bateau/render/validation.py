"""Manifests against the schemas of a cluster, strictly: unknown fields are errors.

Called by control.path after render, for our own manifests and foreign ones alike.

Invariant: no manifest passes in silence for want of a schema: that is a finding "not checked". Values of a Secret are
never shown.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from bateau.domain.finding import Finding, Verdict
from bateau.domain.manifest import Manifest
from bateau.domain.origin import Origins
from bateau.kit.position import Position, below
from bateau.render.rejections import rejections
from bateau.render.schemas import Schemas


def validate(manifests: Iterable[Manifest], schemas: Schemas) -> tuple[Finding, ...]:
    """Return what the API server of the cluster would refuse, and what could not be checked."""
    return tuple(finding for manifest in manifests for finding in _of(manifest, schemas))


def repeated(manifests: Iterable[Manifest]) -> tuple[Finding, ...]:
    """Name each object that more than one manifest describes, once."""
    seen: Counter[tuple[str, str, str, str]] = Counter()
    found: list[Finding] = []
    for manifest in manifests:
        seen[manifest.key] += 1
        if seen[manifest.key] == 2:  # noqa: PLR2004 - once is enough to say it
            found.append(_finding(manifest, "error", "two manifests describe this object", "metadata.name"))
    return tuple(found)


def _of(manifest: Manifest, schemas: Schemas) -> Iterable[Finding]:
    group, kind = manifest.group_kind
    version = str(manifest.tree["apiVersion"]).rpartition("/")[2]
    key = (group, version, kind)
    checker = schemas.checker(key)
    if isinstance(checker, str):
        others = schemas.versions(group, kind)
        if others and version not in others:
            says = f"Kubernetes {schemas.version} serves {kind} as {', '.join(others)} and not as {version}"
            yield _finding(manifest, "error", says, "apiVersion")
        else:
            yield _finding(manifest, "not checked", checker, "apiVersion")
        return
    for each in rejections(manifest.tree, checker, secret=kind == "Secret"):
        yield _finding(manifest, "error", each.says, each.path)
    if schemas.has_rules(key):
        yield _finding(manifest, "not checked", f"the CEL rules in the schema of {kind}", None)


def _finding(manifest: Manifest, verdict: Verdict, says: str, path: str | None) -> Finding:
    name = f"{manifest.tree['kind']} {manifest.tree['metadata']['name']}"
    where = _place(manifest.origins, path or "")
    return Finding(rule="schema", subject=name, verdict=verdict, says=says, where=where, path=path or None)


def _place(origins: Origins, path: str) -> Position | None:
    """Return where the field, or else the first thing below it, was written."""
    chain: Any = origins.get(path)
    if not chain:
        chain = next((each for at, each in origins.items() if below(at, path)), ()) or origins.get("metadata.name", ())
    return next((origin.at for origin in reversed(chain) if origin.at), None)
