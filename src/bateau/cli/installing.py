"""The common part of `bateau install` and `bateau upgrade`: plan, confirm, apply, and wait.

Called by cli.install, cli.uninstall and cli.upgrade.
"""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, TypeVar

import click

from bateau.cli.exit_codes import EXIT_USAGE, EXIT_WORLD_FAILED
from bateau.cli.options import Number

if TYPE_CHECKING:
    from bateau.ports.runtime import Observed
    from bateau.wiring.installing import Given, Proposal

_Command = TypeVar("_Command", bound=Callable[..., object])


@dataclass(frozen=True, kw_only=True)
class Wish:
    """The options of the command, besides the settings of the installation. `timeout_s` is in seconds."""

    context: str | None
    yes: bool
    dry_run: bool
    force: bool
    timeout_s: float


def context_option(command: _Command) -> _Command:
    """Add `--context`."""
    return click.option("--context", help="Context of the kubeconfig. Default: the current one.")(command)


def installing_options(command: "Callable[Concatenate[Given, Wish, ...], int]") -> Callable[..., int]:
    """Add the options that `install` and `upgrade` share. The command gets them as settings and a wish."""

    @wraps(command)
    def with_nouns(
        *, image: str | None, replicas: int | None, gateway_replicas: int | None, logs: str | None,
        context: str | None, timeout: float, force_conflicts: bool, yes: bool, dry_run: bool, **own: object,
    ) -> int:  # fmt: skip
        from bateau.wiring.installing import Given

        given = Given(image=image, replicas=replicas, gateway_replicas=gateway_replicas, logs=logs)
        wish = Wish(context=context, yes=yes, dry_run=dry_run, force=force_conflicts, timeout_s=timeout)
        return command(given, wish, **own)

    made: Callable[..., int] = with_nouns
    for option in reversed(
        (
            click.option("--image", help="The image of Bateau. Default: that of this version."),
            click.option("--replicas", type=Number(1), help="Replicas of the controller. One acts.  [default: 1]"),
            click.option("--gateway-replicas", type=Number(0), help="Replicas of the gateway.  [default: 2]"),
            click.option(
                "--logs",
                type=click.Choice(("hidden", "shown")),
                help="Whether the dashboard of the controller shows the logs of all services to whoever may forward a "
                "port of its pod.  [default: hidden]",
            ),
            click.option("--timeout", default=300.0, show_default=True, metavar="SECONDS", help="How long to wait."),
            click.option("--force-conflicts", is_flag=True, help="Take over fields that another manager holds."),
            click.option("--yes", "-y", is_flag=True, help="Apply without confirmation."),
            click.option("--dry-run", is_flag=True, help="Show the plan and exit."),
        )
    ):
        made = option(made)
    return context_option(made)


def agreed(question: str, *, yes: bool) -> bool:
    """Ask for confirmation; report a refusal."""
    if yes:
        return True
    if not sys.stdin.isatty():
        click.echo("nothing was changed: confirmation needs a terminal; check the plan and use --yes", err=True)
        return False
    if click.confirm(question, err=True):
        return True
    click.echo("nothing was changed", err=True)
    return False


def apply_installation(given: "Given", wish: Wish, *, needs_installed: bool) -> int:
    """Show the plan, ask, apply it, and wait until everything is ready. Return the exit code."""
    from bateau.cli.plan_problems import show_problems
    from bateau.cli.plan_text import plan_text
    from bateau.kit.visible import visible
    from bateau.wiring.installing import proposal

    found = asyncio.run(proposal(wish.context, given, upgrade=needs_installed))
    cluster = found.delivery.cluster
    if needs_installed and not found.installed:
        says, hint = "Bateau is not installed", "use `bateau install`"
        if found.other:
            says, hint = found.other.says, found.other.upgrade
        click.echo(visible(f"{cluster}: {says}\n  hint: {hint}"), err=True)
        return EXIT_WORLD_FAILED
    click.echo(plan_text(found.delivery, objects=True))
    show_problems([found.delivery])
    if found.delivery.wrong:
        click.echo("nothing was changed", err=True)
        return EXIT_WORLD_FAILED
    if wish.dry_run:
        return 0
    if found.delivery.pending and not agreed(f"apply this to {cluster}?", yes=wish.yes):
        return EXIT_USAGE
    return _applied(found, wish)


def _applied(found: "Proposal", wish: Wish) -> int:
    from bateau.kit.visible import visible
    from bateau.wiring.installing import install

    cluster, settings = found.delivery.cluster, found.settings
    told = _Told().tell
    outcome = asyncio.run(install(wish.context, settings, timeout_s=wish.timeout_s, force=wish.force, told=told))
    for part, says in outcome.failed.items():
        click.echo(visible(f"{cluster}: {part} is not healthy: {says}"), err=True)
        for line in outcome.reports.get(part, ()):
            click.echo(visible(f"    {line}"), err=True)
    if outcome.not_applied:
        click.echo(f"{cluster}: stopped; not applied: {', '.join(outcome.not_applied)}", err=True)
    if any("conflict with " in says for says in outcome.failed.values()):
        hint = "another manager, such as a GitOps agent, installs Bateau, too; --force-conflicts takes the field over"
        click.echo(f"  hint: {hint}", err=True)
    if outcome.unknown:
        click.echo(visible(f"{cluster}: {outcome.unknown}"), err=True)
    if not outcome.done:
        return EXIT_WORLD_FAILED
    click.echo(f"{cluster}: Bateau is ready in namespace {settings.namespace}")
    return 0


@dataclass
class _Told:
    """The printed states of objects and pods."""

    shown: dict[str, str] = field(default_factory=dict[str, str])

    def tell(self, seen: "Observed") -> None:
        """Print a line for each object, and for each pod with a reason, whose state has changed."""
        from bateau.domain.change import object_name
        from bateau.kit.visible import visible

        lines = {object_name(each.key): ": ".join(filter(None, (each.phase, each.says))) for each in seen.objects}
        lines |= {f"Pod {each.id}": each.reason for each in seen.replicas if each.reason}
        if seen.unknown:
            lines["cluster"] = seen.unknown
        for name, says in lines.items():
            if self.shown.get(name) != says and says != "waiting":
                self.shown[name] = says
                click.echo(visible(f"{name}  {says}"), err=True)
