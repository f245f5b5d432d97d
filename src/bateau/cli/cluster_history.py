"""`bateau history` and `bateau rollback` of an environment that runs on clusters.

Called by cli.history and cli.rollback.
"""

import asyncio
import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from bateau.cli.exit_codes import EXIT_WORLD_FAILED

if TYPE_CHECKING:
    from bateau.control.deliveries import Deliveries
    from bateau.control.destinations import Destination
    from bateau.domain.revision import Revision
    from bateau.wiring.question import Question


def show_history(
    question: "Question", places: "Sequence[Destination]", *, service: str | None, limit: int, as_json: bool
) -> int:
    """Print what was applied to each cluster, newest first, and return the exit code."""
    from bateau.api.encoding import encode
    from bateau.cli.problems import error_text
    from bateau.cli.table import table
    from bateau.domain.errors import ClusterError
    from bateau.kit.visible import visible
    from bateau.wiring.clusters import history_on, on_each

    async def ask(place: "Destination") -> "Deliveries":
        return await history_on(question, place)

    code = 0
    found: list[tuple[str, Revision]] = []
    for place, history in asyncio.run(on_each(places, ask)):
        if isinstance(history, ClusterError):
            click.echo(visible(f"{place.name}: unknown: {error_text(history)}"), err=True)
            code = EXIT_WORLD_FAILED
            continue
        chosen = [each for each in reversed(history.revisions) if _has(each, service)]
        found += [(place.name, each) for each in chosen[:limit]]
    if as_json:
        click.echo(encode([{"cluster": cluster, "revision": each} for cluster, each in found]))
    elif found:
        rows = [(cluster, *_row(each)) for cluster, each in found]
        click.echo(table(("CLUSTER", "ID", "WHEN", "OUTCOME", "COMMIT", "WHO", "SERVICES"), rows))
    elif code == 0:
        click.echo(f"nothing of {question.environment} was applied" + (f" with {service}" if service else ""))
    return code


def _has(revision: "Revision", service: str | None) -> bool:
    return service is None or any(service in (key, key.partition("/")[2]) for key in revision.services)


def _row(revision: "Revision") -> tuple[str, ...]:
    held = [f"{key} at {number}" for key, number in sorted(revision.pins.items())]
    services = f"{len(revision.services):,}" + (f", held: {', '.join(held)}" if held else "")
    return (
        str(revision.id),
        dt.datetime.fromtimestamp(revision.when_s, tz=dt.UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S"),
        revision.outcome,
        (revision.commit or "-")[:12],
        revision.who,
        services,
    )


def roll_back(
    question: "Question", places: "Sequence[Destination]", service: str, *, to: int | None, as_json: bool
) -> int:
    """Roll a service back on one cluster after another until one fails, and return the exit code."""
    from bateau.api.encoding import encode
    from bateau.cli.cluster_apply import Told
    from bateau.cli.problems import error_text
    from bateau.domain.errors import ClusterError
    from bateau.kit.visible import visible
    from bateau.wiring.clusters import roll_back_on
    from bateau.wiring.delivery import rendered

    made = rendered(question)
    trees: list[object] = []
    code = 0
    for place in places:
        try:
            done = asyncio.run(roll_back_on(question, place, made, service, to=to, told=Told(place.name).tell))
        except ClusterError as error:
            click.echo(visible(f"{place.name}: {error_text(error)}"), err=True)
            trees.append({"cluster": place.name, "rolledOut": False, "unreachable": error.message})
            code = EXIT_WORLD_FAILED
            continue
        commit = f"commit {str(done.revision.commit)[:12]}"
        trees.append(
            {
                "cluster": place.name,
                "service": done.service,
                "revision": done.revision.id,
                "commit": done.revision.commit,
                "rolledOut": done.outcome.done,
                "failed": done.outcome.failed,
            }
        )
        says = f"{place.name}: {done.service} is rolled back to revision {done.revision.id}, {commit}"
        if done.outcome.done:
            click.echo(f"{says}, until its spec changes", err=as_json)
            continue
        for reason in (*done.outcome.failed.values(), *([done.outcome.unknown] if done.outcome.unknown else [])):
            click.echo(visible(f"{says}, and is not healthy: {reason}"), err=True)
        code = EXIT_WORLD_FAILED
        break
    if as_json:
        click.echo(encode({"environment": question.environment, "clusters": trees}))
    return code
