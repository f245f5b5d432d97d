"""Wait until what was applied or rolled back is ready, or will not be.

Called by `apply` and `rollback`.
"""

from dataclasses import dataclass
from typing import Any

import click

from bateau.cli.detached import watch
from bateau.cli.presenter import Presenter


@dataclass(frozen=True)
class Rollout:
    """How it ended: the last status, the services that fail, and whether what is written has mistakes."""

    status: dict[str, Any]
    failed: list[str]
    mistaken: bool

    @property
    def done(self) -> bool:
        """Whether all of it runs."""
        return not self.failed and not self.mistaken


def wait_for_rollout(name: str, presenter: Presenter, *, of_what_is_written: bool) -> Rollout:
    """Show progress until it is known how it ends. Raises ControlError.

    With `of_what_is_written` that has to be taken up first; a rollback goes on though there are mistakes in it.
    """

    def mistaken(tree: dict[str, Any]) -> bool:
        return of_what_is_written and any(problem["severity"] == "error" for problem in tree["problems"])

    def ready(tree: dict[str, Any]) -> bool:
        return tree["rolledOut"] and (tree["takenUp"] or not of_what_is_written)

    try:
        tree = watch(name, lambda each: ready(each) or mistaken(each) or bool(_failing(each)), presenter)
    except KeyboardInterrupt:
        click.echo("\nit goes on by itself: see `bateau status`, go back with `bateau rollback`", err=True)
        raise
    done = ready(tree)
    return Rollout(tree, failed=[] if done else _failing(tree), mistaken=not done and mistaken(tree))


def _failing(tree: dict[str, Any]) -> list[str]:
    """Return the services that have failed, or whose new replicas fall over while the old ones still serve."""
    return [each["service"] for each in (*tree["services"], tree["gateway"]) if _fails(each)]


def _fails(service: dict[str, Any]) -> bool:
    if service["rejected"]:
        return True
    falling = [replica for replica in service["replicas"] if replica["state"] == "BackOff"]
    if falling:
        # Once is no verdict: what it needs may have come up a moment later.
        return any(replica["restarts"] for replica in falling)
    return service["state"] == "Failed"
