"""`bateau usage` of an environment that runs on clusters.

Called by cli.usage.
"""

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import click

from bateau.cli.exit_codes import EXIT_WORLD_FAILED

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal

    from bateau.domain.errors import ClusterError
    from bateau.domain.used import By
    from bateau.kit.json_value import ReadObject
    from bateau.wiring.gateway_usage import GatewayUsage


def show_usage(environment: str, directory: "Path", by: "Literal['key', 'model']", *, as_json: bool) -> int:
    """Print the sums of each cluster since its gateways have started, and return the exit code."""
    from bateau.api.encoding import encode
    from bateau.cli.cluster_status import places_of
    from bateau.domain.errors import ClusterError
    from bateau.wiring.clusters import on_each
    from bateau.wiring.gateway_usage import gateway_usage_on

    _, places = places_of(environment, directory)
    found = asyncio.run(on_each(places, partial(gateway_usage_on, by=by)))
    if as_json:
        trees = [_tree(place.name, each, by) for place, each in found]
        click.echo(encode({"environment": environment, "by": by, "clusters": trees}))
    else:
        for place, each in found:
            _print(place.name, each, by)
    is_whole = all(not isinstance(each, ClusterError) and not each.missing for _, each in found)
    return 0 if is_whole else EXIT_WORLD_FAILED


def _tree(cluster: str, found: "GatewayUsage | ClusterError", by: "By") -> "ReadObject":
    from bateau.api.usage_json import sums_json
    from bateau.domain.errors import ClusterError

    if isinstance(found, ClusterError):
        return {"cluster": cluster, "unknown": found.message}
    return {
        "cluster": cluster,
        "since": found.since,
        "gateways": found.gateways,
        "gatewaysUnknown": [{"pod": pod, "why": why} for pod, why in found.missing],
        **sums_json(found.sums, by),
    }


def _print(cluster: str, found: "GatewayUsage | ClusterError", by: "By") -> None:
    from bateau.api.usage_json import usage_rows
    from bateau.cli.problems import error_text
    from bateau.cli.table import table
    from bateau.domain.errors import ClusterError
    from bateau.kit.visible import visible

    def tell(says: str) -> None:
        click.echo(visible(f"{cluster}: {says}"), err=True)

    if isinstance(found, ClusterError):
        tell(f"unknown: {error_text(found)}")
        return
    if not found.gateways:
        tell("it has no gateway; `bateau install` makes one")
    for pod, why in found.missing:
        tell(f"unknown: the requests of {pod}: {why}")
    if found.sums.by:
        header, *rows = usage_rows(found.sums, by)
        click.echo(table(("CLUSTER", *header), [(cluster, *row) for row in rows]))
    if found.since:
        tell(f"since the gateways have started, the first one at {found.since}")
