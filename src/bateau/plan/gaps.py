"""Keep apart the services that one side could not render: their objects are neither created nor removed.

Called by control.comparison, control.delivery, control.unrendered and plan.delivery. The reasons come from control,
which renders both sides.

Invariant: an observed object that may be removed is named in a gap, and never dropped. Held by
tests/plan/test_removals_shown.py and tests/wiring/test_plan_baseline.py.
Refused: comparing with an empty side; every object would be created, and no removal would show.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from bateau.domain.change import Gap, ObjectKey

_SOME: Final = "a service without a name could not be rendered"


@dataclass(frozen=True, kw_only=True)
class Unrendered:
    """The services that one side could not render.

    `side` names the side to people. `reasons` go by the key of the service. `names` may be those of documents that
    could not be read. `everything` is the reason if no service at all could be rendered. It is `partial` if documents
    are missing, with or without a known name.
    """

    side: str = ""
    reasons: Mapping[str, str] = field(default_factory=dict[str, str])
    names: frozenset[str] = frozenset()
    everything: str | None = None
    partial: bool = False

    def __bool__(self) -> bool:
        """Whether any service is missing."""
        return bool(self.reasons or self.names or self.everything or self.partial)

    def reason(self, service: str | None, rendered: Collection[str] = ()) -> str | None:
        """Return why a service, or an object of an unknown service, could not be rendered; None if it could.

        `rendered` are the keys of the services that were rendered.
        """
        if self.everything:
            return self.everything
        if service is None:
            return next(iter(self.reasons.values()), _SOME) if self else None
        if service in self.reasons:
            return self.reasons[service]
        named = service.rpartition("/")[2] in self.names and service not in rendered
        return f"a document that may describe {service} has errors" if named else None


class Apart(NamedTuple):
    """An object that is kept apart: `side` could not render its `service`. `going`: it is observed, not desired."""

    key: ObjectKey
    service: str | None
    side: Unrendered
    reason: str
    going: bool


@dataclass(slots=True)
class _Gathered:
    """A gap while its objects are gathered."""

    service: str | None
    sides: dict[str, None] = field(default_factory=dict[str, None])
    may_go: list[ObjectKey] = field(default_factory=list[ObjectKey])
    may_exist: list[ObjectKey] = field(default_factory=list[ObjectKey])


def gaps(sides: Iterable[Unrendered], apart: Iterable[Apart]) -> tuple[Gap, ...]:
    """Return the gaps of both sides in order; a service that both lack for the same reason is one gap."""
    found: dict[tuple[str, str], _Gathered] = {}

    def gathered(service: str | None, side: Unrendered, reason: str) -> _Gathered:
        gap = found.setdefault((service or "", reason), _Gathered(service))
        gap.sides[side.side] = None
        return gap

    for side in sides:
        for service, reason in {None: side.everything, **side.reasons}.items():
            if reason is not None:
                gathered(service, side, reason)
    for key, service, side, reason, going in sorted(apart, key=lambda each: each.key):
        gap = gathered(None if side.everything else service, side, reason)
        (gap.may_go if going else gap.may_exist).append(key)
    return tuple(
        Gap(
            service=gap.service,
            side=" and ".join(gap.sides),
            reason=reason,
            may_go=tuple(gap.may_go),
            may_exist=tuple(gap.may_exist),
        )
        for (_, reason), gap in sorted(found.items())
    )
