"""Render one service of a release into the objects of a target, in the order in which they are applied.

Called by control.

Invariant: manifests are in the order in which they are applied, and within it by kind, namespace and name. Held by
tests/control/test_apply_order.py.
Invariant: a service is rendered from itself and its surroundings, and from nothing else. Held by
tests/control/test_packing.py::test_one_change_works_out_one_service_and_its_neighbours_only.
Refused: text templates; they lose the origin of a value, and their quoting is fragile.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from bateau.domain.apply_order import rank
from bateau.domain.finding import Finding
from bateau.domain.manifest import Manifest, name_of
from bateau.domain.unit import Objects
from bateau.domain.workload import Documents, ServiceKey, Workload
from bateau.ports.foreign import Expansion
from bateau.ports.target import Rendering, Surroundings, Target
from bateau.render.foreign import Scopes, included
from bateau.render.kubernetes.target import Kubernetes
from bateau.render.process.target import Process

TARGETS: Final[Mapping[str, Target]] = {target.name: target for target in (Kubernetes(), Process())}


def render_service(
    service: Workload,
    around: Surroundings,
    *,
    target: str = "kubernetes",
    expansion: Expansion | None = None,
    scopes: Scopes = lambda _group, _kind: None,
    doubled: bool = False,
) -> Rendering:
    """Return the manifests of one service.

    `expansion`: the objects that it brings, whose namespace `scopes` decides. `doubled`: a service of another kind has
    its name.
    """
    if target == "kubernetes" and isinstance(service.runs, Documents):
        made = included(expansion, service, around, scopes)
    else:
        made = TARGETS[target].render(service, around)
    if not made.manifests:
        return made
    if doubled and not isinstance(service.runs, Documents):
        # Objects are named for their service: an app and a model of one name would overwrite each other.
        says = f"not rendered: app/{service.name} and model/{service.name} would be the same objects; rename one"
        finding = Finding(rule="render", subject=service.key, verdict="error", says=says, where=service.position)
        return Rendering(findings=(finding,))
    return Rendering(body=Objects(manifests=tuple(sorted(made.manifests, key=_order))), findings=made.findings)


def _order(manifest: Manifest) -> tuple[object, ...]:
    return (rank(*manifest.group_kind), *manifest.key[:3], name_of(manifest.tree), manifest.ordinal)


def used_by(service: Workload) -> tuple[ServiceKey, ...]:
    """Return the keys of the services that a service uses, once each."""
    return tuple(dict.fromkeys(service.uses))


def users_of(uses: Iterable[tuple[ServiceKey, Sequence[ServiceKey]]]) -> Mapping[str, Sequence[ServiceKey]]:
    """Invert (service, services that it uses): return the users of each service, in the order given."""
    users: dict[str, list[ServiceKey]] = {}
    for key, used in uses:
        for each in used:
            users.setdefault(each, []).append(key)
    return users


def doubled_names(keys: Iterable[tuple[str, ServiceKey]]) -> frozenset[tuple[str, str]]:
    """Return the namespaces and names that services of more than one kind have; takes namespaces and keys."""
    names = Counter((namespace, key.name) for namespace, key in keys)
    return frozenset(name for name, count in names.items() if count > 1)
