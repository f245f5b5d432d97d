"""`bateau rollback`: roll one service back to its last healthy revision."""

import datetime as dt
from pathlib import Path

import click

from bateau.cli.exit_codes import EXIT_WORLD_FAILED
from bateau.cli.options import Number, directory_option, environment_option, json_option, name_option


@click.command()
@click.argument("service")
@name_option
@environment_option("The environment that the instance must serve, or whose clusters are changed.")
@directory_option
@click.option("--to", type=Number(1), metavar="REVISION", help="Roll back to this revision.")
@json_option
def command(service: str, name: str, environment: str | None, directory: Path, to: int | None, as_json: bool) -> int:
    """Roll SERVICE back to its most recent healthy revision that differs from the current one.

    Waits until SERVICE is ready. Other services are not changed. The rollback survives restarts and edits of other
    services, and ends when the spec of SERVICE changes. Exit code 3: no earlier revision exists, or SERVICE did not
    become healthy.

    If the environment has clusters, SERVICE is rolled back there, to the commit of an earlier revision in
    `bateau history --env NAME`; the clone must have this commit.
    """
    if environment:
        from bateau.wiring.comparing import clusters_of
        from bateau.wiring.question import Question

        question = Question(directory=directory, environment=environment)
        if places := clusters_of(question):
            from bateau.cli.cluster_history import roll_back

            return roll_back(question, places, service, to=to, as_json=as_json)
    from bateau.api.encoding import encode
    from bateau.cli.instance import client
    from bateau.cli.presenter import Presenter
    from bateau.cli.preview_text import rows_text
    from bateau.cli.rollout import wait_for_service
    from bateau.domain.errors import ControlError

    ask = client(name)
    serves = ask.status()["environment"]
    if environment is not None and environment != serves:
        raise ControlError(
            f"{name} serves {serves or 'no environment'}, not {environment}", hint="choose an instance with --name"
        )
    made = ask.rollback(service, to=to)
    when = dt.datetime.fromtimestamp(made["whenS"], tz=dt.UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    commit = f", commit {made['commit'][:12]}" if made["commit"] else ""
    if not as_json:
        click.echo(f"{made['service']} is rolled back to revision {made['revision']} of {when}{commit}")
        click.echo("\n".join(rows_text(made["rows"])))
    rollout = wait_for_service(name, Presenter(), made["service"])
    if as_json:
        click.echo(encode({**made, "rolledOut": rollout.done, "failed": rollout.failed}))
    if not rollout.done:
        click.echo(f"not healthy: {', '.join(rollout.failed)}", err=True)
        return EXIT_WORLD_FAILED
    if not as_json:
        click.echo(f"{made['service']} is ready; it stays at this revision until its spec changes", err=True)
    return 0
