"""`bateau explain`: the documentation of a field, or where a value came from."""

from pathlib import Path
from typing import Any, cast

import click

from bateau.cli.options import json_option

_KINDS = ("Model", "App", "Environment", "Policy")


@click.command()
@click.argument("subject")
@click.argument("path", required=False)
@click.option(
    "--directory",
    "-C",
    default=".",
    type=click.Path(exists=True, file_okay=False, path_type=Path, resolve_path=True),
    help="Where the specs lie.",
)
@json_option
def command(subject: str, path: str | None, directory: Path, as_json: bool) -> None:
    """Document a field, or say where a value came from.

    \b
      bateau explain Model.spec.parallel      what the field means
      bateau explain chat spec.parallel       its value in service chat, and who wrote it
    """
    if subject.partition(".")[0] in _KINDS and path is None:
        _document(subject, as_json=as_json)
        return
    if path is None:
        raise click.UsageError("give a field to document (Model.spec.parallel), or a service and a path in it")
    _origin(subject, path, directory, as_json=as_json)


def _document(subject: str, *, as_json: bool) -> None:
    from bateau.specs import explain_field

    try:
        field = explain_field(subject)
    except (LookupError, ValueError) as error:
        raise click.UsageError(str(error.args[0])) from error
    if as_json:
        from bateau.api.encoding import encode

        click.echo(encode(field))
        return
    from bateau.cli.field_page import field_page

    click.echo(field_page(field))


def _origin(subject: str, path: str, directory: Path, *, as_json: bool) -> None:
    from bateau.api.encoding import encode
    from bateau.wiring.written import read_directory

    services = read_directory(directory).written.release.services
    name = subject.rpartition("/")[2]
    service = next((s for s in services if s.name == name and subject in (s.name, s.key)), None)
    if service is None:
        from bateau.kit.suggest import did_you_mean, listed

        hint = (
            did_you_mean(name, [s.name for s in services]) or f"there is: {listed(s.key for s in services) or 'none'}"
        )
        raise click.UsageError(f"no service {subject} below {directory}: {hint}")
    try:
        value = _value(service, path)
    except LookupError as error:
        raise click.UsageError(f"{service.key} has no {path}: see `bateau explain {service.kind}.spec`") from error
    position = service.positions.get(path)
    if as_json:
        origin = {"kind": "written", "at": position} if position else {"kind": "default", "at": None}
        click.echo(encode({"service": service.key, "path": path, "value": value, "origin": origin}))
        return
    click.echo(_shown(value))
    if position:
        click.echo(f"  {position}    {_shown(value)}    written")
    else:
        click.echo(f"  default    {_shown(value)}    see `bateau explain {service.kind}.{path}`")


def _value(service: Any, path: str) -> Any:
    """Follow "spec.ports.http.protocol" or "spec.command[1]" through the service."""
    import re

    value: Any = service
    for word, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        if index:
            value = value[int(index)]
        elif isinstance(value, dict):
            value = cast("dict[str, Any]", value)[word]
        else:
            name = re.sub(r"(?<!^)([A-Z])", r"_\1", word).lower()
            if not hasattr(value, name) or name.startswith("_"):
                raise LookupError(path)
            value = getattr(value, name)
    return value


def _shown(value: Any) -> str:
    from bateau.api.encoding import encode

    if value is None:
        return "not set"
    return value if isinstance(value, str) else encode(value)
