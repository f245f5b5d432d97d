"""`bateau alerts rules`: the alerts for Prometheus.

Called by cli.alerts and cli.monitors.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from bateau.cli.exit_codes import written_code
from bateau.cli.options import directory_option, environment_option

if TYPE_CHECKING:
    from bateau.control.path import Written

_NAME: Final = "bateau"


@click.command()
@environment_option("The environment to hydrate for.")
@directory_option
@click.option(
    "--format", "form", type=click.Choice(("rules", "prometheusrule")), default="rules", show_default=True,
    help="A file of rules, or an object for the Prometheus Operator.",
)  # fmt: skip
@click.option("--namespace", "-n", metavar="NAME", help="With prometheusrule: the namespace of the object.")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
def rules(environment: str | None, directory: Path, form: str, namespace: str | None, output: Path | None) -> int:
    """Print the alerts of every service as rules for Prometheus, from the specs below the directory.

    They have the same names, objectives and windows as the alerts of Bateau itself, and two more about Bateau: one
    that fires if no control plane is scraped, and one if series are missing.

    Exit code 1: the specs have errors, and nothing is printed; 5: only policies are violated.
    """
    from bateau.cli.output import write_output
    from bateau.kit.yaml_writer import write_document
    from bateau.render.monitoring.rules import prometheus_rule, rule_groups

    if namespace and form == "rules":
        raise click.UsageError("--namespace is for --format prometheusrule")
    written = written_or_usage(directory, environment)
    if not written.mistaken:
        services = [each for each in written.release.services if not each.brings_documents]
        tree = rule_groups(services) if form == "rules" else prometheus_rule(services, name=_NAME, namespace=namespace)
        write_output(output, write_document(tree))
    return written_code(wrong=written.wrong, mistaken=written.mistaken)


def written_or_usage(directory: Path, environment: str | None) -> "Written":
    """Return the specs, and report their problems. Raises UsageError if there are none."""
    from bateau.wiring.service_graph import written_in

    written = written_in(directory, environment)
    if written.problems:
        from bateau.cli.problems import render

        click.echo(render(written.problems), err=True)
    if not (written.release.services or written.problems):
        raise click.UsageError(f"no specs found below {directory}")
    return written
