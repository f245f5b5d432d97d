"""`bateau render`: the Kubernetes manifests of an environment."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bateau.cli.delivery_options import delivery_options
from bateau.cli.exit_codes import written_code

if TYPE_CHECKING:
    from bateau.domain.manifest import Manifest


@click.command()
@click.argument("environment", required=False)
@delivery_options
@click.option("--output", "-o", type=click.Path(file_okay=False, path_type=Path), help="Write a file a service there.")
def command(
    environment: str | None, directory: Path, namespace: str, starter: bool, kubernetes: str, output: Path | None
) -> int:
    """Render the Kubernetes manifests of ENVIRONMENT, checked against strict schemas and the policies.

    Exit code 0: done; 1: mistakes, or what cannot be rendered; 5: only policies forbid it. With mistakes nothing is
    written.
    """
    from bateau.cli.findings import findings_text
    from bateau.cli.problems import render as render_problems
    from bateau.kit.yaml_writer import write
    from bateau.wiring.delivery import Question, rendered

    question = Question(
        directory=directory, environment=environment, namespace=namespace, starter=starter, kubernetes=kubernetes
    )
    found = rendered(question)
    if found.written.problems:
        click.echo(render_problems(found.written.problems), err=True)
    if found.findings:
        click.echo(findings_text(found.findings), err=True)
    if found.written.wrong:
        return written_code(wrong=found.written.wrong, mistaken=found.written.mistaken)
    by_service: dict[str, list[Manifest]] = {}
    for manifest in found.manifests:
        by_service.setdefault(manifest.service or "other", []).append(manifest)
    for service, manifests in by_service.items():
        text = write(manifest.tree for manifest in manifests)
        if output is None:
            click.echo(text, nl=False)
        else:
            path = output / f"{service.replace('/', '-')}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if output is not None:
        click.echo(f"{len(found.manifests)} manifests of {len(by_service)} services in {output}", err=True)
    return written_code(wrong=found.wrong, mistaken=found.mistaken)
