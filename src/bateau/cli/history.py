"""`bateau history`: list the released revisions with time, commit and author."""

import datetime as dt
from pathlib import Path

import click

from bateau.cli.options import Number, directory_option, environment_option, json_option, name_option


@click.command()
@name_option
@environment_option("Only this environment; if it has clusters, what was applied to them.")
@directory_option
@click.option("--service", metavar="NAME", help="Only revisions with this service.")
@click.option(
    "--lines",
    "-n",
    "limit",
    type=Number(1),
    metavar="NUMBER",
    default=20,
    show_default=True,
    help="How many, newest first.",
)
@json_option
def command(
    name: str, environment: str | None, directory: Path, service: str | None, limit: int, as_json: bool
) -> int | None:
    """Show the revisions that this machine has served, or that were applied to clusters, newest first."""
    if environment:
        from bateau.wiring.comparing import clusters_of
        from bateau.wiring.question import Question

        question = Question(directory=directory, environment=environment)
        if places := clusters_of(question):
            from bateau.cli.cluster_history import show_history

            return show_history(question, places, service=service, limit=limit, as_json=as_json)
    from bateau.cli.instance import instance_paths
    from bateau.cli.table import table
    from bateau.wiring.history import history

    revisions = history(instance_paths(name), environment=environment, service=service, limit=limit)
    if as_json:
        from bateau.api.encoding import encode

        click.echo(encode(revisions))
        return None
    if not revisions:
        of = f" of {service}" if service else ""
        click.echo(f"no revision{of}{f' for {environment}' if environment else ''} was recorded")
        return None
    rows = [
        (
            str(revision.id),
            dt.datetime.fromtimestamp(revision.when_s, tz=dt.UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S"),
            revision.environment,
            revision.outcome,
            (revision.commit or "-")[:12],
            revision.who,
            ", ".join(sorted(revision.services)),
        )
        for revision in revisions
    ]
    click.echo(table(("ID", "WHEN", "ENVIRONMENT", "OUTCOME", "COMMIT", "WHO", "SERVICES"), rows))
    return None
