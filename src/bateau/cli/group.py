"""The table of commands; each is imported when it is called, so that `--help` is quick.

Called by edge.
"""

import importlib
from collections.abc import Mapping

import click

from bateau import __version__

# Name, its line in --help. The command is `command` in bateau.cli.NAME.
COMMANDS: Mapping[str, str] = {
    "up": "Serve what the specs below a directory say.",
    "down": "Stop everything that `up` started.",
    "run": "Talk to a model: once, in a pipe, or in a conversation.",
    "status": "Show every service: state, replicas, why.",
    "history": "Show what was released, when and by whom.",
    "logs": "Show what a service printed.",
    "models": "List, fetch and remove models.",
    "check": "Check specs without acting on them.",
    "plan": "Show what a change of specs would change.",
    "apply": "Make what is written run on this machine: plan, ask, wait for health.",
    "rollback": "Have a service go back to what it was when it was last healthy.",
    "render": "Render the Kubernetes manifests of an environment.",
    "admission": "Print the policies as an API server takes them.",
    "promote": "Carry what one environment pins over to the next.",
    "explain": "Document a field, or say where a value came from.",
    "schema": "Print the JSON Schema of specs, for editors.",
    "completion": "Print a completion script for bash, zsh or fish.",
    "version": "Print the version.",
}


class _Table(click.Group):
    """A group that knows its commands' names and lines without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(f"bateau.cli.{cmd_name}").command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from bateau.kit.suggest import closest

            if near := closest(args[0], COMMANDS):
                raise click.UsageError(f"No such command '{args[0]}'. Did you mean '{near}'?", ctx) from error
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=_Table, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="bateau %(version)s")
def bateau() -> None:
    """Carry AI services from a Git repository to where they run, and keep them there."""
