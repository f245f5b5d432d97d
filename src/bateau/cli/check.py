"""`bateau check`: check specs without applying them."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bateau.cli.exit_codes import written_code
from bateau.cli.options import directory_option, json_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bateau.control.path import Written
    from bateau.domain.problem import Problem


@click.command()
@directory_option
@click.option("--starter", is_flag=True, help="Also check Bateau's starter set of policies.")
@json_option
def command(directory: Path, starter: bool, as_json: bool) -> int:
    """Check every spec below the directory for every environment, offline, and report all errors at once.

    Exit code 0: no errors (there may be warnings); 1: errors; 5: only policies are violated.
    """
    from bateau.wiring.written import check_directory

    found = check_directory(directory, starter=starter)
    first = next(iter(found.environments.values()))
    if found.empty:
        raise click.UsageError(f"no specs found below {directory}")
    if as_json:
        from bateau.api.encoding import encode

        tree = {
            "problems": found.problems,
            "environments": [name for name in found.environments if name],
            "services": [service.key for service in first.release.services],
            "keys": [key.name for key in first.keys],
            "foreign": first.foreign,
            "ignored": found.ignored,
        }
        click.echo(encode(tree))
        return written_code(wrong=found.wrong, mistaken=found.mistaken)
    from bateau.cli.problems import render

    if found.problems:
        click.echo(render(found.problems))
    brought = any(service.brings_documents for service in first.release.services)
    click.echo(_summary(found.problems, first, brought=brought))
    if found.ignored:
        click.echo(f"{_count(found.ignored, 'file')} skipped by .bateauignore")
    names = [name for name in found.environments if name]
    if names:
        click.echo(f"checked for {', '.join(names)}")
    return written_code(wrong=found.wrong, mistaken=found.mistaken)


def _summary(problems: "Sequence[Problem]", written: "Written", *, brought: bool) -> str:
    from bateau.domain.problem import Severity

    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    warnings = len(problems) - errors
    parts = [_count(errors, "error"), _count(warnings, "warning"), _count(len(written.release.services), "service")]
    if written.keys:
        parts.append(_count(len(written.keys), "key"))
    if written.foreign:
        # The environments decide which of them belong to an app; the others are ignored.
        parts.append(f"{_count(written.foreign, 'foreign document')}{'' if brought else ' ignored'}")
    return ", ".join(parts)


def _count(number: int, word: str) -> str:
    return f"{number or 'no'} {word}{'' if number == 1 else 's'}"
