"""`bateau check`: everything that can be known about specs without acting on them."""

from pathlib import Path

import click

from bateau.cli.options import directory_argument, json_option


@click.command()
@directory_argument
@json_option
def command(directory: Path, as_json: bool) -> int:
    """Check every spec below DIRECTORY for every environment, offline, and report all mistakes at once.

    Exit code 0: no mistakes (there may be warnings); 1: mistakes.
    """
    from bateau.wiring.written import check_directory

    found = check_directory(directory)
    first = next(iter(found.environments.values()))
    if as_json:
        from bateau.api.encoding import encode

        tree = {
            "problems": found.problems,
            "environments": [name for name in found.environments if name],
            "services": [service.key for service in first.release.services],
            "notChecked": found.not_checked,
            "foreign": first.foreign,
        }
        click.echo(encode(tree))
        return int(found.wrong)
    from bateau.cli.problems import render

    if found.problems:
        click.echo(render(found.problems))
    click.echo(_summary(found.problems, len(first.release.services), first.foreign))
    names = [name for name in found.environments if name]
    if names:
        click.echo(f"for {', '.join(names)}")
    for what in found.not_checked:
        click.echo(f"not checked: {what}")
    return int(found.wrong)


def _summary(problems: "tuple[object, ...]", services: int, foreign: int) -> str:
    from bateau.domain.problem import Severity

    errors = sum(getattr(problem, "severity", None) is Severity.ERROR for problem in problems)
    warnings = len(problems) - errors
    parts = [_count(errors, "mistake"), _count(warnings, "warning"), _count(services, "service")]
    if foreign:
        parts.append(f"{_count(foreign, 'foreign document')} left alone")
    return ", ".join(parts)


def _count(number: int, word: str) -> str:
    return f"{number or 'no'} {word}{'' if number == 1 else 's'}"
