"""`bateau timeline` of an environment that runs on clusters.

Called by cli.timeline.
"""

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import click

from bateau.cli.exit_codes import EXIT_WORLD_FAILED

if TYPE_CHECKING:
    from pathlib import Path

    from bateau.domain.event import Event


def show_timeline(
    environment: str,
    directory: "Path",
    service: str | None,
    *,
    since: float,
    about: str | None,
    limit: int,
    as_json: bool,
) -> int:
    """Print the events of a service, or of all, on each cluster, and return the exit code."""
    from bateau.cli.cluster_status import places_of
    from bateau.cli.problems import error_text
    from bateau.cli.timeline_text import print_json, print_lines
    from bateau.domain.errors import ClusterError
    from bateau.domain.timeline import Entry
    from bateau.kit.visible import visible
    from bateau.wiring.cluster_timeline import timeline_on
    from bateau.wiring.clusters import on_each

    question, places = places_of(environment, directory)
    code = 0
    events: list[Event] = []
    for place, found in asyncio.run(on_each(places, partial(timeline_on, question))):
        if isinstance(found, ClusterError):
            click.echo(visible(f"{place.name}: unknown: {error_text(found)}"), err=True)
            code = EXIT_WORLD_FAILED
        else:
            events += [event for event in found if event.when_s >= since and _is_of(event, service)]
    events.sort(key=lambda event: event.when_s)
    entries = [Entry(number=number, event=event) for number, event in enumerate(events, 1)]
    shown = [entry for entry in entries if about is None or entry.is_about(about)][-limit:]
    if as_json:
        print_json(shown)
    elif shown or code == 0:
        print_lines(shown, service)
    return code


def _is_of(event: "Event", service: str | None) -> bool:
    from bateau.domain.timeline import service_of

    key = service_of(event) or ""
    return service is None or service in (key, key.rpartition("/")[2])
