"""Options that `render` and `plan` share.

Called by cli.explain, cli.plan and cli.render.
"""

import re
from collections.abc import Callable
from typing import TypeVar

import click

from bateau.cli.options import directory_option

_Command = TypeVar("_Command", bound=Callable[..., object])


def _namespace(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    if value is not None and not _DNS_LABEL(value):
        raise click.BadParameter("lower-case letters, digits and '-', starting and ending with a letter or digit")
    return value


_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?").fullmatch

namespace_option = click.option(
    "--namespace",
    "-n",
    callback=_namespace,
    show_default="spec.namespace of the environment, or default",
    help="Namespace of services whose documents name none.",
)


def delivery_options(command: _Command) -> _Command:
    """Add the directory of the specs, and the schemas and policies for their manifests."""
    for option in (
        click.option(
            "--kubernetes",
            default="1.37",
            show_default=True,
            type=click.Choice(["1.36", "1.37"]),
            help="Version of the schemas.",
        ),
        click.option("--starter", is_flag=True, help="Also check Bateau's starter set of policies."),
        namespace_option,
        directory_option,
    ):
        command = option(command)
    return command
