"""Split the objects of units into waves: each is applied once the one before is healthy.

Called by control.rollout. Pure.

Invariant: every object is in exactly one wave, and the last wave has all of them. Held by tests/control/test_waves.py.
Refused: waiting for every kind. A PersistentVolumeClaim is bound when its pod exists, and a third-party object, such as
a certificate, may need the gateway: a rollout that waits for either never ends.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bateau.domain.apply_order import rank
from bateau.domain.change import ObjectKey
from bateau.domain.manifest import Manifest
from bateau.domain.unit import Objects, Unit

_DEFINITIONS: Final = rank("apiextensions.k8s.io", "CustomResourceDefinition")
_SERVICES: Final = rank("", "Service")
_WORKLOADS: Final = rank("apps", "Deployment")
# Requests reach a workload through these, and a webhook without a ready pod refuses every object.
_ENTRANCES: Final = frozenset(
    ("Ingress", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "APIService")
)
_NAMES: Final = ("namespaces and definitions", "configuration and Services", "workloads", "the gateway")
_AWAITED: Final = (0, 2)  # the waves of which something has to be healthy before the next one


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """The units up to and including one wave. `awaited` has to be healthy, and `own` to exist, before the next wave."""

    name: str
    units: Sequence[Unit]
    own: Collection[ObjectKey]
    awaited: Collection[ObjectKey] = ()


def waves(units: Sequence[Unit]) -> Sequence[Wave]:
    """Return the waves that have objects, in their order; one if nothing is to be awaited."""
    objects = [each for unit in units for each in _manifests(unit)]
    used = sorted({_wave(each) for each in objects})
    if len(used) <= 1 or any(not isinstance(unit.body, Objects) for unit in units):
        return (Wave(name="everything", units=units, own=frozenset(each.key for each in objects)),)
    return [
        Wave(
            name=_NAMES[number],
            units=[cut for unit in units if (cut := _until(unit, number)) is not None],
            own=frozenset(each.key for each in objects if _wave(each) == number),
            awaited=frozenset(each.key for each in objects if _wave(each) == number and _is_awaited(each)),
        )
        for number in used
    ]


def _until(unit: Unit, number: int) -> Unit | None:
    """Return a unit with the objects of the waves up to this one; None if there are none yet."""
    kept = tuple(each for each in _manifests(unit) if _wave(each) <= number)
    if not kept:
        return None
    return unit if len(kept) == len(_manifests(unit)) else replace(unit, body=Objects(manifests=kept))


def _wave(manifest: Manifest) -> int:
    group, kind = manifest.group_kind
    if (order := rank(group, kind)) <= _DEFINITIONS:
        return 0
    if order <= _SERVICES:
        return 1
    is_built_in = group.endswith(".k8s.io")
    return 3 if group == "gateway.networking.k8s.io" or (is_built_in and kind in _ENTRANCES) else 2


def _is_awaited(manifest: Manifest) -> bool:
    number = _wave(manifest)
    return number in _AWAITED and (number == 0 or rank(*manifest.group_kind) == _WORKLOADS)


def _manifests(unit: Unit) -> Sequence[Manifest]:
    return unit.body.manifests if isinstance(unit.body, Objects) else ()
