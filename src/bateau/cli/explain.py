"""`bateau explain`: the documentation of a field, or where a value came from."""

from pathlib import Path
from typing import Any

import click

from bateau.cli.options import directory_option, json_option

_KINDS = ("Model", "App", "Environment", "Policy")


@click.command()
@click.argument("subject")
@click.argument("path", required=False)
@directory_option
@click.option("--env", "environment", metavar="NAME", help="The environment to explain for.")
@json_option
def command(subject: str, path: str | None, directory: Path, environment: str | None, as_json: bool) -> None:
    """Document a field, or say where a value came from.

    \b
      bateau explain Model.spec.parallel      what the field means
      bateau explain chat spec.parallel       its value in service chat, and who wrote it
      bateau explain chat spec.replicas --env prod
    """
    if subject.partition(".")[0] in _KINDS and path is None:
        _document(subject, as_json=as_json)
        return
    if path is None:
        raise click.UsageError("give a field to document (Model.spec.parallel), or a service and a path in it")
    _origin(subject, path, directory, environment, as_json=as_json)


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


def _origin(subject: str, path: str, directory: Path, environment: str | None, *, as_json: bool) -> None:
    from bateau.api.encoding import encode
    from bateau.wiring.written import read_directory

    written = read_directory(directory, environment)
    services = written.release.services
    name = subject.rpartition("/")[2]
    service = next((s for s in services if s.name == name and subject in (s.name, s.key)), None)
    if service is None:
        from bateau.kit.suggest import did_you_mean, listed

        there = listed(s.key for s in services) or "none"
        hint = did_you_mean(name, [s.name for s in services]) or f"there is: {there}"
        if written.wrong:
            hint += "; documents with mistakes are left out, see `bateau check`"
        raise click.UsageError(f"no service {subject} below {directory}: {hint}")
    value = _value(service.tree, path)
    chain = _chain(service.origins, path)
    if as_json:
        click.echo(
            encode({"service": service.key, "environment": environment, "path": path, "value": value, "origins": chain})
        )
        return
    if value is None and not chain:
        try:
            _document(f"{service.kind}.{path}", as_json=False)
        except click.UsageError as error:
            raise click.UsageError(f"{service.key} has no {path}: {error.message}") from error
        click.echo("\nnot set")
        return
    click.echo(_shown(value))
    click.echo(_steps(chain))


def _value(tree: Any, path: str) -> Any:
    """Follow a path through a tree; None where it leads to nothing."""
    from bateau.kit.position import steps

    try:
        for step in steps(path):
            tree = tree[step]
    except (LookupError, TypeError, ValueError):
        return None
    return tree


def _chain(origins: Any, path: str) -> list[tuple[str, Any]]:
    """Return (path, step) of every leaf at or below a path, oldest step first."""
    below = (f"{path}.", f"{path}[")
    return [(at, step) for at, steps in origins.items() if at == path or at.startswith(below) for step in steps]


def _steps(chain: list[tuple[str, Any]]) -> str:
    from bateau.cli.table import plain_columns

    several = len({at for at, _ in chain}) > 1
    rows = [
        (
            str(step.at or "default"),
            _shown(step.value),
            step.how if step.how in ("written", "default") else f"{step.how}: {step.says}",
            at if several else "",
        )
        for at, step in chain
    ]
    return "\n".join(f"  {line}" for line in plain_columns(rows))


def _shown(value: Any) -> str:
    from bateau.api.encoding import encode

    if value is None:
        return "not set"
    return value if isinstance(value, str) else encode(value)
