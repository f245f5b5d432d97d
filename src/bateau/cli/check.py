"""`bateau check`: everything that can be known about specs without acting on them."""

from pathlib import Path

import click

from bateau.cli.options import directory_argument, json_option


@click.command()
@directory_argument
@click.option("--starter", is_flag=True, help="Judge by the policies that come with Bateau, too.")
@json_option
def command(directory: Path, starter: bool, as_json: bool) -> int:
    """Check every spec below DIRECTORY for every environment, offline, and report all mistakes at once.

    Exit code 0: no mistakes (there may be warnings); 1: mistakes; 5: only policies forbid it.
    """
    from bateau.wiring.written import check_directory

    found = check_directory(directory, starter=starter)
    first = next(iter(found.environments.values()))
    if as_json:
        from bateau.api.encoding import encode

        tree = {
            "problems": found.problems,
            "environments": [name for name in found.environments if name],
            "services": [service.key for service in first.release.services],
            "foreign": first.foreign,
        }
        click.echo(encode(tree))
        return exit_code(found.wrong, found.mistaken)
    from bateau.cli.problems import render

    if found.problems:
        click.echo(render(found.problems))
    click.echo(_summary(found.problems, len(first.release.services), first.foreign))
    names = [name for name in found.environments if name]
    if names:
        click.echo(f"for {', '.join(names)}")
    return exit_code(found.wrong, found.mistaken)


def exit_code(wrong: bool, mistaken: bool) -> int:
    """Return 0 where nothing is wrong, 1 for mistakes, 5 where only policies forbid."""
    if not wrong:
        return 0
    return 1 if mistaken else 5


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
