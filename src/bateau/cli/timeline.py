"""`bateau timeline`: everything that has happened to a service, in one story."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from bateau.cli.options import (
    INSTANCE_DEFAULT,
    Number,
    Period,
    directory_option,
    environment_option,
    json_option,
    name_option,
)

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from bateau.domain.timeline import Entry
    from bateau.wiring.timeline import TimelineReader

_LOOK_S: Final = 0.2
_SCAN_MAX: Final = 100_000


def _services(context: click.Context, _parameter: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """Complete the names of the services that the timeline knows, and their keys after a slash."""
    from click.shell_completion import CompletionItem

    from bateau.cli.instance import instance_paths
    from bateau.domain.errors import BateauError
    from bateau.wiring.timeline import timeline_reader

    try:
        reader = timeline_reader(instance_paths(str(context.params.get("name") or INSTANCE_DEFAULT)))
        keys = reader.services() if reader else []
        if reader:
            reader.close()
    except BateauError:
        return []
    words = keys if "/" in incomplete else [key.rpartition("/")[2] for key in keys]
    return [CompletionItem(word) for word in dict.fromkeys(words) if word.startswith(incomplete)]


@click.command()
@click.argument("service", required=False, shell_complete=_services)
@click.option(
    "--since", type=Period(), default="24h", show_default=True, help="The time to look back, such as 30m or 7d."
)
@click.option("--about", metavar="ID", help="Only events with this commit, revision or trace.")
@click.option(
    "--lines", "-n", "limit", type=Number(1), metavar="NUMBER", default=100, show_default=True, help="How many at most."
)
@click.option("--follow", "-f", is_flag=True, help="Print new events as they arrive, until Ctrl-C.")
@name_option
@environment_option("Show events on the clusters of this environment instead of this machine.")
@directory_option
@json_option
def command(  # noqa: PLR0917 - click passes them by name
    service: str | None, since: float, about: str | None, limit: int, follow: bool, name: str,
    environment: str | None, directory: Path, as_json: bool,
) -> int | None:  # fmt: skip
    """Show everything that has happened to SERVICE, or to all services, oldest first.

    Events are commits, builds, releases, restarts, probes, and what other systems report. With --follow, --json prints
    one object per line.
    """
    if environment:
        from bateau.cli.cluster_timeline import show_timeline

        if follow:
            raise click.UsageError("--follow is for this machine; use `kubectl events --watch`")
        return show_timeline(
            environment, directory, service, since=time.time() - since, about=about, limit=limit, as_json=as_json
        )
    from bateau.cli.instance import instance_paths
    from bateau.cli.timeline_text import print_json, print_lines
    from bateau.wiring.timeline import timeline_reader

    reader = timeline_reader(instance_paths(name))
    if reader is None:
        click.echo("[]" if as_json and not follow else f"the instance {name} has no timeline: it has never run")
        return None
    try:
        if service:
            _check_known(reader, service)
        story = _Story(reader, service=service, about=about)
        found = story.since(time.time() - since)[-limit:]
        if as_json:
            print_json(found, story.coming(found) if follow else None)
        else:
            print_lines(found, service, story.coming(found) if follow else None)
    finally:
        reader.close()
    return None


class _Story:
    """The events of one question."""

    def __init__(self, reader: "TimelineReader", *, service: str | None, about: str | None) -> None:
        self._reader = reader
        self._service = service
        self._about = about
        self._began = reader.last_number()  # before anything is read: no event is lost between a list and its follower

    def since(self, when_s: float, *, after: int = 0) -> "list[Entry]":
        """Return the events since a time, in its order, whose numbers are larger than `after`."""
        entries = self._reader.entries(service=self._service, since=when_s, after=after, limit=_SCAN_MAX)
        return [entry for entry in entries if self._about is None or entry.is_about(self._about)]

    def coming(self, shown: "Iterable[Entry]") -> "Iterator[Entry]":
        """Yield the events that arrive from now on, in the order of their arrival.

        A release may show only later that the push of its commit belongs to the service, so that one comes late.
        """
        after = self._began
        told = {entry.number for entry in shown}
        while True:
            if self._reader.has_changed():
                fresh = self.since(0.0, after=after)
                after = max((after, *(entry.number for entry in fresh)))
                if any(entry.links_others for entry in fresh):
                    fresh = self.since(0.0, after=self._began)
                for entry in sorted(fresh, key=lambda each: each.number):
                    if entry.number not in told:
                        told.add(entry.number)
                        yield entry
            time.sleep(_LOOK_S)


def _check_known(reader: "TimelineReader", service: str) -> None:
    """Raise a usage error for a service that no event is about."""
    keys = reader.services()
    names = [key.rpartition("/")[2] for key in keys]
    if service not in (*keys, *names):
        from bateau.kit.suggest import did_you_mean, listed

        hint = did_you_mean(service, [*names, *keys]) or f"known: {listed(names)}" if names else "it has no events"
        raise click.UsageError(f"the timeline has no service {service}: {hint}")
