"""`bateau restart`: replace every replica of one service, one after another."""

import click

from bateau.cli.exit_codes import EXIT_WORLD_FAILED
from bateau.cli.options import json_option, name_option


@click.command()
@click.argument("service")
@name_option
@json_option
def command(service: str, name: str, as_json: bool) -> int:
    """Replace every replica of SERVICE, one after another, and wait until SERVICE is ready.

    A new replica becomes ready before an old one is drained and stopped, so no request is lost. Use it after a model
    file or a program was replaced on disk. Other services are not changed. Exit code 3: SERVICE does not exist, or did
    not become ready; previous replicas continue where possible.
    """
    from bateau.api.encoding import encode
    from bateau.cli.instance import client
    from bateau.cli.presenter import Presenter
    from bateau.cli.rollout import wait_for_service
    from bateau.kit.json_value import text_at

    made = client(name).restart(service)
    restarted = text_at(made, "service")
    if not as_json:
        click.echo(f"{restarted} restarts", err=True)
    rollout = wait_for_service(name, Presenter(), restarted)
    if as_json:
        click.echo(encode({**made, "rolledOut": rollout.done, "failed": rollout.failed}))
    if not rollout.done:
        click.echo(
            f"not ready: {restarted}; previous replicas continue where possible\n"
            f"  hint: see `bateau status`, and `bateau logs {restarted.partition('/')[2]}`",
            err=True,
        )
        return EXIT_WORLD_FAILED
    if not as_json:
        click.echo(f"{restarted} was restarted")
    return 0
