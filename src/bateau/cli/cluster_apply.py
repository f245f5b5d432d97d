"""`bateau apply` of an environment that runs on clusters: plan, confirm, apply, wait, one cluster after another.

Called by cli.apply and cli.cluster_history.
"""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import click

from bateau.cli.exit_codes import EXIT_USAGE, EXIT_WORLD_FAILED, written_code

if TYPE_CHECKING:
    from bateau.control.delivery import Rendered
    from bateau.control.destinations import Destination
    from bateau.domain.change import Delivery, ObjectKey
    from bateau.domain.object_state import ObjectState
    from bateau.kit.json_value import JsonObject
    from bateau.ports.runtime import Observed
    from bateau.wiring.question import Question


@dataclass(frozen=True, kw_only=True)
class Wish:
    """The options of the command. `timeout_s` is in seconds.

    `confirmed` is the confirmed number of removals. With `force`, fields of other managers are taken over,
    of all objects or of these.
    """

    yes: bool = False
    dry_run: bool = False
    as_json: bool = False
    timeout_s: float = 600.0
    force: "bool | frozenset[ObjectKey]" = False
    confirmed: int | None = None


@dataclass
class Told:
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
        elif each.service not in seen.moving:
            kept.setdefault(each.service, "healthy")
    found |= seen.failures
    for replica in seen.replicas:
        if replica.reason and replica.service in found:
            found[replica.service] = f"{replica.id}: {replica.reason}"
    return {**kept, **found}


def apply_to_clusters(question: "Question", places: "Sequence[Destination]", made: "Rendered", wish: Wish) -> int:
    """Apply an environment to its clusters, and return the exit code.

    All are planned at once, and applied in their order: the first that does not become healthy pauses the rollout, and
    those after it are not changed. A cluster that cannot be reached before anything was applied to it is skipped.
    """
    from bateau.wiring.clusters import plans_on

    plans = asyncio.run(plans_on(question, places, made, confirmed=wish.confirmed))
    _show(plans, wish)
    trees: dict[str, JsonObject] = {str(each.cluster): _tree(each) for each in plans}
    code = EXIT_WORLD_FAILED if any(each.unreachable for each in plans) else 0
    if any(each.wrong or each.forbidden for each in plans):
        click.echo("nothing was applied", err=True)
        code = written_code(wrong=True, mistaken=any(each.wrong for each in plans))
    elif not wish.dry_run:
        chosen = [(place, plan) for place, plan in zip(places, plans, strict=True) if not plan.unreachable]
        pending = [str(each.cluster) for each in plans if each.pending]
        code = _refused(pending, wish) or _in_waves(question, chosen, made, wish, trees) or code
    if wish.as_json:
        from bateau.api.encoding import encode

        click.echo(encode({"environment": question.environment, "clusters": list(trees.values())}))
    return code


def _refused(pending: "Sequence[str]", wish: Wish) -> int:
    """Ask for confirmation if anything is pending; return the exit code of a refusal, or 0."""
    if not pending or wish.yes:
        return 0
    if not sys.stdin.isatty():
        click.echo("not applied: confirmation needs a terminal; check the plan and use --yes", err=True)
        return EXIT_USAGE
    if not click.confirm(f"apply this to {', '.join(pending)}?", err=True):
        click.echo("not applied", err=True)
        return EXIT_USAGE
    return 0


def _in_waves(
    question: "Question",
    places: "Sequence[tuple[Destination, Delivery]]",
    made: "Rendered",
    wish: Wish,
    trees: "dict[str, JsonObject]",
) -> int:
    """Apply to one cluster after another until one fails, and return the exit code. Completes the JSON form of each."""
    for at, (place, plan) in enumerate(places):
        taken = (
            frozenset(key for key, _, _ in plan.drift.repaired)
            if plan.drift
            else frozenset[tuple[str, str, str, str]]()
        )
        asked = replace(wish, force=wish.force or taken)
        # The objects of the plan, also if a driver was installed while a person read it.
        if _applied(question, replace(place, offers=plan.offers), made, asked, trees[place.name]):
            continue
        if rest := [each.name for each, _ in places[at + 1 :]]:
            click.echo(f"paused: {place.name} is not healthy, so {', '.join(rest)} was not changed", err=True)
            hint = "fix it and apply again: healthy clusters are not changed again"
            click.echo(f"  hint: {hint}", err=True)
        for name in rest:
            trees[name]["paused"] = f"{place.name} is not healthy"
        return EXIT_WORLD_FAILED
    return 0


def _applied(question: "Question", place: "Destination", made: "Rendered", wish: Wish, tree: "JsonObject") -> bool:
    """Apply to one cluster, and return whether it is healthy. Completes its JSON form."""
    from bateau.cli.problems import error_text
    from bateau.domain.errors import ClusterError
    from bateau.kit.visible import visible
    from bateau.wiring.clusters import Rollout, apply_on

    told = Told(place.name)
    rollout = Rollout(timeout_s=wish.timeout_s, force=wish.force, told=told.tell)
    try:
        outcome = asyncio.run(apply_on(question, place, made, rollout=rollout))
    except ClusterError as error:
        click.echo(visible(f"{place.name}: {error_text(error)}"), err=True)
        tree["unknown"] = error.message
        return False
    tree |= {"applied": outcome.done, "failed": dict(outcome.failed), "unknown": outcome.unknown}
    for remark in outcome.remarks:
        click.echo(visible(f"{place.name}: {remark}"), err=True)
    if outcome.done:
        click.echo(f"{place.name}: applied, every service is healthy", err=wish.as_json)
        return True
    tree |= {
        "notApplied": list(outcome.not_applied),
        "reports": {key: [*each] for key, each in outcome.reports.items()},
    }
    for service, says in outcome.failed.items():
        click.echo(visible(f"{place.name}: {service} is not healthy: {says}"), err=True)
        for line in outcome.reports.get(service, ()):
            click.echo(visible(f"    {line}"), err=True)
    if any("conflict with " in says for says in outcome.failed.values()):
        click.echo("  hint: remove the field from the spec, or take it over with --force-conflicts", err=True)
    if outcome.unknown:
        click.echo(visible(f"{place.name}: {outcome.unknown}"), err=True)
    if outcome.not_applied:
        click.echo(f"{place.name}: stopped; not applied: {', '.join(outcome.not_applied)}", err=True)
    return False


def _tree(plan: "Delivery") -> "JsonObject":
    if plan.unreachable:
        return {"cluster": plan.cluster, "applied": False, "unreachable": plan.unreachable.says}
    return {"cluster": plan.cluster, "pending": plan.pending, "applied": False}


def _show(plans: "Sequence[Delivery]", wish: Wish) -> None:
    from bateau.cli.plan_problems import show_problems
    from bateau.cli.plan_text import plan_text

    for each in plans:
        if not each.unreachable:
            click.echo(plan_text(each), err=wish.as_json)
    show_problems(plans)


def _words(state: "ObjectState") -> str:
    says = f"{state.phase}: {state.says}" if state.says else state.phase
    taken = [f"{path} is held by {manager or 'nobody'}" for path, manager in state.drift]
    return "; ".join((says, *taken))
