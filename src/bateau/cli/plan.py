"""`bateau plan`: the effect of a change of the specs on the applied objects."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bateau.cli.delivery_options import delivery_options
from bateau.cli.exit_codes import EXIT_PENDING, EXIT_WORLD_FAILED, written_code
from bateau.cli.options import BundlePlace, environment_option

if TYPE_CHECKING:
    from bateau.domain.change import Delivery


@click.command()
@environment_option("The environment to compare.")
@click.argument("commits", required=False, metavar="[A..B]")
@delivery_options
@click.option("--git", "in_git", is_flag=True, help="Compare with the last commit, and ask no cluster.")
@click.option(
    "--against", type=BundlePlace(click.Path(exists=True)), metavar="PLACE",
    help="A directory of manifests, or a bundle: a file, or oci://HOST/REPOSITORY:TAG.",
)  # fmt: skip
@click.option("--json", "form", flag_value="json", help="Print JSON for programs.")
@click.option("--markdown", "form", flag_value="markdown", help="Print a comment for a pull request.")
@click.option("--sarif", "form", flag_value="sarif", help="Print the findings as SARIF 2.1.0.")
@click.option("--objects", is_flag=True, help="List the edits of objects, too.")
@click.option("--exit-code", "pending_code", is_flag=True, help="Exit with 4 if there are changes.")
@click.option("--comment", "pull_request", metavar="URL", help="Write the Markdown form to this pull request, too.")
@click.option("--status", "status_of", metavar="URL", help="Set a commit status for this pull request, too.")
@click.option("--yes-remove", type=int, metavar="N", help="Confirm the removal of exactly N objects.")
def command(  # noqa: PLR0917 - click hands them over by name
    environment: str | None, commits: str | None, directory: Path, namespace: str | None, starter: bool,
    kubernetes: str, in_git: bool, against: Path | str | None, form: str | None, objects: bool,
    pending_code: bool, yes_remove: int | None,
    pull_request: str | None, status_of: str | None,
) -> int:  # fmt: skip
    """Show the effect of a change on an environment, before anything is applied.

    \b
      bateau plan --env prod                      your edits, against the clusters of prod, or the last commit
      bateau plan --env prod --git                your edits, against the last commit
      bateau plan --env prod HEAD~1..HEAD         one commit against another, without a cluster
      bateau plan --env prod --against out/       against manifests that were rendered before, or a bundle
      bateau apply --env prod --dry-run           against the services that run on this machine

    Errors and policy violations that both sides have are reported and do not block the change.

    Exit code 0: done; 1: the change adds errors, removes objects without confirmation, or cannot be compared;
    3: a cluster cannot be reached; 4: there are changes (with --exit-code); 5: the change only violates policies.
    """
    from bateau.cli.plan_problems import show_problems
    from bateau.wiring.comparing import plans
    from bateau.wiring.delivery import commit_of, prefix_of
    from bateau.wiring.question import Question

    question = Question(
        directory=directory, environment=environment, namespace=namespace, starter=starter, kubernetes=kubernetes
    )
    both = _range(commits)
    found = plans(question, in_git=in_git, commits=both, against=against, confirmed=yes_remove)
    commit = asyncio.run(commit_of(question, (both and both[1]) or "HEAD")) if status_of else ""
    prefix = asyncio.run(prefix_of(directory)) if form == "sarif" else ""
    if text := _shown(found, form, objects=objects, prefix=prefix):
        click.echo(text)
    show_problems(found)
    if status_of:
        _set_status(status_of, commit, found)
    if pull_request:
        _comment(pull_request, found)
    return _code(found, pending=pending_code)


def _code(found: "Sequence[Delivery]", *, pending: bool) -> int:
    if any(each.wrong or each.forbidden for each in found):
        return written_code(wrong=True, mistaken=any(each.wrong for each in found))
    if any(each.unreachable for each in found):
        return EXIT_WORLD_FAILED
    return EXIT_PENDING if pending and any(each.pending for each in found) else 0


def _range(commits: str | None) -> tuple[str, str] | None:
    """Split `A..B`; either may be empty and means HEAD. Raises UsageError for any other form."""
    if not commits:
        return None
    older, dots, newer = commits.partition("..")
    if newer.startswith("."):
        raise click.UsageError(f"{commits} has three dots; write A..B, or `$(git merge-base A B)..B`")
    if not dots:
        raise click.UsageError(
            f"{commits} is not a range of commits; write A..B, or --env {commits} for an environment"
        )
    return older, newer


def _comment(pull_request: str, found: "Sequence[Delivery]") -> None:
    from bateau.api.plan_markdown import plan_pages
    from bateau.wiring.forge import comment

    first, *rest = plan_pages(*found)
    name = f"bateau plan {found[0].environment or ''}".strip()
    asyncio.run(comment(pull_request, name, [first.partition("\n")[2], *rest]))


def _set_status(pull_request: str, commit: str, found: "Sequence[Delivery]") -> None:
    from bateau.api.plan_status import plan_status
    from bateau.wiring.forge import set_status

    state, description = plan_status(*found)
    name = f"bateau/plan {found[0].environment or ''}".strip()
    asyncio.run(set_status(pull_request, commit, state, name=name, description=description))


def _shown(found: "Sequence[Delivery]", form: str | None, *, objects: bool, prefix: str) -> str:
    if form == "json":
        from bateau.api.plan_json import plan_json

        return plan_json(*found)
    if form == "markdown":
        from bateau.api.plan_markdown import plan_markdown

        return plan_markdown(*found)
    if form == "sarif":
        from bateau import __version__
        from bateau.api.sarif import sarif

        return sarif(*found, version=__version__, prefix=prefix)
    from bateau.cli.plan_text import plan_text

    return "\n".join(plan_text(each, objects=objects) for each in found if not each.unreachable)
