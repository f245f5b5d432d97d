"""`bateau apply` of an environment that runs on clusters: plan, confirm, apply, wait, one cluster after another.

Called by cli.apply.
"""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from bateau.cli.exit_codes import EXIT_USAGE, EXIT_WORLD_FAILED, written_code

if TYPE_CHECKING:
    from bateau.control.delivery import Rendered
    from bateau.control.destinations import Destination
    from bateau.domain.change import Delivery
    from bateau.domain.object_state import ObjectState
    from bateau.kit.json_value import JsonObject
    from bateau.ports.runtime import Observed
    from bateau.wiring.question import Question


@dataclass(frozen=True, kw_only=True)
class Wish:
    """The options of the command. `timeout_s` is in seconds.

    `confirmed` is the confirmed number of removals. With `force`, fields of other managers are taken over.
    """

    yes: bool = False
    dry_run: bool = False
    as_json: bool = False
    timeout_s: float = 600.0
    force: bool = False
    confirmed: int | None = None


@dataclass
class _Told:
    """The printed states of the services of a cluster."""

    cluster: str
    shown: dict[str, str] = field(default_factory=dict[str, str])

    def tell(self, seen: "Observed") -> None:
        """Print a line for each service whose state has changed."""
        from bateau.kit.visible import visible

        lines = service_lines(seen)
        if seen.unknown:
            lines[""] = seen.unknown
        for service, says in lines.items():
            if self.shown.get(service) != says:
                self.shown[service] = says
                click.echo(visible("  ".join(each for each in (self.cluster, service, says) if each)), err=True)


def service_lines(seen: "Observed") -> dict[str, str]:
    """Return the state of each service in words: of the first object that is not settled, and of its pods."""
    from bateau.domain.change import object_name

    found: dict[str, str] = {}
    kept: dict[str, str] = {}
    for each in seen.objects:
        if each.service is None:
            kept[object_name(each.key)] = _words(each)
        elif not each.settled or each.drift:
            found.setdefault(each.service, f"{object_name(each.key)}: {_words(each)}")
        else:
            kept.setdefault(each.service, "healthy")
    found |= seen.failures
    for replica in seen.replicas:
        if replica.reason and replica.service in found:
            found[replica.service] = f"{replica.id}: {replica.reason}"
    return {**kept, **found}


def apply_to_clusters(question: "Question", places: "Sequence[Destination]", wish: Wish) -> int:
    """Apply an environment to its clusters in their order, and return the exit code.

    A cluster that cannot be reached stops nothing but itself; one that does not become healthy stops those after it.
    """
    from bateau.domain.errors import ClusterError
    from bateau.wiring.clusters import planned_on
    from bateau.wiring.delivery import rendered

    made = rendered(question)
    code = 0
    trees: list[JsonObject] = []
    for place in places:
        try:
            delivery = asyncio.run(planned_on(question, place, made, confirmed=wish.confirmed))
        except ClusterError as error:
            click.echo(f"{place.name}: {error.message}" + (f"\n  hint: {error.hint}" if error.hint else ""), err=True)
            trees.append({"cluster": place.name, "applied": False, "unreachable": error.message})
            code = EXIT_WORLD_FAILED
            continue
        _show(place, delivery, wish)
        if delivery.wrong or delivery.forbidden:
            click.echo("nothing was applied", err=True)
            return written_code(wrong=True, mistaken=delivery.wrong)
        tree, ended = _applied(question, place, made, delivery, wish)
        trees.append(tree)
        if ended:
            code = ended
            break
    if wish.as_json:
        from bateau.api.encoding import encode

        click.echo(encode({"environment": question.environment, "clusters": trees}))
    return code


def _applied(
    question: "Question", place: "Destination", made: "Rendered", delivery: "Delivery", wish: Wish
) -> "tuple[JsonObject, int]":
    """Apply to one cluster, and return its JSON form and the exit code."""
    from bateau.wiring.clusters import apply_on

    tree: JsonObject = {"cluster": place.name, "pending": delivery.pending, "applied": False}
    if wish.dry_run:
        return tree, 0
    if delivery.pending and not wish.yes:
        if not sys.stdin.isatty():
            click.echo("not applied: confirmation needs a terminal; check the plan and use --yes", err=True)
            return tree, EXIT_USAGE
        if not click.confirm(f"apply this to {place.name}?", err=True):
            click.echo("not applied", err=True)
            return tree, EXIT_USAGE
    told = _Told(place.name)
    outcome = asyncio.run(apply_on(question, place, made, timeout_s=wish.timeout_s, force=wish.force, told=told.tell))
    tree |= {"applied": outcome.done, "failed": dict(outcome.failed), "unknown": outcome.unknown}
    if outcome.done:
        click.echo(f"{place.name}: applied, every service is healthy", err=wish.as_json)
        return tree, 0
    for service, says in outcome.failed.items():
        click.echo(f"{place.name}: {service} is not healthy: {says}", err=True)
    if any("conflict with " in says for says in outcome.failed.values()):
        click.echo("  hint: remove the field from the spec, or take it over with --force-conflicts", err=True)
    if outcome.unknown:
        click.echo(f"{place.name}: {outcome.unknown}", err=True)
    return tree, EXIT_WORLD_FAILED


def _show(place: "Destination", delivery: "Delivery", wish: Wish) -> None:
    from bateau.cli.plan_text import plan_text
    from bateau.cli.problems import render

    click.echo(f"{place.name}: {plan_text(delivery)}", err=wish.as_json)
    if delivery.problems:
        click.echo(render(delivery.problems), err=True)


def _words(state: "ObjectState") -> str:
    says = f"{state.phase}: {state.says}" if state.says else state.phase
    taken = [f"{path} is held by {manager or 'nobody'}" for path, manager in state.drift]
    return "; ".join((says, *taken))
