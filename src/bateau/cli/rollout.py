"""Wait until applied, rolled-back or restarted services are ready, or have failed.

Called by cli.apply, cli.restart and cli.rollback.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import click

from bateau.api.trees import ServiceTree, StatusTree
from bateau.cli.detached import watch
from bateau.cli.presenter import Presenter

_STEADY_S = 1.0


@dataclass(frozen=True)
class Rollout:
    """The outcome: the last status, the failing services, and the reason if the specs were not applied."""

    status: StatusTree
    failed: list[str]
    not_applied: str | None = None

    @property
    def done(self) -> bool:
        """Whether every service runs."""
        return not self.failed and self.not_applied is None


def wait_for_written(name: str, presenter: Presenter, written: str) -> Rollout:
    """Show progress until the outcome of the texts with digest `written` is known. Raises ControlError."""

    def refused(tree: StatusTree) -> str | None:
        if tree["specsRejected"]:
            return "not applied: the specs have errors; running services were not changed"
        return (
            "not applied: another `apply` has replaced these specs"
            if tree["accepted"] and tree["written"] != written
            else None
        )

    def ready(tree: StatusTree) -> bool:
        return tree["rolledOut"] and tree["accepted"] and tree["written"] == written

    def failing(tree: StatusTree) -> list[str]:
        accepted = tree["accepted"] and tree["written"] == written
        return [s["service"] for s in (*tree["services"], tree["gateway"]) if _fails(s)] if accepted else []

    steady = _Steady()
    tree = _watched(name, lambda e: bool(steady.is_so(ready(e)) or refused(e) or failing(e)), presenter)
    if ready(tree):
        return Rollout(tree, [])
    return Rollout(tree, [] if refused(tree) else failing(tree), refused(tree))


def wait_for_service(name: str, presenter: Presenter, service: str) -> Rollout:
    """Show progress until the outcome of one service is known; the others do not matter. Raises ControlError."""

    def found(tree: StatusTree) -> ServiceTree:
        return next((each for each in tree["services"] if each["service"] == service), tree["gateway"])

    steady = _Steady()
    tree = _watched(name, lambda each: steady.is_so(found(each)["rolledOut"]) or _fails(found(each)), presenter)
    return Rollout(tree, [] if found(tree)["rolledOut"] else [service])


class _Steady:
    """Whether a condition has been true for a moment: a replica without a probe is ready before it can crash."""

    def __init__(self) -> None:
        self._since: float | None = None

    def is_so(self, now: bool) -> bool:
        """Record the current condition, and return whether it has been true for long enough."""
        if not now:
            self._since = None
        elif self._since is None:
            self._since = time.monotonic()
        return self._since is not None and time.monotonic() - self._since >= _STEADY_S


def _watched(name: str, done: Callable[[StatusTree], bool], presenter: Presenter) -> StatusTree:
    try:
        return watch(name, done, presenter)
    except KeyboardInterrupt:
        click.echo(
            "\nThe rollout continues in the background: see `bateau status`, or roll back with `bateau rollback`",
            err=True,
        )
        raise


def _fails(service: ServiceTree) -> bool:
    """Whether a service fails now. Replicas of an earlier revision do not count: they are about to be replaced."""
    if service["rolledOut"]:
        return False
    if service["rejected"] or service["blocked"]:
        return True
    current = [replica for replica in service["replicas"] if replica["revision"] == service["revision"]]
    falling = [replica for replica in current if replica["state"] == "BackOff"]
    if falling:
        # One crash is not a failure: a dependency may start a moment later.
        return any(replica["restarts"] for replica in falling)
    return any(replica["state"] == "Failed" for replica in current)
