"""`bateau dashboards`: dashboards for Grafana over the metrics of instances."""

from pathlib import Path

import click


@click.command()
@click.option(
    "--output", "-o", type=click.Path(file_okay=False, path_type=Path),
    help="Write one file per dashboard to this directory. [default: list the dashboards]",
)  # fmt: skip
def command(output: Path | None) -> None:
    """Write dashboards for Grafana: all services, one model, and the gateway with the control plane.

    Import the files in Grafana, or let it read their directory (provisioning). They need a data source with the metrics
    of instances: Prometheus, VictoriaMetrics, or another one with the same API.
    """
    import json

    from bateau.cli.output import write_output
    from bateau.domain.errors import ControlError
    from bateau.render.monitoring.dashboards import dashboard_json, dashboards

    if output:
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ControlError(f"cannot create {output}: {error.strerror}") from error
    for each in dashboards():
        if output is None:
            click.echo(f"{each.name}.json  {each.title}")
            continue
        write_output(output / f"{each.name}.json", json.dumps(dashboard_json(each), indent=2))
        click.echo(f"{output / each.name}.json", err=True)
    if output is None:
        click.echo("write them with `bateau dashboards -o DIRECTORY`", err=True)
