"""`bateau apply`: show what would change on this machine, ask, carry it out, and wait until it is healthy."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bateau.cli.exit_codes import EXIT_USAGE, EXIT_WORLD_FAILED, written_code
from bateau.cli.options import directory_option, json_option, name_option

if TYPE_CHECKING:
    from bateau.cli.presenter import Presenter


@click.command()
@click.argument("environment", required=False)
@directory_option
@name_option
@click.option("--listen", default="127.0.0.1:8080", show_default=True, help="Address and port of the endpoint.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and end.")
@json_option
def command(
    environment: str | None, directory: Path, name: str, listen: str, yes: bool, dry_run: bool, as_json: bool
) -> int:
    """Make what is written for ENVIRONMENT run on this machine.

    Shows the plan, asks, carries it out, and waits until every replica is ready. Unlike `up`, it follows nothing
    afterwards: what runs stays as it was applied until the next `apply` or `rollback`.

    Exit code 0: it runs, or nothing changes; 1 or 5: mistakes, or a policy forbids it, and nothing was touched; 3: it
    did not become healthy.
    """
    from bateau.cli.detached import start_detached
    from bateau.cli.presenter import Presenter
    from bateau.wiring.applying import commit_of, texts_of
    from bateau.wiring.listen import parse_listen

    parse_listen(listen)
    texts = texts_of(directory)
    running = _running(name)
    if running is not None and not dry_run:
        _check_whose(running, name, directory, environment)
    tree = _preview(name, texts, environment, running=running is not None)
    if as_json and dry_run:
        from bateau.api.encoding import encode

        click.echo(encode(tree))
        return written_code(wrong=tree["wrong"], mistaken=tree["mistaken"])
    _show(tree)
    if tree["wrong"]:
        click.echo("nothing was applied", err=True)
        return written_code(wrong=True, mistaken=tree["mistaken"])
    if dry_run:
        return 0
    commit = commit_of(directory, texts)
    if running is not None and not tree["pending"]:
        # Another text of the same meaning: it is what is written from now on, and a rollback of something else ends.
        from bateau.cli.instance import client

        client(name).apply(texts, commit=commit)
        return 0
    if not yes and not _agreed():
        return EXIT_USAGE
    presenter = Presenter()
    if running is None:
        from bateau.cli.instance import instance_paths
        from bateau.wiring.applying import keep

        keep(instance_paths(name), directory, texts, commit=commit)
        more = ["--env", environment] if environment else []
        arguments = [str(directory), "--name", name, "--listen", listen, "--applied", *more]
        start_detached(name, arguments, presenter)
    else:
        from bateau.cli.instance import client

        client(name).apply(texts, commit=commit)
    return _wait(name, presenter, as_json=as_json)


def _running(name: str) -> dict[str, Any] | None:
    """Return the status of the instance, None where it is not up."""
    from bateau.cli.instance import client
    from bateau.domain.errors import ControlError

    try:
        return client(name).status()
    except ControlError:
        return None


def _check_whose(tree: dict[str, Any], name: str, directory: Path, environment: str | None) -> None:
    """Raise ControlError where the instance gets its desired state from elsewhere."""
    from bateau.domain.errors import ControlError

    if tree["follows"] != "applied":
        raise ControlError(
            f"{name} follows {tree['directory']}: what stands there is applied by itself",
            hint="save or commit the change there; or apply beside it: bateau apply --name other --listen :8081",
        )
    if Path(tree["directory"]) != directory or tree["environment"] != environment:
        served = f" for {tree['environment']}" if tree["environment"] else ""
        raise ControlError(
            f"{name} was applied from {tree['directory']}{served}",
            hint="`bateau down` first, or choose another instance with --name",
        )


def _preview(name: str, texts: Any, environment: str | None, *, running: bool) -> dict[str, Any]:
    if running:
        from bateau.cli.instance import client

        return client(name).preview(texts)
    from bateau.api.preview_json import preview_tree
    from bateau.wiring.applying import first_preview

    return preview_tree(first_preview(texts, environment))


def _show(tree: dict[str, Any]) -> None:
    from bateau.cli.preview_text import preview_text
    from bateau.cli.problems import render_trees

    if tree["problems"]:
        click.echo(render_trees(tree["problems"]), err=True)
    if not tree["wrong"]:
        click.echo(preview_text(tree))


def _agreed() -> bool:
    if not sys.stdin.isatty():
        click.echo("not applied: there is nobody to ask; look at the plan and give --yes", err=True)
        return False
    if click.confirm("apply this?"):
        return True
    click.echo("not applied", err=True)
    return False


def _wait(name: str, presenter: "Presenter", *, as_json: bool) -> int:
    """Wait until everything is rolled out, or it is known that something will not be."""
    from bateau.cli.detached import still_running
    from bateau.cli.rollout import wait_for_rollout

    tree, failed = wait_for_rollout(name, presenter)
    if as_json:
        from bateau.api.encoding import encode

        click.echo(encode(tree))
    if failed:
        click.echo(f"not healthy: {', '.join(failed)}; what ran before goes on where it could", err=True)
        click.echo(f"  hint: see `bateau logs {failed[0].partition('/')[2]}`; go back with `bateau rollback`", err=True)
        return EXIT_WORLD_FAILED
    click.echo("applied", err=True)
    click.echo(still_running(tree), err=True)
    return 0
