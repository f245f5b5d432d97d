"""`bateau plan`: what a change of specs would change of what is applied."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bateau.cli.delivery_options import delivery_options
from bateau.cli.exit_codes import EXIT_PENDING, EXIT_WRITTEN_WRONG, written_code

if TYPE_CHECKING:
    from bateau.domain.change import Delivery
    from bateau.ports.repository import State


@click.command()
@click.argument("environment", required=False)
@click.argument("commits", required=False, metavar="[A..B]")
@delivery_options
@click.option("--against", type=click.Path(exists=True, path_type=Path), help="A directory of manifests, or a bundle.")
@click.option("--json", "form", flag_value="json", help="Print JSON for programs.")
@click.option("--markdown", "form", flag_value="markdown", help="Print a comment for a pull request.")
@click.option("--sarif", "form", flag_value="sarif", help="Print the findings as SARIF 2.1.0.")
@click.option("--objects", is_flag=True, help="List the edits of objects, too.")
@click.option("--exit-code", "pending_code", is_flag=True, help="Exit with 4 where there are changes.")
@click.option("--comment", "pull_request", metavar="URL", help="Write the Markdown form to this pull request, too.")
@click.option("--status", "status_of", metavar="URL", help="Set a commit status for this pull request, too.")
@click.option("--yes-remove", type=int, metavar="N", help="Agree to the removal of exactly N objects.")
def command(  # noqa: PLR0917 - click hands them over by name
    environment: str | None, commits: str | None, directory: Path, namespace: str, starter: bool, kubernetes: str,
    against: Path | None, form: str | None, objects: bool, pending_code: bool, yes_remove: int | None,
    pull_request: str | None, status_of: str | None,
) -> int:  # fmt: skip
    """Show what would change for ENVIRONMENT, before anything moves.

    \b
      bateau plan prod                      what you have edited, against the last commit
      bateau plan prod HEAD~1..HEAD         one commit against another, with no cluster
      bateau plan prod --against out/       against manifests that were rendered before, or a bundle
      bateau apply prod --dry-run           against what runs on this machine

    Exit code 0: done; 1: mistakes, or more removals than may go unasked; 4: changes, with --exit-code; 5: only
    policies forbid it.
    """
    from bateau.api.plan_status import plan_status
    from bateau.control.delivery import difference, unplanned
    from bateau.wiring.delivery import commit_of, manifests_at, prefix_of, rendered, rendered_at
    from bateau.wiring.question import Question

    if environment and ".." in environment and commits is None:
        environment, commits = None, environment
    question = Question(
        directory=directory, environment=environment, namespace=namespace, starter=starter, kubernetes=kubernetes
    )
    older, newer = _range(commits)
    desired = rendered_at(question, newer or "HEAD") if commits else rendered(question)
    commit = asyncio.run(commit_of(question, newer or "HEAD")) if status_of else ""
    prefix = asyncio.run(prefix_of(directory)) if form == "sarif" else ""
    if desired.written.wrong:
        from bateau.cli.problems import render

        delivery = unplanned(desired, environment=environment)
        click.echo(render(desired.written.problems), err=True)
        if form:
            click.echo(_shown(delivery, form, objects=objects, prefix=prefix))
        status = plan_status(desired)
    else:
        observed = manifests_at(against, environment) if against else rendered_at(question, older or "HEAD")
        delivery = difference(desired, observed, environment=environment, removals_confirmed=yes_remove)
        click.echo(_shown(delivery, form, objects=objects, prefix=prefix))
        status = plan_status(desired, delivery, removals_confirmed=yes_remove)
    if status_of:
        _set_status(status_of, commit, environment, status)
    if pull_request:
        from bateau.api.plan_markdown import plan_markdown
        from bateau.wiring.forge import comment

        text = plan_markdown(delivery).partition("\n")[2]
        asyncio.run(comment(pull_request, f"bateau plan {environment or ''}".strip(), text))
    if desired.written.wrong:
        return written_code(wrong=True, mistaken=desired.written.mistaken)
    if any(problem.severity == "error" for problem in delivery.problems):
        return EXIT_WRITTEN_WRONG
    if desired.wrong:
        return written_code(wrong=True, mistaken=desired.mistaken)
    return EXIT_PENDING if pending_code and delivery.pending else 0


def _range(commits: str | None) -> tuple[str, str]:
    """Take `A..B` apart. Raises UsageError where it is no such range."""
    older, dots, newer = (commits or "").partition("..")
    if newer.startswith("."):
        raise click.UsageError(f"{commits} has three dots; write A..B, or `$(git merge-base A B)..B`")
    if commits and not dots:
        raise click.UsageError(f"{commits} is no range of commits: write A..B")
    return older, newer


def _set_status(pull_request: str, commit: str, environment: str | None, status: "tuple[State, str]") -> None:
    from bateau.wiring.forge import set_status

    state, description = status
    name = f"bateau/plan {environment or ''}".strip()
    asyncio.run(set_status(pull_request, commit, state, name=name, description=description))


def _shown(delivery: "Delivery", form: str | None, *, objects: bool, prefix: str) -> str:
    if form == "json":
        from bateau.api.plan_json import plan_json

        return plan_json(delivery)
    if form == "markdown":
        from bateau.api.plan_markdown import plan_markdown

        return plan_markdown(delivery)
    if form == "sarif":
        from bateau import __version__
        from bateau.api.sarif import sarif

        return sarif(delivery.findings, delivery.problems, version=__version__, prefix=prefix)
    from bateau.cli.plan_text import plan_text

    return plan_text(delivery, objects=objects)
