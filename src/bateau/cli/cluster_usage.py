"""`bateau usage` of an environment that runs on clusters.

Called by cli.usage.
"""

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import click

from bateau.cli.exit_codes import EXIT_WORLD_FAILED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bateau.domain.errors import ClusterError
    from bateau.kit.json_value import ReadObject
    from bateau.observe.gateway_usage import By
    from bateau.runtimes.kubernetes.gateway_pages import GatewayPage


def show_usage(environment: str, directory: "Path", by: "By", *, as_json: bool) -> int:
    """Print the sums of each cluster since its gateways have started, and return the exit code."""
    from bateau.api.encoding import encode
    from bateau.cli.cluster_status import places_of
    from bateau.observe.gateway_usage import FILTER
    from bateau.wiring.clusters import gateways_on, on_each

    _, places = places_of(environment, directory)
    code = 0
    trees: list[ReadObject] = []
    for place, found in asyncio.run(on_each(places, partial(gateways_on, metrics=FILTER))):
        tree, is_whole = _shown(place.name, found, by, quiet=as_json)
        trees.append(tree)
        code = code if is_whole else EXIT_WORLD_FAILED
    if as_json:
        click.echo(encode({"environment": environment, "by": by, "clusters": trees}))
    return code


def _shown(
    cluster: str, found: "Sequence[GatewayPage] | ClusterError", by: "By", *, quiet: bool
) -> "tuple[ReadObject, bool]":
    """Print the sums of a cluster, unless `quiet`, and return them as JSON, and whether they are whole."""
    from bateau.api.usage_json import sums_json, usage_rows
    from bateau.cli.problems import error_text
    from bateau.cli.table import table
    from bateau.domain.errors import ClusterError
    from bateau.kit.visible import visible
    from bateau.observe.gateway_usage import gateway_usage

    def tell(says: str) -> None:
        if not quiet:
            click.echo(visible(f"{cluster}: {says}"), err=True)

    if isinstance(found, ClusterError):
        tell(f"unknown: {error_text(found)}")
        return {"cluster": cluster, "unknown": found.message}, False
    missing = [each for each in found if each.page is None]
    since = min((each.since for each in found if each.page is not None and each.since), default="")
    sums = gateway_usage((each.page for each in found if each.page is not None), by)
    if not found:
        tell("it has no gateway; `bateau install` makes one")
    for each in missing:
        tell(f"unknown: the requests of {each.pod}: {each.why}")
    if sums.by and not quiet:
        header, *rows = usage_rows(sums, by)
        click.echo(table(("CLUSTER", *header), [(cluster, *row) for row in rows]))
    if since:
        tell(f"since the gateways have started, the first one at {since}")
    return {
        "cluster": cluster,
        "since": since or None,
        "gateways": len(found),
        "gatewaysUnknown": [{"pod": each.pod, "why": each.why} for each in missing],
        **sums_json(sums, by),
    }, not missing
