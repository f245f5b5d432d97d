"""Decide which hooks of Helm and Argo CD are included among the objects, and report each one.

Called by sources.foreign.helm, sources.foreign.kustomize and sources.foreign.plain. A hook that runs on every install
or sync is included as a plain object. One that runs on another occasion (a deletion, a rollback, a failed sync) is left
out: applied with the others, it would run at the wrong time.

Invariant: each hook gives one finding; the tests of a chart alone give none, because `helm install` does not run them.
Held by tests/sources/foreign/test_accepted.py and tests/sources/foreign/test_helm.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bateau.domain.finding import Finding
from bateau.kit.json_value import ReadObject
from bateau.kit.position import Position, child
from bateau.sources.foreign.objects import Found

_ARGO: Final = "argocd.argoproj.io/hook"
_HELM: Final = "helm.sh/hook"
_ARGO_INCLUDED: Final = frozenset(("PreSync", "Sync", "PostSync"))
_ARGO_LEFT_OUT: Final = frozenset(("PreDelete", "PostDelete", "SyncFail", "Skip"))
_HELM_INCLUDED: Final = frozenset(("pre-install", "post-install", "pre-upgrade", "post-upgrade", "crd-install"))
_HELM_TESTS: Final = frozenset(("test", "test-success", "test-failure"))
_HELM_LEFT_OUT: Final = frozenset(("pre-delete", "post-delete", "pre-rollback", "post-rollback")) | _HELM_TESTS
_PLAIN: Final = "it is applied as a plain object, together with the others, and is not deleted afterwards"


@dataclass(frozen=True, slots=True)
class Hook:
    """A hook: its annotation, whether its object is included, and why. `is_test`: a test of a chart."""

    annotation: str
    included: bool
    says: str
    is_test: bool = False


def without_others(
    objects: Sequence[Found], *, service: str, at: Callable[[int, str], Position], of_chart: bool = False
) -> tuple[list[int], list[Finding]]:
    """Return the numbers of the objects that are included, and a finding for each hook.

    `at` returns the place of a field of an object, by the number of the object and the path of the field.
    """
    kept: list[int] = []
    findings: list[Finding] = []
    for number, each in enumerate(objects):
        hook = hook_of(each.annotations)
        if hook is None or hook.included:
            kept.append(number)
        if hook and not (of_chart and hook.is_test):
            path = child("metadata.annotations", hook.annotation)
            says = f"{each.kind[1]} {each.name} is {hook.says}"
            where = at(number, path)
            findings.append(
                Finding(rule="foreign", subject=service, verdict="warning", says=says, where=where, path=path)
            )
    return kept, findings


def hook_of(annotations: ReadObject) -> Hook | None:
    """Return the hook that an object is, None for a plain object. Argo CD's annotation has priority over Helm's.

    >>> hook_of({"argocd.argoproj.io/hook": "PreSync", "helm.sh/hook": "test"}).included
    True
    >>> hook_of({"helm.sh/hook": "test"}).says
    'a Helm hook (test); it is left out, because Bateau does not run tests'
    """
    if argo := _events(annotations.get(_ARGO)):
        return _of_argo(argo)
    if helm := _events(annotations.get(_HELM)):
        return _of_helm(helm)
    return None


def _of_argo(events: set[str]) -> Hook:
    named = f"an Argo CD hook ({_listed(events)})"
    if events & _ARGO_INCLUDED:
        return Hook(_ARGO, included=True, says=f"{named}; {_PLAIN}")
    if not events & _ARGO_LEFT_OUT:
        return Hook(_ARGO, included=True, says=f"{named} of an unknown type; {_PLAIN}")
    why = "Argo CD skips it" if "Skip" in events else "Bateau does not run hooks when a sync fails or an app is deleted"
    return Hook(_ARGO, included=False, says=f"{named}; it is left out, because {why}")


def _of_helm(events: set[str]) -> Hook:
    named = f"a Helm hook ({_listed(events)})"
    if not events <= _HELM_LEFT_OUT:
        unknown = "" if events & _HELM_INCLUDED else " of an unknown type"
        return Hook(_HELM, included=True, says=f"{named}{unknown}; {_PLAIN}")
    is_test = events <= _HELM_TESTS
    why = "Bateau does not run tests" if is_test else "Bateau does not delete or roll back as Helm does"
    return Hook(_HELM, included=False, says=f"{named}; it is left out, because {why}", is_test=is_test)


def _events(value: object) -> set[str]:
    return {event.strip() for event in str(value or "").split(",")} - {""}


def _listed(events: set[str]) -> str:
    return ", ".join(sorted(events))
