"""`bateau top` of an environment that runs on clusters.

Called by cli.top.

Invariant: a figure that no one has measured is `unknown`, never 0. Held by tests/runtimes/kubernetes/test_usage.py.
"""

import asyncio
from typing import TYPE_CHECKING

import click

from bateau.cli.exit_codes import EXIT_WORLD_FAILED

if TYPE_CHECKING:
    from pathlib import Path

    from bateau.control.destinations import Destination
    from bateau.domain.usage import Usage
    from bateau.kit.json_value import JsonObject


def show_top(environment: str, directory: "Path", *, as_json: bool) -> int:
    """Print one line per service and cluster, and return the exit code."""
    from bateau.api.encoding import encode
    from bateau.cli.cluster_status import places_of
    from bateau.cli.problems import error_text
    from bateau.cli.table import table
    from bateau.domain.errors import ClusterError
    from bateau.kit.visible import visible
    from bateau.wiring.clusters import on_each, usage_on

    question, places = places_of(environment, directory)

    async def ask(place: "Destination") -> "tuple[Usage, ...]":
        return await usage_on(question, place)

    code = 0
    trees: list[JsonObject] = []
    rows: list[tuple[str, ...]] = []
    for place, found in asyncio.run(on_each(places, ask)):
        if isinstance(found, ClusterError):
            click.echo(visible(f"{place.name}: unknown: {error_text(found)}"), err=True)
            trees.append({"cluster": place.name, "unknown": found.message})
            code = EXIT_WORLD_FAILED
            continue
        trees.append({"cluster": place.name, "services": [_tree(each) for each in found]})
        rows += [(place.name, *_row(each)) for each in found]
    if as_json:
        click.echo(encode({"environment": environment, "clusters": trees}))
    elif rows:
        click.echo(table(("CLUSTER", "SERVICE", "PODS", "CPU", "REQUESTED", "MEMORY", "REQUESTED"), rows))
    elif code == 0:
        click.echo(f"no pod of {environment} runs")
    return code


def _row(usage: "Usage") -> tuple[str, ...]:
    from bateau.cli.table import size

    def bytes_(value: int | None) -> str:
        return "unknown" if value is None else size(value)

    def cores(value: int | None) -> str:
        return "unknown" if value is None else f"{value}m"

    measured = str(usage.pods) if usage.measured == usage.pods else f"{usage.measured} of {usage.pods}"
    return (
        usage.service,
        measured,
        cores(usage.cpu_millicores),
        cores(usage.cpu_requested_millicores) if usage.cpu_requested_millicores else "-",
        bytes_(usage.memory_bytes),
        bytes_(usage.memory_requested_bytes) if usage.memory_requested_bytes else "-",
    )


def _tree(usage: "Usage") -> "JsonObject":
    return {
        "service": usage.service,
        "pods": usage.pods,
        "podsMeasured": usage.measured,
        "cpuMillicores": usage.cpu_millicores,
        "cpuRequestedMillicores": usage.cpu_requested_millicores,
        "memoryBytes": usage.memory_bytes,
        "memoryRequestedBytes": usage.memory_requested_bytes,
    }
