"""`bateau alerts`: list, silence and test alerts."""

import getpass
from typing import TYPE_CHECKING

import click

from bateau.cli.alert_exports import rules
from bateau.cli.exit_codes import EXIT_WORLD_FAILED
from bateau.cli.monitors import monitors
from bateau.cli.options import Period, json_option, name_option

if TYPE_CHECKING:
    from bateau.kit.json_value import JsonObject


@click.group()
def command() -> None:
    """List, silence and test alerts.

    Alerts about errors, latency, restarts, memory, disks, certificates and more are on by default. Environment
    variables of `bateau up` say where they are delivered to.
    """


command.add_command(rules)
command.add_command(monitors)


@command.command("list")
@click.option("--all", "all_", is_flag=True, help="Also those that have ended within a week.")
@name_option
@json_option
def list_alerts(all_: bool, name: str, as_json: bool) -> None:
    """List the alerts that fire, each with its cause and its fix."""
    from bateau.api.encoding import encode
    from bateau.cli.instance import client
    from bateau.kit.json_value import array_at, object_at

    tree = client(name).alerts()
    found = [object_at(each) for each in array_at(tree, "alerts")]
    ended = [object_at(each) for each in array_at(tree, "ended")] if all_ else []
    if as_json:
        click.echo(encode([*ended, *found]))
        return
    for each in (*ended, *found):
        _show(each)
    if not found:
        click.echo("no alert fires", err=True)
    for each in map(object_at, array_at(tree, "receivers")):
        if each["error"]:
            click.echo(f"alerts cannot be delivered to {each['name']}: {each['error']}", err=True)
    if not tree["receivers"]:
        click.echo("alerts are not delivered to anybody: see docs/how-to/alerts.md", err=True)


@command.command()
@click.argument("target", metavar="SERVICE|ALERT")
@click.option("--for", "for_s", type=Period(), required=True, help="How long, such as 2h or 1d.")
@click.option("--why", required=True, metavar="TEXT", help="Why, for the others.")
@click.option("--alert", default=None, metavar="ALERT", help="With SERVICE: this alert only.")
@name_option
@json_option
def silence(target: str, for_s: float, why: str, alert: str | None, name: str, as_json: bool) -> None:
    """Do not deliver the alerts of SERVICE, or those named ALERT, for a while.

    They are still evaluated, listed and recorded in the timeline. The end of an alert that receivers know is delivered.
    """
    from bateau.api.encoding import encode
    from bateau.cli.instance import client
    from bateau.domain.alert_rules import RULES
    from bateau.kit.json_value import text_at

    is_rule = target in {each.name for each in RULES}
    if is_rule and alert:
        raise click.UsageError(f"{target} is an alert; with --alert, name a service")
    made = client(name).silence(
        {
            "service": None if is_rule else target,
            "alert": target if is_rule else alert,
            "seconds": for_s,
            "why": why,
            "by": getpass.getuser(),
        }
    )
    if as_json:
        click.echo(encode(made))
        return
    about = " of ".join(text for key in ("alert", "service") if (text := text_at(made, key)))
    click.echo(f"silenced {about} until {text_at(made, 'until')}; end it with: bateau alerts unsilence {made['id']}")


@command.command()
@name_option
@json_option
def silences(name: str, as_json: bool) -> None:
    """List the silences."""
    from bateau.api.encoding import encode
    from bateau.cli.instance import client
    from bateau.cli.table import table
    from bateau.kit.json_value import array_at, object_at, text_at

    found = [object_at(each) for each in array_at(client(name).alerts(), "silences")]
    if as_json:
        click.echo(encode(found))
        return
    if not found:
        click.echo("there are no silences", err=True)
        return
    columns = ("id", "service", "alert", "until", "by", "why")
    rows = [[text_at(each, column) or "-" for column in columns] for each in found]
    click.echo(table([column.upper() for column in columns], rows))


@command.command()
@click.argument("silence")
@name_option
def unsilence(silence: str, name: str) -> None:
    """End SILENCE, by its id. The alerts that still fire are delivered."""
    from bateau.cli.instance import client

    client(name).unsilence(silence)
    click.echo(f"ended the silence {silence}")


@command.command()
@name_option
@json_option
def test(name: str, as_json: bool) -> int:
    """Send a test alert to every receiver, and report how that went.

    Exit code 3: a receiver did not take it, or there is none.
    """
    from bateau.api.encoding import encode
    from bateau.cli.instance import client
    from bateau.kit.json_value import array_at, object_at

    found = [object_at(each) for each in array_at(client(name).test_alerts(), "receivers")]
    if as_json:
        click.echo(encode(found))
    else:
        for each in found:
            click.echo(f"{each['name']}: {each['error'] or 'delivered'}")
        if not found:
            click.echo("there are no receivers: see docs/how-to/alerts.md", err=True)
    return 0 if found and not any(each["error"] for each in found) else EXIT_WORLD_FAILED


def _show(alert: "JsonObject") -> None:
    from bateau.kit.json_value import text_at
    from bateau.kit.visible import visible

    is_over = alert["state"] == "resolved"
    state = "resolved" if is_over else text_at(alert, "severity")
    colour = "green" if is_over else "red" if state == "critical" else "yellow"
    silenced = f", silenced until {alert['silencedUntil']}" if alert["silencedUntil"] else ""
    since = f"since {alert['since']}" + (f" until {alert['endedAt']}" if is_over else "")
    click.echo(f"{click.style(state, fg=colour)}  {alert['name']}  {visible(text_at(alert, 'summary'))}")
    lines = [since + silenced, visible(text_at(alert, "says"))]
    if alert["cause"] and alert["cause"] != alert["says"]:
        lines.append(f"cause: {visible(text_at(alert, 'cause'))}")
    if not is_over:
        lines += [f"fix:   {visible(text_at(alert, 'description'))}", text_at(alert, "link")]
    for line in filter(None, lines):
        click.echo(f"    {line}")
