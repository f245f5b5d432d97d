"""Print changes of the status as they happen: one line per event, and a progress bar during a download.

Called by cli.
"""

import sys
from collections.abc import Sequence

import click

from bateau.api.trees import ServiceTree, StatusTree
from bateau.cli.options import is_terminal
from bateau.cli.table import size
from bateau.kit.json_value import Json
from bateau.kit.visible import visible

GATEWAY = "gateway/envoy"
LOG_LINE_MAX = 200
# By the task of a model: a path, and the fields of a request beside `model`.
_EXAMPLES = {
    "generate": ("chat/completions", '"messages":[{"role":"user","content":"hi"}]'),
    "embed": ("embeddings", '"input":"hi"'),
    "rerank": ("rerank", '"query":"fruit","documents":["an apple","a car"]'),
}


class Presenter:
    """Prints the differences from the previous status. Everything goes to stderr: stdout is for answers."""

    def __init__(self) -> None:
        self._shown: dict[str, tuple[object, ...]] = {}
        self._problems: list[Json] = []
        self._specs_rejected = False
        self._pulls: dict[str, int] = {}
        self._started: dict[str, float] = {}

    def show(self, tree: StatusTree) -> None:
        """Print the differences from the previous status."""
        if tree["problems"] != self._problems:
            self._show_problems(tree)
        for service in (*tree["services"], tree["gateway"]):
            if tree["settled"] or not _is_adopted_only(service):
                self._show_service(service)
        gone = set(self._shown) - {s["service"] for s in (*tree["services"], tree["gateway"])}
        for name in sorted(gone):
            self._line(name, "gone", "")
            del self._shown[name]

    def _show_problems(self, tree: StatusTree) -> None:
        from bateau.cli.problems import render_trees

        were_rejected, self._specs_rejected = self._specs_rejected, tree["specsRejected"]
        self._problems = tree["problems"]
        if self._problems:
            click.echo(render_trees(self._problems), err=True)
        if self._specs_rejected:
            click.echo("The specs have errors. Running services were not changed.", err=True)
        elif were_rejected:
            click.echo("The errors in the specs are fixed.", err=True)

    def _show_service(self, service: ServiceTree) -> None:
        name, state = service["service"], service["state"]
        if state == "Pulling":
            self._show_pull(name, service)
        # While it starts, "503: loading" is expected.
        reason = None if state == "Starting" else service["reason"]
        ready, wanted, draining = service["replicasReady"], service["replicasWanted"], len(service["draining"])
        facts = (state, ready, wanted, reason, draining)
        before = self._shown.get(name)
        if facts == before:
            return
        self._shown[name] = facts
        if name in self._pulls and state != "Pulling":
            self._end_pull(name, service)
        short = name.partition("/")[2]
        if state == "Done":
            self._line(short, "Done", "it has ended, and is not started again")
        elif state == "Ready" and name != GATEWAY:
            drains = f", {draining} draining" if draining else ""
            self._line(short, "Ready", f"{_replicas(service)}    {_capacity(service)}{drains}")
        elif state in ("Failed", "Degraded") or (before and state == "Starting" and name != GATEWAY):
            self._line(short, state, reason or _replicas(service))
            for line in _last_log(service):
                click.echo(f"    {log_line(line)}", err=True)

    def _show_pull(self, name: str, service: ServiceTree) -> None:
        done, total = service["pulledBytes"], service["pullBytesTotal"]
        if done is None:
            return
        self._pulls[name] = done
        if not is_terminal_err():
            return
        share = f"{_bar(done / total)} {100 * done // total:3} % of {size(total)}" if total else size(done)
        click.echo(f"\r{name.partition('/')[2]:<10} pulling  {share}   ", nl=False, err=True)

    def _end_pull(self, name: str, service: ServiceTree) -> None:
        del self._pulls[name]
        if is_terminal_err():
            click.echo("\r\033[K", nl=False, err=True)
        if service["state"] != "Failed":
            self._line(name.partition("/")[2], "pulled", service["source"] or "")

    def _line(self, name: str, state: str, rest: str) -> None:
        from bateau.cli.table import STATE_COLOURS

        shown = click.style(f"{state:<8}", fg=STATE_COLOURS.get(state))
        click.echo(f"{name:<10} {shown} {rest}".rstrip(), err=True)


def _is_adopted_only(service: ServiceTree) -> bool:
    """Whether its replicas were adopted and not yet compared with the specs, so that its capacity is unknown."""
    return service["state"] == "Ready" and service["revision"] is None and service["engine"] != "external"


def is_terminal_err() -> bool:
    """Whether a progress bar can be repainted."""
    return sys.stderr.isatty() and is_terminal()


def endpoint_lines(tree: StatusTree, *, keys_required: bool, certificate: Sequence[str] = ()) -> str:
    """Return the lines with the addresses of the endpoint, the metrics and the apps, and how to send a request.

    `certificate` are lines about that of the endpoint for other machines.
    """
    url = tree["listen"]
    models = [service for service in tree["services"] if service["service"].startswith("model/")]
    lines = [
        f"{'endpoint':<10} {url}/v1            OpenAI · Anthropic · Ollama · Open Inference Protocol",
        f"{'dashboard':<10} {url}/ui            sign in with the link that `bateau open` prints",
        f"{'metrics':<10} {url}/metrics",
    ]
    if tree["remote"]:
        lines.append(f"{'remote':<10} {tree['remote']}/v1    from other machines, with a key")
        if tree["remote"].startswith("http:"):
            lines.append(f"{'':<10} without TLS: keys and prompts can be read on the way")
        lines += [f"{'':<10} {line}" for line in certificate]
    lines += [
        f"{s['service'].partition('/')[2]:<10} {s['address']}"
        for s in tree["services"]
        if s["service"].startswith("app/") and s["address"]
    ]
    if models:
        tried = next((model for model in models if model["task"] == "generate"), models[0])
        path, fields = _EXAMPLES[tried["task"] or "generate"]
        body = f'{{"model":"{tried["service"].partition("/")[2]}",{fields}}}'
        key = ' -H "authorization: Bearer $OPENAI_API_KEY"' if keys_required else ""
        lines.append(f"{'try':<10} curl {url}/v1/{path} -H content-type:application/json{key} -d '{body}'")
    secret = "$(bateau keys create NAME)" if keys_required else "none"
    lines.append(f"{'':<10} export OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY={secret}")
    return "\n".join(lines)


def _replicas(service: ServiceTree) -> str:
    ready, wanted = service["replicasReady"], service["replicasWanted"]
    if service["engine"] == "external":
        return "external"
    shown = _count(wanted, "replica")
    return shown if ready == wanted else f"{ready} of {shown}"


def _capacity(service: ServiceTree) -> str:
    capacity = service["capacity"]
    if not capacity:
        return str(service["engine"])
    memory = size(capacity["memoryBytes"])
    return (
        f"{service['engine']} on cpu, {_count(capacity['threads'], 'thread')}, "
        f"{_count(capacity['slots'], 'slot')} of "
        f"{capacity['context']:,} tokens, about {memory} per replica"
    )


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _last_log(service: ServiceTree) -> list[str]:
    troubled = next((r for r in service["replicas"] if r["state"] == "BackOff" and r["lastLog"]), None)
    return list(troubled["lastLog"]) if troubled else []


def log_line(line: str) -> str:
    """Return a line of a log for the terminal: control characters are shown, and a long line is cut.

    >>> log_line("x" * 2000)[195:]
    'xxxxx... (2,000 characters)'
    """
    shown = visible(line)
    return shown if len(shown) <= LOG_LINE_MAX else f"{shown[:LOG_LINE_MAX]}... ({len(line):,} characters)"


def _bar(share: float, width: int = 24) -> str:
    full = round(share * width)
    return "█" * full + "░" * (width - full)
