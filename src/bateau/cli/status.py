"""`bateau status`: print one line per service."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bateau.api.trees import FiltersTree, ServiceTree, StatusTree
from bateau.cli.options import directory_option, environment_option, is_terminal, json_option, name_option

if TYPE_CHECKING:
    from bateau.api.client import ApiClient

_WAIT_S = 60.0


@click.command()
@name_option
@environment_option("Show the clusters of this environment instead of this machine.")
@directory_option
@json_option
@click.option("--watch", "-w", is_flag=True, help="Refresh on every change, until Ctrl-C.")
def command(name: str, environment: str | None, directory: Path, as_json: bool, watch: bool) -> int | None:
    """Show every service: its state, its replicas, and why it is not ready.

    With --env, the services on the clusters of an environment; the directory has its specs. Exit code 3: a cluster
    cannot be reached.
    """
    if environment:
        from bateau.cli.cluster_status import show_status

        if watch:
            raise click.UsageError("--watch is for this machine; use `kubectl get pods --watch`")
        return show_status(environment, directory, as_json=as_json)
    from bateau.cli.instance import client

    ask = client(name)
    number: int | None = None
    while True:
        tree = ask.status(after=number, wait_s=_WAIT_S)
        if tree["number"] == number:
            continue
        number = tree["number"]
        if as_json:
            import json

            click.echo(json.dumps(tree))
        else:
            if watch and is_terminal():
                click.clear()
            click.echo("\n".join([status_text(tree), *alert_lines(ask)]))
        if not watch:
            return None


def alert_lines(ask: "ApiClient") -> list[str]:
    """Return a line for each alert that fires; none from a control plane of a version without alerts."""
    from bateau.domain.errors import ControlError
    from bateau.kit.json_value import array_at, object_at, text_at
    from bateau.kit.visible import visible

    try:
        found = [object_at(each) for each in array_at(ask.alerts(), "alerts")]
    except ControlError:
        return []
    lines: list[str] = []
    for each in found:
        cause = f"; cause: {text_at(each, 'cause')}" if each["cause"] else ""
        silenced = " (silenced)" if each["silencedUntil"] else ""
        lines.append(visible(f"alert{silenced}: {text_at(each, 'summary')}{cause}"))
    return ["", *lines, "`bateau alerts list` has the details"] if lines else []


def status_text(tree: StatusTree) -> str:
    """Return the page that people read."""
    from bateau.cli.table import table
    from bateau.kit.visible import visible

    services, filters = [*tree["services"], tree["gateway"]], _filters(tree)
    rows = [*map(_row, tree["services"]), _row(tree["gateway"], filters["name"] if filters else "")]
    lines = [table(("SERVICE", "STATE", "READY", "RESTARTS", "ENGINE", "ADDRESS"), rows)]
    lines += [
        f"\n{s['service']}: {s['reason']}{_last_log(s)}" for s in services if s["reason"] and s["state"] != "Ready"
    ]
    if filters and filters["name"] != "native":
        lines.append(f"\n{tree['gateway']['service']}: the native filter is not used: {visible(filters['why'])}")
    lines += [
        f"\n{replica['id']}: limits {replica['limits']}"
        for service in tree["services"]
        for replica in service["replicas"]
        if replica["limits"] and replica["limits"].startswith("not enforced")
    ]
    if tree["problems"]:
        from bateau.cli.problems import render_trees

        lines.append("\n" + render_trees(tree["problems"]))
        if tree["specsRejected"]:
            lines.append(f"The specs in {tree['directory']} have errors. Running services were not changed.")
    return "\n".join(lines)


def _filters(tree: StatusTree) -> FiltersTree | None:
    """Return the filters of the gateway; None from a control plane of a version that does not name them."""
    return tree.get("filters")


def _row(service: ServiceTree, filters: str = "") -> tuple[str, ...]:
    restarts = sum(replica["restarts"] for replica in service["replicas"])
    ready = f"{service['replicasReady']}/{service['replicasWanted']}"
    if service["engine"] == "external":
        ready = "unknown"
    elif service["draining"]:
        ready += f" ({len(service['draining'])} draining)"
    state = service["state"]
    if state == "Pulling" and service["pulledBytes"] is not None and service["pullBytesTotal"]:
        ready = f"{100 * service['pulledBytes'] // service['pullBytesTotal']} %"
    engine = f"{service['engine']} ({filters})" if filters else service["engine"]
    return (service["service"], state, ready, str(restarts), engine, service["address"] or "-")


def _last_log(service: ServiceTree) -> str:
    troubled = next((r for r in service["replicas"] if r["state"] == "BackOff" and r["lastLog"]), None)
    from bateau.cli.presenter import log_line

    return "".join(f"\n    {log_line(line)}" for line in troubled["lastLog"]) if troubled else ""
