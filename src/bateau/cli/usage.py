"""`bateau usage`: who has used which model, and how many tokens that took."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from bateau.cli.options import Period, directory_option, environment_option, json_option, name_option
from bateau.domain.used import By

if TYPE_CHECKING:
    from bateau.api.trees import ReplicaTree, StatusTree
    from bateau.domain.closure import Closure


@click.command()
@click.option("--by", type=click.Choice(get_args(By)), default="key", show_default=True, help="What to sum by.")
@click.option(
    "--last", type=Period(), default="24h", show_default=True, help="The time to look back, such as 24h or 30d."
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option("--check", "checks", is_flag=True, help="Compare the sums with the counters of the running engines.")
@environment_option("The environment whose clusters are asked.")
@directory_option
@name_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    by: By,
    last: float,
    as_csv: bool,
    checks: bool,
    environment: str | None,
    directory: Path,
    name: str,
    *,
    as_json: bool,
) -> int:
    """Sum the requests, tokens and costs of the endpoint by key, owner, model, day or hour (UTC).

    Each request is counted once, whether it was a stream or not. If its client has left before the end, or its gateway
    was killed, its tokens are estimated, and the sums say for how many. A request whose answer does not say its tokens
    is counted as unknown and not as 0, and so are costs that no model declares. It needs no running instance; `--check`
    does.

    With `--env`, the sums are those of the gateways on the clusters since they have started, by key or model.
    """
    from bateau.api.encoding import encode
    from bateau.api.usage_json import usage_csv, usage_json, usage_rows
    from bateau.cli.table import table
    from bateau.domain.estimate import with_estimates
    from bateau.domain.used import summary
    from bateau.kit.rfc3339 import rfc3339
    from bateau.wiring.usage import PATIENCE_S, ledger_of, owners_of, rate_file_of

    if environment is not None:
        return _of_clusters(context, environment, directory, by, as_json=as_json)
    if checks:
        _check(name, as_json=as_json)
        return 0
    now = time.time()
    ledger = ledger_of(name, os.environ)
    cut_before = _gateways_began(_status(name), now - PATIENCE_S)
    requests = with_estimates(ledger.read(since=now - last, until=now + 1), lambda: ledger.cut(before=cut_before))
    rates = rate_file_of(name, os.environ).load()
    found = summary(requests, by, owners=owners_of(name, os.environ), rates=rates)
    if as_json:
        since, until = rfc3339(now - last), rfc3339(now)
        click.echo(encode(usage_json(found, by, since=since, until=until, damaged=ledger.damaged)))
        return 0
    if as_csv:
        click.echo(usage_csv(found, by), nl=False)
    elif found.by:
        header, *rows = usage_rows(found, by)
        click.echo(table(header, rows))
    else:
        click.echo("no request in this time", err=True)
    _tell_damage(ledger.damaged)
    return 0


def _of_clusters(context: click.Context, environment: str, directory: Path, by: By, *, as_json: bool) -> int:
    from bateau.cli.cluster_usage import show_usage

    given = click.core.ParameterSource.COMMANDLINE
    options = {"last": "--last", "as_csv": "--csv", "checks": "--check", "name": "--name"}
    for parameter, option in options.items():
        if context.get_parameter_source(parameter) is given:
            raise click.UsageError(f"{option} is for this machine: gateways of clusters count from their start on")
    if by not in ("key", "model"):
        raise click.UsageError(f"gateways of clusters count by key and model, and not by {by}")
    return show_usage(environment, directory, by, as_json=as_json)


def _check(name: str, *, as_json: bool) -> None:
    """Print the sums of each running engine beside those of the ledger."""
    from bateau.api.encoding import encode
    from bateau.api.usage_json import CLOSURE_HEADER, closure_json, closure_row
    from bateau.cli.instance import client
    from bateau.cli.table import table
    from bateau.domain.closure import closures
    from bateau.domain.estimate import with_estimates
    from bateau.wiring.usage import PATIENCE_S, began, engine_counts, ledger_of

    ledger = ledger_of(name, os.environ)
    status = client(name).status()
    replicas = _replicas_of_models(status)
    times = began(replica["pid"] for replica in replicas)
    since = {each["id"]: times[pid] for each in replicas if (pid := each["pid"]) is not None and pid in times}
    engines = engine_counts(client(name).metrics(), since=since)
    now = time.time()
    requests = ledger.read(since=min(since.values(), default=now) - PATIENCE_S, until=now + 1)
    cut_before = _gateways_began(status, now - PATIENCE_S)
    found = closures(with_estimates(requests, lambda: ledger.cut(before=cut_before)), engines)
    if as_json:
        click.echo(encode({"replicas": [closure_json(each) for each in found], "damagedLines": ledger.damaged}))
        return
    if found:
        click.echo(table(CLOSURE_HEADER, [closure_row(each) for each in found]))
    else:
        click.echo("no engine is running", err=True)
    _tell_in_flight(found)
    _tell_damage(ledger.damaged)


def _status(name: str) -> "StatusTree | None":
    """Return the status, None if no control plane answers: the sums do not depend on one."""
    from bateau.cli.instance import client
    from bateau.domain.errors import ControlError

    try:
        return client(name).status()
    except ControlError:
        return None


def _replicas_of_models(status: "StatusTree") -> "list[ReplicaTree]":
    return [replica for service in status["services"] if service["task"] for replica in service["replicas"]]


def _gateways_began(status: "StatusTree | None", otherwise: float) -> float:
    """Return when the oldest gateway that runs began: what it has not ended before was cut."""
    from bateau.wiring.usage import gateways_began

    pids = [] if status is None else [replica["pid"] for replica in status["gateway"]["replicas"]]
    return gateways_began(pids, otherwise=otherwise)


def _tell_in_flight(found: "list[Closure]") -> None:
    in_flight = sum(each.engine.in_flight for each in found)
    if in_flight:
        click.echo(f"{in_flight} requests are in flight, and not in the ledger yet", err=True)


def _tell_damage(damaged: int) -> None:
    if damaged:
        click.echo(f"{damaged} lines of the ledger cannot be read, and are not in the sums", err=True)
