"""`bateau open`: print a link that opens the dashboard, once."""

import webbrowser
from urllib.parse import quote

import click

from bateau.cli.options import name_option


@click.command()
@click.argument("service", required=False)
@name_option
@click.option(
    "--role",
    type=click.Choice(("view", "operate", "admin")),
    default="admin",
    show_default=True,
    help="What the person who follows the link may do: look, restart services, or everything.",
)
@click.option("--browser", is_flag=True, help="Open the link in a browser, too.")
def command(service: str | None, name: str, role: str, *, browser: bool) -> None:
    """Print a link that opens the dashboard, or the page of SERVICE. It works once, for five minutes.

    The session lasts until it was not used for twelve hours, or until the control plane ends.
    """
    from bateau.cli.instance import client

    api = client(name)
    status = api.status()
    path = ""
    if service:
        keys = [each["service"] for each in status["services"]]
        found = next((key for key in keys if service in (key, key.partition("/")[2])), None)
        if found is None:
            from bateau.kit.suggest import did_you_mean, listed

            hint = (
                did_you_mean(service, [*keys, *(key.partition("/")[2] for key in keys)])
                or f"available: {listed(keys) or 'none'}"
            )
            raise click.UsageError(f"no service {service} in {name}: {hint}")
        path = f"&to={quote(f'/services/{found}')}"
    link = api.dashboard_link(role) + path
    click.echo(status["listen"] + link)
    if status["remote"]:
        click.echo(f"from another machine: {status['remote']}{link}", err=True)
    if browser and not webbrowser.open(status["listen"] + link):
        click.echo("no browser was found: open the link yourself", err=True)
