"""`bateau alerts`: list, silence and test alerts, of this machine or of clusters."""

import getpass
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from bateau.cli.alert_desks import Desks, desks_options
from bateau.cli.alert_exports import rules
from bateau.cli.exit_codes import EXIT_WORLD_FAILED
from bateau.cli.monitors import monitors
from bateau.cli.options import Period, json_option

if TYPE_CHECKING:
    from bateau.domain.errors import ClusterError
    from bateau.kit.json_value import JsonObject


@click.group()
def command() -> None:
    """List, silence and test alerts.

    Alerts about errors, latency, restarts, memory, disks, certificates and more are on by default. Environment
    variables of `bateau up` say where they are delivered to. With --env, the alerts are those of the controllers on the
    clusters of an environment, which the right to forward ports of a controller's pod reaches.
    """


command.add_command(rules)
command.add_command(monitors)


@command.command("list")
@click.option("--all", "all_", is_flag=True, help="Also those that have ended within a week.")
@desks_options
@json_option
def list_alerts(*, all_: bool, desks: Desks, as_json: bool) -> int:
    """List the alerts that fire, each with its cause and its fix.

    Exit code 3: the alerts of a cluster are not known.
    """
    from bateau.api.encoding import encode

    answers = desks.ask("list")
    known, code = _known(answers)
    if as_json:
        click.echo(
            encode([each for key in (("ended", "alerts") if all_ else ("alerts",)) for each in _all(known, key)])
        )
        return code
    ended = _all(known, "ended") if all_ else []
    found = _all(known, "alerts")
    for each in (*ended, *found):
        _show(each)
    if not found and not code:
        click.echo("no alert fires", err=True)
    for each in _all(known, "receivers"):
        if each["error"]:
            click.echo(f"{_prefix(each)}alerts cannot be delivered to {each['name']}: {each['error']}", err=True)
    for cluster, tree in known:
        if not tree["receivers"]:
            click.echo(
                f"{_prefix(_marked(cluster, tree))}alerts are not delivered to anybody: see docs/how-to/alerts.md",
                err=True,
            )
    return code


@command.command()
@click.argument("target", metavar="SERVICE|ALERT")
@click.option("--for", "for_s", type=Period(), required=True, help="How long, such as 2h or 1d.")
@click.option("--why", required=True, metavar="TEXT", help="Why, for the others.")
@click.option("--alert", default=None, metavar="ALERT", help="With SERVICE: this alert only.")
@desks_options
@json_option
def silence(*, target: str, for_s: float, why: str, alert: str | None, desks: Desks, as_json: bool) -> int:
    """Do not deliver the alerts of SERVICE, or those named ALERT, for a while.

    They are still evaluated, listed and recorded in the timeline. The end of an alert that receivers know is delivered.
    On a cluster, SERVICE has its namespace, such as shop.chat or model/shop.chat.
    """
    from bateau.api.encoding import encode
    from bateau.domain.alert_rules import RULES
    from bateau.kit.json_value import text_at

    is_rule = target in {each.name for each in RULES}
    if is_rule and alert:
        raise click.UsageError(f"{target} is an alert; with --alert, name a service")
    request: JsonObject = {
        "service": None if is_rule else target,
        "alert": target if is_rule else alert,
        "seconds": for_s,
        "why": why,
        "by": getpass.getuser(),
    }
    known, code = _known(desks.ask("silence", request), failed="")
    made = [_marked(cluster, tree) for cluster, tree in known]
    if as_json:
        click.echo(encode(made if desks.environment else made[0]))
        return code
    for each in made:
        about = " of ".join(text for key in ("alert", "service") if (text := text_at(each, key)))
        undo = f"bateau alerts unsilence {each['id']}{desks.options}"
        click.echo(f"{_prefix(each)}silenced {about} until {text_at(each, 'until')}; end it with: {undo}")
    return code


@command.command()
@desks_options
@json_option
def silences(*, desks: Desks, as_json: bool) -> int:
    """List the silences.

    Exit code 3: those of a cluster are not known.
    """
    from bateau.api.encoding import encode
    from bateau.cli.table import table
    from bateau.kit.json_value import text_at

    known, code = _known(desks.ask("list"))
    found = _all(known, "silences")
    if as_json:
        click.echo(encode(found))
        return code
    if not found:
        if not code:
            click.echo("there are no silences", err=True)
        return code
    columns = [*(["cluster"] if desks.environment else []), "id", "service", "alert", "until", "by", "why"]
    rows = [[text_at(each, column) or "-" for column in columns] for each in found]
    click.echo(table([column.upper() for column in columns], rows))
    return code


@command.command()
@click.argument("silence")
@desks_options
def unsilence(*, silence: str, desks: Desks) -> int:
    """End SILENCE, by its id. The alerts that still fire are delivered."""
    from bateau.domain.errors import ClusterError

    answers = desks.ask("unsilence", {"silence": silence})
    ended = [cluster for cluster, answer in answers if not isinstance(answer, ClusterError)]
    if not ended:  # of several clusters: one has a silence that no other has
        return _known(answers, failed="")[1]
    click.echo(f"ended the silence {silence}" + (f" on {', '.join(ended)}" if desks.environment else ""))
    return 0


@command.command()
@desks_options
@json_option
def test(*, desks: Desks, as_json: bool) -> int:
    """Send a test alert to every receiver, and report how that went.

    Exit code 3: a receiver did not take it, or there is none.
    """
    from bateau.api.encoding import encode

    known, code = _known(desks.ask("test"), failed="")
    found = _all(known, "receivers")
    if as_json:
        click.echo(encode(found))
    else:
        for each in found:
            click.echo(f"{_prefix(each)}{each['name']}: {each['error'] or 'delivered'}")
        for cluster, tree in known:
            if not tree["receivers"]:
                click.echo(
                    f"{_prefix(_marked(cluster, tree))}there are no receivers: see docs/how-to/alerts.md", err=True
                )
    are_there = all(tree["receivers"] for _, tree in known)
    return code if are_there and not any(each["error"] for each in found) else EXIT_WORLD_FAILED


def _known(
    answers: "Sequence[tuple[str, JsonObject | ClusterError]]", *, failed: str = "unknown: "
) -> "tuple[Sequence[tuple[str, JsonObject]], int]":
    """Return the answers without the failures, and the exit code. Those are reported, after the word `failed`."""
    from bateau.cli.problems import error_text
    from bateau.domain.errors import ClusterError
    from bateau.kit.visible import visible

    known: list[tuple[str, JsonObject]] = []
    for cluster, answer in answers:
        if isinstance(answer, ClusterError):
            click.echo(visible(f"{cluster}: {failed}{error_text(answer)}"), err=True)
        else:
            known.append((cluster, answer))
    return known, 0 if len(known) == len(answers) else EXIT_WORLD_FAILED


def _all(known: "Sequence[tuple[str, JsonObject]]", key: str) -> "list[JsonObject]":
    """Return the objects of a list of each answer, marked with their cluster."""
    from bateau.kit.json_value import array_at, object_at

    return [_marked(cluster, object_at(each)) for cluster, tree in known for each in array_at(tree, key)]


def _marked(cluster: str, tree: "JsonObject") -> "JsonObject":
    return {"cluster": cluster, **tree} if cluster else tree


def _prefix(tree: "JsonObject") -> str:
    return f"{tree['cluster']}: " if "cluster" in tree else ""


def _show(alert: "JsonObject") -> None:
    from bateau.kit.json_value import text_at
    from bateau.kit.visible import visible

    is_over = alert["state"] == "resolved"
    state = "resolved" if is_over else text_at(alert, "severity")
    colour = "green" if is_over else "red" if state == "critical" else "yellow"
    silenced = f", silenced until {alert['silencedUntil']}" if alert["silencedUntil"] else ""
    since = f"since {alert['since']}" + (f" until {alert['endedAt']}" if is_over else "")
    summary = visible(text_at(alert, "summary"))
    click.echo(f"{_prefix(alert)}{click.style(state, fg=colour)}  {alert['name']}  {summary}")
    lines = [since + silenced, visible(text_at(alert, "says"))]
    if alert["cause"] and alert["cause"] != alert["says"]:
        lines.append(f"cause: {visible(text_at(alert, 'cause'))}")
    if not is_over:
        lines += [f"fix:   {visible(text_at(alert, 'description'))}", text_at(alert, "link")]
    for line in filter(None, lines):
        click.echo(f"    {line}")
