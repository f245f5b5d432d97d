"""`bateau admission`: print the policies as ValidatingAdmissionPolicies."""

from pathlib import Path

import click

from bateau.cli.exit_codes import EXIT_WRITTEN_WRONG
from bateau.cli.options import directory_option, environment_option


@click.command()
@environment_option("The environment of the cluster.")
@click.option("--starter", is_flag=True, help="Include Bateau's starter set of policies.")
@directory_option
def command(environment: str | None, starter: bool, directory: Path) -> int:
    """Print the policies as ValidatingAdmissionPolicies with their bindings, for the cluster of an environment.

    \b
      bateau admission --env prod | kubectl apply --server-side -f -

    The rules are the same text. Parameters and the environment are written into them, so print them again when they
    change. Rules that an API server cannot evaluate (over specs, services or other objects) are reported and left out.
    """
    from bateau.cli.findings import findings_text
    from bateau.cli.problems import render
    from bateau.domain.problem import Severity
    from bateau.kit.yaml_writer import write
    from bateau.wiring.admission import admission_of

    found = admission_of(directory, environment, starter=starter)
    if found.problems:
        click.echo(render(found.problems), err=True)
    if found.findings:
        click.echo(findings_text(found.findings), err=True)
    if any(problem.severity is Severity.ERROR for problem in found.problems):
        return EXIT_WRITTEN_WRONG
    click.echo(write(found.trees), nl=False)
    return 0
