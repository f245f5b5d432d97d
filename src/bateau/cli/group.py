"""The table of commands. Each is imported when it is called, so that `--help` is fast.

Called by cli.completion and cli.edge.
"""

import importlib
from collections.abc import Mapping

import click

from bateau import __version__

# Name and line in --help. The command is `command` in bateau.cli.NAME, with `_` instead of `-`.
COMMANDS: Mapping[str, str] = {
    "up": "Serve the specs below a directory, or of a Git repository.",
    "down": "Stop everything that `up` started.",
    "run": "Chat with a model: one answer, in a pipe, or a conversation.",
    "status": "Show every service: state, replicas, and why it is not ready.",
    "top": "Show what each service does now: requests, errors, tokens, CPU, memory.",
    "graph": "Show who uses whom: as a tree, for Graphviz, or as SVG.",
    "dashboards": "Write dashboards for Grafana.",
    "timeline": "Show everything that has happened to a service.",
    "alerts": "List, silence and test alerts.",
    "history": "Show the released revisions, with time and author.",
    "open": "Print a link that opens the dashboard, once.",
    "sign-in": "Let people sign in to the dashboard by an OIDC issuer.",
    "logs": "Show the output of a service.",
    "models": "List, download and remove models.",
    "keys": "Create the API keys of the endpoint, and revoke them.",
    "usage": "Sum requests and tokens by key, owner, model or day.",
    "check": "Check specs without applying them.",
    "plan": "Show the effect of a change of specs.",
    "apply": "Run an environment on this machine or its clusters: plan, confirm, wait.",
    "rollback": "Roll one service back to its last healthy revision.",
    "restart": "Replace every replica of one service, one after another.",
    "render": "Render the Kubernetes manifests of an environment.",
    "admission": "Print the policies as ValidatingAdmissionPolicies.",
    "promote": "Copy the versions that one environment pins to another.",
    "explain": "Document a field, or show where a value came from.",
    "schema": "Print the schema of specs, for editors or clusters.",
    "install": "Install Bateau on a cluster, or print its objects or its chart.",
    "upgrade": "Upgrade the installation on a cluster to this version.",
    "uninstall": "Remove Bateau from a cluster; the services continue.",
    "controller": "Keep the documents of a cluster, or a repository, running on it.",
    "gateway": "Run Envoy in front of the models of a cluster.",
    "dev": "Develop Bateau: a Kubernetes cluster on this machine, and images.",
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
        return importlib.import_module(f"bateau.cli.{cmd_name.replace('-', '_')}").command

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
    """Deploy AI services from a Git repository, and keep them running."""
