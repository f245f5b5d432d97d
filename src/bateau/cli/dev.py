"""`bateau dev`: the tools of people who work on Bateau itself. They are in a source checkout, and not in the wheel."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from bateau.cli.options import json_option

_CHECKOUT = Path(__file__).parents[3]


@click.group()
def command() -> None:
    """Develop Bateau from a source checkout: a Kubernetes cluster on this machine, and images for it."""


@command.group()
def cluster() -> None:
    """Run a real Kubernetes on this machine: a control plane and nodes, without a container engine.

    Nodes need Linux, root and some Debian packages, which a message names if they are missing. The programs are built
    with Go once (20 minutes of CPU time) and kept in ~/.cache/bateau/cluster.
    """


_Command = TypeVar("_Command", bound=Callable[..., object])


def _name_option(function: _Command) -> _Command:
    return click.option(
        "--name", default="default", show_default=True, help="Name of the cluster: several can run side by side."
    )(function)


@cluster.command()
@_name_option
@click.option("--nodes", type=click.IntRange(0, 9), help="0: the control plane alone.  [default: 1]")
def up(name: str, nodes: int | None) -> None:
    """Start the cluster, and print the path of its kubeconfig.

    If the machine cannot run a node, the control plane starts alone, and the reason is printed. If KUBECONFIG is set,
    the cluster that it names is used, and none is started.
    """
    _run("up.sh", *(() if nodes is None else ("--nodes", str(nodes))), name=name)


@cluster.command()
@_name_option
def down(name: str) -> None:
    """Stop the cluster, and remove everything that it made on this machine but its programs."""
    _run("down.sh", name=name)


@cluster.command()
@_name_option
@json_option
def status(name: str, as_json: bool) -> None:
    """Show the processes and nodes of the cluster, and where its kubeconfig is."""
    _run("status.py", "--name", name, *(["--json"] if as_json else []), name=name)


@cluster.command()
@_name_option
@click.argument("archives", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, resolve_path=True))
def load(name: str, archives: tuple[str, ...]) -> None:
    """Import image ARCHIVES into every node, so that pods can use them without a registry."""
    _run("load.sh", *archives, name=name)


@command.group()
def image() -> None:
    """Build OCI images without a container engine: an archive, and an SBOM (CycloneDX) beside it.

    `bateau dev cluster load` imports the archives into the nodes of a cluster. The same commit gives the same digest.
    """


def _image_options(function: _Command) -> _Command:
    for option in (
        click.option("--insecure", is_flag=True, help="Push over plain HTTP."),
        click.option("--push", metavar="HOST/REPOSITORY:TAG", help="Push the image to a registry, with skopeo."),
        click.option(
            "--output",
            default="dist",
            show_default=True,
            type=click.Path(file_okay=False),
            help="Directory to write to.",
        ),
    ):
        function = option(function)
    return function


@image.command("app")
@_image_options
def build_app(output: str, push: str | None, insecure: bool) -> None:
    """Build the image of Bateau: Debian's Python, this checkout, Envoy and llama.cpp. Needs root and mmdebstrap."""
    _build(["app"], output=output, push=push, insecure=insecure)


@image.command("model")
@click.argument("reference", default="smollm2")
@_image_options
def build_model(reference: str, output: str, push: str | None, insecure: bool) -> None:
    """Build an image with the file of a model, /model.gguf, for an image volume of a pod."""
    _build(["model", reference], output=output, push=push, insecure=insecure)


def _build(words: list[str], *, output: str, push: str | None, insecure: bool) -> None:
    options = ["--output", output, *(["--push", push] if push else []), *(["--insecure"] if insecure else [])]
    _run("image.py", *words, *options, name="default")


def _run(script: str, *arguments: str, name: str) -> None:
    """Become the script, so that Ctrl-C and exit codes are its own."""
    from bateau.domain.errors import ControlError

    path = _CHECKOUT / "cluster" / script
    if not path.exists():
        raise ControlError(
            "`bateau dev` needs a source checkout of Bateau, and this is an installed package",
            hint="clone the repository and run `make cluster`",
        )
    program = [sys.executable, str(path)] if path.suffix == ".py" else [str(path)]
    # The kubectl of the checkout's virtual environment is found too.
    search = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}{Path(sys.executable).parent}"
    os.execve(program[0], [*program, *arguments], {**os.environ, "NAME": name, "PATH": search})  # noqa: S606
