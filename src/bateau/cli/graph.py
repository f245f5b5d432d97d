"""`bateau graph`: who uses whom, from the specs, with states and traffic where they run."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from bateau.cli.exit_codes import written_code
from bateau.cli.options import directory_option, environment_option, name_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bateau.api.trees import StatusTree
    from bateau.domain.service_graph import Live

# A rate takes two looks at counters, which are measured again after two seconds.
_SECOND_LOOK_S: Final = 2.1
_FORMS: Final = ("text", "dot", "svg")


@click.command()
@environment_option("The environment to hydrate for. [default: that of the running instance]")
@directory_option
@name_option
@click.option("--format", "form", type=click.Choice(_FORMS), help="[default: that of the file's name, or text]")
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file, such as graph.svg."
)
def command(environment: str | None, directory: Path, name: str, form: str | None, output: Path | None) -> int:
    """Show who uses whom: as a tree, for Graphviz (DOT), or as the picture of the dashboard (SVG).

    The specs below the directory are read offline. If the instance serves this directory and environment, the states of
    the services and their requests per second are shown, too.

    \b
      bateau graph
      bateau graph --env prod -o prod.svg
      bateau graph --format dot | dot -Tpng -o graph.png

    Exit code 1: the specs have errors, and the graph may lack some services; 5: only policies are violated.
    """
    from bateau.cli.graph_forms import FORMS
    from bateau.cli.output import write_output
    from bateau.domain.service_graph import service_graph
    from bateau.wiring.service_graph import written_in

    status = _status(name)
    serves = status is not None and status["directory"] == str(directory)
    if environment is None and status is not None and serves:
        environment = status["environment"]
    written = written_in(directory, environment)
    if written.problems:
        from bateau.cli.problems import render

        click.echo(render(written.problems), err=True)
    if not (written.release.services or written.problems):
        raise click.UsageError(f"no specs found below {directory}")
    live: Mapping[str, Live] = {}
    if status is not None and serves and status["environment"] == environment:
        live = _live(name, status)
    elif status is not None:
        place = status["directory"] + (f" for {status['environment']}" if status["environment"] else "")
        click.echo(f"the instance {name} serves {place}, so no states are shown", err=True)
    text = FORMS[form or _form_of(output)](service_graph(written.release.services, live))
    write_output(output, text)
    return written_code(wrong=written.wrong, mistaken=written.mistaken)


def _form_of(output: Path | None) -> str:
    """Return the form that the name of the file stands for."""
    suffix = output.suffix.removeprefix(".").lower() if output else ""
    return "dot" if suffix == "gv" else suffix if suffix in _FORMS else "text"


def _status(name: str) -> "StatusTree | None":
    """Return the status; None if no control plane answers: the graph does not depend on one."""
    from bateau.cli.instance import client
    from bateau.domain.errors import ControlError

    try:
        return client(name).status()
    except ControlError:
        return None


def _live(name: str, status: "StatusTree") -> "Mapping[str, Live]":
    from bateau.cli.instance import client
    from bateau.cli.top_rows import Sample
    from bateau.domain.service_graph import Live

    sample = Sample(status=status, figures=client(name).figures())
    if sample.is_first_look:
        time.sleep(_SECOND_LOOK_S)
        sample = Sample(status=status, figures=client(name).figures())
    return {
        each["service"]: Live(state=each["state"], requests_per_s=sample.of(each["service"])["requestsPerS"])
        for each in status["services"]
    }
