"""Options that several commands share.

Called by cli.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

INSTANCE_DEFAULT = "default"
_Command = TypeVar("_Command", bound=Callable[..., object])


class Number(click.ParamType[int]):
    """A whole number of at least `least`. click's IntRange prints `[1<=x<=9223372036854775807]` in the help."""

    name = "number"

    def __init__(self, least: int) -> None:
        self._least = least

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number; a wrong one is a usage error."""
        from bateau.kit.amounts import whole

        try:
            return whole(value, least=self._least)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Memory(click.ParamType[int]):
    """An amount of memory, such as 8Gi, in bytes."""

    name = "quantity"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the bytes; a wrong amount is a usage error."""
        from bateau.kit.quantity import QuantityError, parse_bytes

        try:
            found = value if isinstance(value, int) else parse_bytes(value)
        except QuantityError as error:
            self.fail(f"{error}; write 8Gi or 512Mi", param, ctx)
        if found <= 0:
            self.fail("it must be more than 0", param, ctx)
        return found


class Period(click.ParamType[float]):
    """A length of time, such as 24h or 30d, in seconds."""

    name = "duration"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds; a wrong one is a usage error."""
        from bateau.kit.amounts import period

        if not isinstance(value, str):
            return float(value)
        try:
            return period(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class BundlePlace(click.ParamType[Path | str]):
    """A path, as `path` takes it, or the reference of a bundle in a registry: oci://HOST/REPOSITORY[:TAG]."""

    def __init__(self, path: click.Path) -> None:
        self._path = path
        self.name = path.name

    def convert(self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None) -> Path | str:
        """Return a reference as a string, and anything else as a path."""
        if isinstance(value, str) and value.startswith("oci://"):
            return value
        return Path(os.fsdecode(self._path.convert(os.fspath(value), param, ctx)))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        """Complete paths."""
        return self._path.shell_complete(ctx, param, incomplete)


def name_option(command: _Command) -> _Command:
    """Add `--name`."""
    return click.option(
        "--name",
        default=INSTANCE_DEFAULT,
        show_default=True,
        envvar="BATEAU_NAME",
        callback=_checked_name,
        help="Name of the instance: several can run side by side.",
    )(command)


def json_option(command: _Command) -> _Command:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(command)


def directory_option(command: _Command) -> _Command:
    """Add `--directory`: every command that reads specs takes their directory this way, as git and make do."""
    return click.option(
        "--directory",
        "-C",
        default=".",
        type=click.Path(exists=True, file_okay=False, path_type=Path, resolve_path=True),
        help="Directory of the specs.",
    )(command)


def environment_option(says: str) -> Callable[[_Command], _Command]:
    """Return `--env`, with its help: every command takes the environment this way."""
    return click.option("--env", "environment", metavar="NAME", help=says)


def address_of(text: str, option: str) -> tuple[str, int]:
    """Return host and port of an option's value. Raises UsageError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise click.UsageError(f"{option} {text} is not an address and a port, such as 127.0.0.1:8081")
    return host.strip("[]"), int(port)


def _checked_name(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not value or len(value) > 32 or not all(c.isascii() and (c.isalnum() or c in "-_") for c in value):  # noqa: PLR2004
        raise click.BadParameter("a name has letters, digits, '-' and '_', at most 32")
    return value


def is_terminal() -> bool:
    """Whether a person is watching, so that colours, progress bars and repainting are useful."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


issuer_name_option = click.option(
    "--as", "called", default="", metavar="NAME", help="The issuer's name here. [default: its host]"
)
issuer_ca_option = click.option(
    "--ca", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Trust the issuer's server by these certificates (PEM) instead of those of the platform.",
)  # fmt: skip
