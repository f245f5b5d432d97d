"""`bateau open`: print a link that opens the dashboard, once."""

import webbrowser
from pathlib import Path
from urllib.parse import quote

import click

from bateau.cli.options import Number, directory_option, environment_option, name_option


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
@environment_option("Show the clusters of an environment, by the controller of one.")
@click.option("--cluster", metavar="NAME", help="With --env: the cluster, if the environment has several.")
@click.option(
    "--port", type=Number(0), metavar="PORT", help="With --env: the port on this machine; any free one without it."
)
@directory_option
def command(
    service: str | None,
    name: str,
    role: str,
    *,
    browser: bool,
    environment: str | None,
    cluster: str | None,
    port: int | None,
    directory: Path,
) -> int:
    """Print a link that opens the dashboard, or the page of SERVICE. It works once, for five minutes.

    The session lasts until it was not used for twelve hours, or until the control plane ends.

    With --env, the dashboard is that of the controller on a cluster. It is forwarded to this machine until Ctrl-C, by
    the right to forward ports of its pod, and changes nothing. SERVICE is a key such as model/shop.chat there.
    """
    if environment is not None:
        from bateau.cli.cluster_open import open_cluster

        to = f"&to={quote(f'/services/{service}')}" if service else ""
        return open_cluster(environment, directory, cluster, to=to, port=port or 0, browser=browser)
    if cluster or port:
        raise click.UsageError("--cluster and --port need --env")
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
    return 0
