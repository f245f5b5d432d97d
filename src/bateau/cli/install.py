"""`bateau install`: install Bateau on a cluster, or print its objects or its Helm chart."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bateau.cli.installing import Wish, apply_installation, installing_options

if TYPE_CHECKING:
    from bateau.wiring.installing import Given


@click.command()
@installing_options
@click.option("--namespace", help="Namespace of Bateau itself.  [default: bateau-system]")
@click.option("--print", "printed", is_flag=True, help="Print the objects as YAML, for GitOps, and install nothing.")
@click.option(
    "--helm", type=click.Path(file_okay=False, path_type=Path, resolve_path=True), metavar="DIRECTORY",
    help="Write the Helm chart to this directory, and install nothing.",
)  # fmt: skip
def command(given: "Given", wish: Wish, *, namespace: str | None, helm: Path | None, printed: bool) -> int:
    """Install Bateau on a cluster: the controller, the gateway and the definitions.

    Shows the plan, asks for confirmation, applies it, and waits until everything is ready. Installing again
    restores missing objects, and adopts everything that an earlier installation has left.
    """
    if printed and helm:
        raise click.UsageError("--print and --helm cannot be used together")
    given = replace(given, namespace=namespace)
    if printed:
        _print(given)
        return 0
    if helm is not None:
        if given.is_any:
            raise click.UsageError("--helm takes no settings: the chart has values, and the release has a namespace")
        return _write(helm)
    return apply_installation(given, wish, needs_installed=False)


def _print(given: "Given") -> None:
    from bateau.control.installation import parts_of
    from bateau.kit.yaml_writer import write
    from bateau.render.installation.objects import Installation

    settings = given.over(Installation())
    click.echo(write(tree for trees in parts_of(settings).values() for tree in trees), nl=False)


def _write(directory: Path) -> int:
    from bateau.control.installation import chart_files

    if directory.exists() and any(directory.iterdir()) and not (directory / "Chart.yaml").exists():
        raise click.UsageError(f"{directory} has other files than a chart; name a new directory")
    for name, text in chart_files().items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    click.echo(f"wrote the chart to {directory}", err=True)
    return 0
