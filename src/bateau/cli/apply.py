"""`bateau apply`: show the plan for this machine, ask, apply it, and wait until the services are healthy."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bateau.cli.exit_codes import EXIT_USAGE, EXIT_WORLD_FAILED, EXIT_WRITTEN_WRONG, written_code
from bateau.cli.options import directory_option, environment_option, json_option, name_option

if TYPE_CHECKING:
    from bateau.api.trees import PreviewTree, StatusTree
    from bateau.cli.cluster_apply import Wish
    from bateau.cli.rollout import Rollout


@click.command()
@environment_option("The environment to run.")
@directory_option
@name_option
@click.option("--listen", default="127.0.0.1:8080", show_default=True, help="Address and port of the endpoint.")
@click.option("--timeout", default=600.0, show_default=True, metavar="SECONDS", help="How long to wait on a cluster.")
@click.option("--yes-remove", type=int, metavar="N", help="Confirm the removal of exactly N objects from a cluster.")
@click.option("--force-conflicts", is_flag=True, help="Take over fields that another manager of a cluster holds.")
@click.option("--yes", "-y", is_flag=True, help="Apply without confirmation.")
@click.option("--dry-run", is_flag=True, help="Show the plan and exit.")
@json_option
def command(  # noqa: PLR0917 - click hands them over by name
    environment: str | None, directory: Path, name: str, listen: str, timeout: float, yes_remove: int | None,
    force_conflicts: bool, yes: bool, dry_run: bool, as_json: bool,
) -> int:  # fmt: skip
    """Run an environment on this machine, or on its clusters.

    Shows the plan, asks for confirmation, applies it, and waits until every replica is ready. Unlike `up`, it does not
    follow the specs afterwards: the services stay as applied until the next `apply` or `rollback`.

    An environment with `spec.clusters` is applied to these, one after another; the first that does not become healthy
    stops it. --listen and --name are for this machine only.

    Exit code 0: every service runs, or nothing changes; 1 or 5: errors, or a policy forbids the change, and nothing was
    changed; 3: not healthy.
    """
    from bateau.cli.cluster_apply import Wish
    from bateau.cli.detached import start_detached
    from bateau.cli.instance import client, instance_paths, status_of
    from bateau.cli.presenter import Presenter
    from bateau.cli.rollout import wait_for_written
    from bateau.wiring.applying import commit_holding, held, left_running, texts_of
    from bateau.wiring.listen import parse_listen

    wish = Wish(
        yes=yes, dry_run=dry_run, as_json=as_json, timeout_s=timeout, confirmed=yes_remove, force=force_conflicts
    )
    if (code := _on_clusters(environment, directory, wish)) is not None:
        return code
    parse_listen(listen)
    texts = texts_of(directory)
    running = status_of(name)
    if running is not None and not dry_run:
        _check_whose(running, name, directory, environment)
    tree = _preview(name, texts, environment, running=running is not None)
    say = _Saying(tree, as_json=as_json)
    say.preview()
    if running is None:
        where = instance_paths(name)
        if left_running(where):
            click.echo("replicas of an earlier control plane are still running; unchanged ones will continue", err=True)
        for key, revision in held(where, environment).items():
            says = f"{key} was rolled back to revision {revision}, and stays there until its spec changes"
            click.echo(says, err=True)
    if tree["wrong"]:
        return say.end("nothing was applied", written_code(wrong=True, mistaken=tree["mistaken"]))
    if dry_run:
        return say.end(None, 0)
    pending = running is None or tree["pending"]
    if pending and not yes and (refused := _refused()):
        return say.end(refused, EXIT_USAGE)
    # Even if nothing changes: the specs from now on are this text, although it means the same.
    commit = commit_holding(directory, texts)
    presenter = Presenter()
    if running is None:
        more = ["--env", environment] if environment else []
        arguments = ["-C", str(directory), "--name", name, "--listen", listen, "--applied", *more]
        given = json.dumps({"texts": dict(texts), "commit": commit})
        written = str(start_detached(name, arguments, presenter, given=given)["written"])
    else:
        written = client(name).apply(texts, commit=commit)
    return _ended(say, wait_for_written(name, presenter, written), pending=pending)


def _on_clusters(environment: str | None, directory: Path, wish: "Wish") -> int | None:
    """Apply to the clusters of the environment; return None if it has none."""
    from bateau.wiring.comparing import clusters_of
    from bateau.wiring.question import Question

    question = Question(directory=directory, environment=environment)
    places = clusters_of(question)
    if not places:
        return None
    from bateau.cli.cluster_apply import apply_to_clusters
    from bateau.wiring.delivery import rendered

    return apply_to_clusters(question, places, rendered(question), wish)


class _Saying:
    """Prints the plan to stdout; with `as_json`, one tree to stdout at the end, and everything else to stderr."""

    def __init__(self, tree: "PreviewTree", *, as_json: bool) -> None:
        self._tree = tree
        self._as_json = as_json

    def preview(self) -> None:
        from bateau.cli.preview_text import preview_text
        from bateau.cli.problems import render_trees

        if self._tree["problems"]:
            click.echo(render_trees(self._tree["problems"]), err=True)
        if not self._tree["wrong"]:
            click.echo(preview_text(self._tree), err=self._as_json)

    def end(self, says: str | None, code: int, **more: object) -> int:
        """Print the outcome, and return `code`."""
        if self._as_json:
            from bateau.api.encoding import encode

            click.echo(encode({**self._tree, "applied": False, **more}))
        if says:
            click.echo(says, err=True)
        return code


def _check_whose(tree: "StatusTree", name: str, directory: Path, environment: str | None) -> None:
    """Raise ControlError if the instance gets its desired state from another source."""
    from bateau.domain.errors import ControlError

    if tree["follows"] != "applied":
        raise ControlError(
            f"{name} follows {tree['directory']}, so its specs cannot be applied by hand",
            hint="save or commit the change there; or use another instance: bateau apply --name other --listen :8081",
        )
    if Path(tree["directory"]) != directory or tree["environment"] != environment:
        served = f" for {tree['environment']}" if tree["environment"] else ""
        raise ControlError(
            f"{name} was applied from {tree['directory']}{served}",
            hint="run `bateau down` first, or use another instance with --name",
        )


def _preview(name: str, texts: Mapping[str, str], environment: str | None, *, running: bool) -> "PreviewTree":
    if running:
        from bateau.cli.instance import client

        return client(name).preview(texts)
    from bateau.api.preview_json import preview_tree
    from bateau.cli.instance import instance_paths
    from bateau.wiring.applying import first_preview

    return preview_tree(first_preview(texts, environment, instance_paths(name)))


def _refused() -> str | None:
    """Ask for confirmation; return the message if it is refused."""
    if not sys.stdin.isatty():
        return "not applied: confirmation needs a terminal; check the plan and use --yes"
    return None if click.confirm("apply this?", err=True) else "not applied"


def _ended(say: _Saying, rollout: "Rollout", *, pending: bool) -> int:
    """Print the outcome, and return the exit code."""
    from bateau.cli.detached import still_running

    facts = {"applied": rollout.done, "failed": rollout.failed, "status": rollout.status}
    if rollout.failed:
        says = (
            f"not healthy: {', '.join(rollout.failed)}; previous replicas continue where possible\n"
            f"  hint: see `bateau logs {rollout.failed[0].partition('/')[2]}`, or roll back with `bateau rollback`"
        )
        return say.end(says, EXIT_WORLD_FAILED, **facts)
    if rollout.not_applied:
        wrong = rollout.status["specsRejected"]
        return say.end(rollout.not_applied, EXIT_WRITTEN_WRONG if wrong else EXIT_WORLD_FAILED, **facts)
    return say.end(f"applied\n{still_running(rollout.status)}" if pending else None, 0, **facts)
