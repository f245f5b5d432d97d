"""Turn a release into the manifests of a target, in one order.

Called by control.path after hydrate, before policy and plan.

Invariant: manifests come sorted by service, kind and name, in whatever order the services stand.
Refused: templates of text; they lose where a value came from, and quote by luck.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from bateau.domain.finding import Finding
from bateau.domain.manifest import Manifest
from bateau.domain.release import Release, Service
from bateau.domain.spec import AppSpec
from bateau.ports.foreign import Expansion
from bateau.ports.target import Rendering, Surroundings, Target
from bateau.render.foreign import taken_in
from bateau.render.kubernetes.target import Kubernetes

TARGETS: Final[Mapping[str, Target]] = {target.name: target for target in (Kubernetes(),)}


def render(
    release: Release,
    *,
    namespace: str = "default",
    target: str = "kubernetes",
    foreign: Mapping[str, Expansion] | None = None,
) -> Rendering:
    """Return the manifests of all services, and what could not be rendered. Raises KeyError for an unknown target.

    `foreign` has what was made of foreign documents, by service key.
    """
    chosen = TARGETS[target]
    names = Counter(service.name for service in release.services if not service.brings_documents)
    around = _surroundings(release, namespace)
    manifests: list[Manifest] = []
    findings: list[Finding] = []
    for service in sorted(release.services, key=lambda each: each.key):
        if names[service.name] > 1 and not service.brings_documents:
            # Objects are named for their service: an app and a model of one name would overwrite each other.
            says = f"not rendered: app/{service.name} and model/{service.name} would be the same objects; rename one"
            findings.append(
                Finding(rule="render", subject=service.key, verdict="error", says=says, where=service.position)
            )
            continue
        if service.brings_documents:
            made = taken_in((foreign or {}).get(service.key), service, namespace, release.environment)
        else:
            made = chosen.render(service, around)
        manifests += sorted(made.manifests, key=lambda each: each.key)
        findings += made.findings
    return Rendering(manifests=tuple(manifests), findings=tuple(findings))


def _surroundings(release: Release, namespace: str) -> Surroundings:
    """Index the release once: looking through it for each service would make the whole quadratic."""
    users: dict[str, list[Service]] = {}
    for service in sorted(release.services, key=lambda each: each.key):
        for used in dict.fromkeys(service.spec.uses) if isinstance(service.spec, AppSpec) else ():
            users.setdefault(used, []).append(service)
    return Surroundings(
        environment=release.environment,
        namespace=namespace,
        services={service.key: service for service in release.services},
        users=users,
    )
