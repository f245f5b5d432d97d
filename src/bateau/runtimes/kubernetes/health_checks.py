"""Judge the health of third-party kinds by CEL expressions that an environment declares, and of all others by kstatus.

Called by wiring.clusters. The order of the expressions is that of Flux' `healthCheckExprs`.

Invariant: an expression that cannot be evaluated, such as on a status that is still empty, is never "current". Held by
tests/runtimes/kubernetes/test_health_checks.py.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bateau.kit.json_value import JsonObject, text_at
from bateau.kit.kstatus import CURRENT, Health, State, health


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The expressions of one kind, of a group. `in_progress` and `failed` may be None."""

    group: str
    kind: str
    current: str
    failed: str | None = None
    in_progress: str | None = None


class DeclaredHealth:
    """Judges objects; called with the object as the API server returns it. `fields` are those that expressions see."""

    def __init__(self, checks: Iterable[Check], fields: Iterable[str]) -> None:
        self._checks: Mapping[tuple[str, str], Check] = {(each.group, each.kind): each for each in checks}
        self._fields = tuple(fields)

    def __call__(self, tree: JsonObject) -> Health:
        """Return the health of an object."""
        check = self._checks.get((text_at(tree, "apiVersion").rpartition("/")[0], text_at(tree, "kind")))
        if check is None:
            return health(tree)
        plain = health(tree)
        if plain.reason in ("Terminating", "LatestGenerationNotObserved"):
            return plain
        from bateau.kit.cel import CelError, Scope  # most environments have no such check

        scope = Scope({field: tree.get(field, {}) for field in self._fields})
        says = "none of its health checks is true"
        found: list[tuple[State, str | None]] = [
            ("in progress", check.in_progress),
            ("failed", check.failed),
            ("current", check.current),
        ]
        for state, expression in found:
            try:
                if expression and scope.value(expression) is True:
                    return (
                        CURRENT if state == "current" else Health(state, f"health check: {expression}", "HealthCheck")
                    )
            except CelError as error:
                says = f"its health check cannot be evaluated yet: {error}"
        return Health("in progress", says, "HealthCheck")
