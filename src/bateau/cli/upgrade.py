"""`bateau upgrade`: bring the installation of a cluster to this version."""

import click

from bateau.cli.installing import Wish, apply_installation, installing_options


@click.command()
@installing_options
def command(
    context: str | None, image: str | None, replicas: int | None, gateway_replicas: int | None, logs: str | None,
    timeout: float, *, force_conflicts: bool, yes: bool, dry_run: bool,
) -> int:  # fmt: skip
    """Upgrade the installation of Bateau on a cluster to this version.

    Shows the changes, asks for confirmation, applies them, and waits until everything is ready. Settings that are not
    given stay as they are installed; the image stays in its repository, and its tag becomes this version. Services keep
    running.
    """
    from bateau.wiring.installing import Given

    given = Given(image=image, replicas=replicas, gateway_replicas=gateway_replicas, logs=logs)
    wish = Wish(context=context, yes=yes, dry_run=dry_run, force=force_conflicts, timeout_s=timeout)
    return apply_installation(given, wish, needs_installed=True)
