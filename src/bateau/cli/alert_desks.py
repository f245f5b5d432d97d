"""Where `bateau alerts` asks: the control plane of this machine, or the controllers of an environment's clusters.

Called by cli.alerts.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bateau.cli.options import directory_option, environment_option, name_option

if TYPE_CHECKING:
    from bateau.domain.errors import ClusterError
    from bateau.kit.json_value import JsonObject, ReadObject
    from bateau.wiring.cluster_open import AlertOperation


@dataclass(frozen=True, kw_only=True)
class Desks:
    """The options that select control planes: an instance of this machine, or clusters of an environment."""

    name: str
    environment: str | None
    cluster: str | None
    directory: Path

    def ask(
        self, operation: "AlertOperation", body: "ReadObject | None" = None
    ) -> "Sequence[tuple[str, JsonObject | ClusterError]]":
        """Return the answer of each control plane with the name of its cluster, "" for this machine.

        Raises UsageError, ControlError if this machine's does not answer or refuses, and ClusterError if the only
        cluster does.
        """
        if self.environment is None:
            return [("", _on_machine(self.name, operation, body))]
        from bateau.cli.cluster_status import named, places_of
        from bateau.domain.errors import ClusterError
        from bateau.wiring.cluster_open import alerts_on
        from bateau.wiring.clusters import on_each

        _, every = places_of(self.environment, self.directory)
        places = named(every, self.environment, self.cluster)
        found = asyncio.run(on_each(places, partial(alerts_on, operation=operation, body=body)))
        if len(found) == 1 and isinstance(error := found[0][1], ClusterError):
            raise error
        return [(place.name, answer) for place, answer in found]

    @property
    def options(self) -> str:
        """The options with which another command asks the same control planes, each after a space."""
        if self.environment is None:
            return ""
        return f" --env {self.environment}" + (f" --cluster {self.cluster}" if self.cluster else "")


def desks_options(command: Callable[..., object]) -> Callable[..., object]:
    """Add `--name`, `--env`, `--cluster` and `--directory`, which the command gets as one argument, `desks`."""

    @wraps(command)
    def bundled(
        *, name: str, environment: str | None, cluster: str | None, directory: Path, **others: object
    ) -> object:
        if cluster and environment is None:
            raise click.UsageError("--cluster needs --env")
        desks = Desks(name=name, environment=environment, cluster=cluster, directory=directory)
        return command(desks=desks, **others)

    shown = directory_option(bundled)
    shown = click.option("--cluster", metavar="NAME", help="With --env: this cluster only, instead of all.")(shown)
    shown = environment_option("Ask the controllers on the clusters of this environment instead of this machine.")(
        shown
    )
    return name_option(shown)


def _on_machine(name: str, operation: "AlertOperation", body: "ReadObject | None") -> "JsonObject":
    from bateau.cli.instance import client
    from bateau.kit.json_value import text_at

    api = client(name)
    match operation:
        case "list":
            return api.alerts()
        case "silence":
            return api.silence(body or {})
        case "unsilence":
            return api.unsilence(text_at(body or {}, "silence"))
        case "test":
            return api.test_alerts()
