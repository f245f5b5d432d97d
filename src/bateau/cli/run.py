"""`bateau run MODEL`: chat with a model, once or in a conversation."""

import asyncio
import logging
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bateau.cli.exit_codes import EXIT_INTERRUPTED
from bateau.cli.options import INSTANCE_DEFAULT, is_terminal, name_option

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from bateau.api.trees import ServiceTree
    from bateau.domain.status import Status
    from bateau.wiring.local import LocalPlatform

_EPHEMERAL = "run-"


@click.command()
@click.argument("model")
@click.argument("prompt", required=False)
@name_option
def command(model: str, prompt: str | None, name: str) -> int:
    """Chat with MODEL: a running model, a catalogue name, or a source (pypi:, hf://, a path ...).

    \b
      bateau run smollm2                          a conversation
      bateau run smollm2 "Why is the sky blue?"   one answer
      git diff | bateau run smollm2 "Write a commit message"
    """
    # The status reports failures; nobody reads the log of an instance that lives for one call.
    logging.getLogger("bateau").addHandler(logging.NullHandler())
    piped = "" if sys.stdin.isatty() else sys.stdin.read()
    question = "\n\n".join(part for part in (prompt, piped.strip()) if part)
    if not question and not sys.stdin.isatty():
        raise click.UsageError("the prompt is empty: give one as an argument or on stdin")
    return asyncio.run(_run(model, question, name))


async def _run(model: str, question: str, name: str) -> int:
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    asked_to_end = False

    def end() -> None:
        """End once; a second signal does not interrupt the stop."""
        nonlocal asked_to_end
        if not asked_to_end and task:
            asked_to_end = True
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end)
    try:
        async with _served(model, name) as (base_url, served_name):
            if question:
                return await _once(base_url, served_name, question)
            return await _converse(base_url, served_name, end)
    except asyncio.CancelledError:
        return EXIT_INTERRUPTED


async def _once(base_url: str, model: str, question: str) -> int:
    from bateau.cli.chat_client import Answer, ask

    answer = Answer()
    async for piece in ask(base_url, model, [{"role": "user", "content": question}], answer):
        click.echo(piece, nl=False)
    click.echo()
    if is_terminal():
        click.echo(click.style(f"    {answer.figures()}", dim=True), err=True)
    return 0


async def _converse(base_url: str, model: str, end: Callable[[], None]) -> int:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory

    from bateau.cli.chat_client import Answer, ask
    from bateau.cli.instance import instance_paths
    from bateau.domain.errors import BateauError

    history = instance_paths(INSTANCE_DEFAULT).state.parent / "history"
    history.parent.mkdir(parents=True, exist_ok=True)
    session: PromptSession[str] = PromptSession(history=FileHistory(str(history)))
    messages: list[dict[str, str]] = []
    click.echo("/bye ends, /clear forgets the conversation, Ctrl-C stops an answer", err=True)
    while True:
        try:
            line = (await session.prompt_async(">>> ")).strip()
        except (EOFError, KeyboardInterrupt):
            return 0
        if line in ("/bye", "/exit", "/quit"):
            return 0
        if line == "/clear":
            messages = []
            continue
        if not line:
            continue
        messages.append({"role": "user", "content": line})
        answer = Answer()
        pieces = asyncio.create_task(_print_pieces(ask(base_url, model, messages, answer)))
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, pieces.cancel)
        try:
            await pieces
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current and current.cancelling():
                raise  # the whole command was cancelled, not only the answer
            click.echo(" (stopped)")
        except BateauError as error:
            click.echo(f"{error.message}", err=True)
            messages.pop()
            continue
        finally:
            loop.add_signal_handler(signal.SIGINT, end)
        messages.append({"role": "assistant", "content": answer.text})
        click.echo(click.style(f"\n    {answer.figures()}", dim=True))


async def _print_pieces(pieces: "AsyncIterator[str]") -> None:
    async for piece in pieces:
        click.echo(piece, nl=False)


@asynccontextmanager
async def _served(model: str, name: str) -> "AsyncGenerator[tuple[str, str]]":
    """Yield the URL and name of the model; start it for this call if it is not running."""
    running = _running(model, name)
    if running:
        yield running
        return
    async with _ephemeral(model) as found:
        yield found


def _running(model: str, name: str) -> tuple[str, str] | None:
    from bateau.cli.instance import client
    from bateau.domain.errors import ControlError

    try:
        tree = client(name).status()
    except ControlError:
        return None
    for service in tree["services"]:
        short = service["service"].partition("/")[2]
        if (
            service["service"].startswith("model/")
            and service["state"] in ("Ready", "Asleep")  # a request wakes it
            and model in (short, service["source"])
        ):
            return f"{tree['listen']}/v1", short
    return None


@asynccontextmanager
async def _ephemeral(model: str) -> "AsyncGenerator[tuple[str, str]]":
    """Run a temporary platform for one model, and remove it afterwards."""
    from bateau.wiring.listen import free_port
    from bateau.wiring.local import LocalPlatform, Settings, stop_leftovers

    for leftover in _dead_instances():
        await stop_leftovers(Settings(instance=leftover, directory=Path.cwd(), listen=("127.0.0.1", 0)))
        _forget(leftover)
    instance = f"{_EPHEMERAL}{os.getpid()}"
    served_name = _served_name(model)
    directory = _empty_directory(instance)
    settings = Settings(
        instance=instance,
        directory=directory,
        listen=("127.0.0.1", free_port()),
        default_texts={"run.yaml": _spec(served_name, _absolute(model))},
    )
    platform = LocalPlatform(settings)
    running: asyncio.Task[None] | None = None
    try:
        await platform.open()
        running = asyncio.create_task(platform.run())
        await _until_ready(platform, running)
        yield f"{settings.listen_url}/v1", served_name
    finally:
        if running:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        await platform.control.stop_all()
        await platform.close()
        _forget(instance)


async def _until_ready(platform: "LocalPlatform", running: "asyncio.Task[None]") -> None:
    from bateau.api.encoding import status_tree
    from bateau.cli.presenter import Presenter
    from bateau.domain.errors import ControlError

    presenter = Presenter()
    number = 0
    while True:
        snapshot = await _next(platform, running, number)
        number = snapshot.number
        tree = status_tree(snapshot)
        service = tree["services"][0] if tree["services"] else None
        if service and service["state"] == "Failed":
            raise ControlError(f"{service['service']}: {service['reason']}", hint=_last_log(service))
        if is_terminal():
            presenter.show(tree)
        if service and tree["settled"] and service["replicasReady"] and tree["gateway"]["replicasReady"]:
            return


async def _next(platform: "LocalPlatform", running: "asyncio.Task[None]", number: int) -> "Status":
    """Return the next snapshot. If the loop has failed, raise its exception."""
    waiting = asyncio.ensure_future(platform.control.snapshots.after(number))
    await asyncio.wait({waiting, running}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        waiting.cancel()
        running.result()
    return await waiting


def _last_log(service: "ServiceTree") -> str | None:
    lines = [line for replica in service["replicas"] for line in replica["lastLog"]]
    return "it printed: " + " | ".join(lines[-3:]) if lines else None


def _served_name(model: str) -> str:
    """Return a DNS label for a source.

    >>> _served_name("smollm2"), _served_name("hf://org/Repo/File_Q4.gguf")
    ('smollm2', 'file-q4')
    """
    last = model.rstrip("/").rpartition("/")[2].rpartition(":")[2].removesuffix(".gguf")
    return re.sub(r"[^a-z0-9]+", "-", last.lower()).strip("-")[:63] or "model"


def _absolute(model: str) -> str:
    path = Path(model).expanduser()
    return str(path.resolve()) if path.suffix == ".gguf" and path.exists() else model


def _spec(name: str, source: str) -> str:
    import json

    return (
        "apiVersion: bateau.dev/v1alpha1\nkind: Model\n"
        f"metadata: {{name: {json.dumps(name)}}}\nspec: {{source: {json.dumps(source)}, parallel: 1}}\n"
    )


def _empty_directory(instance: str) -> Path:
    from bateau.cli.instance import instance_paths
    from bateau.wiring.paths import make

    where = instance_paths(instance)
    make(where)
    directory = where.state / "specs"
    directory.mkdir(exist_ok=True)
    return directory


def _dead_instances() -> list[str]:
    """Return instances of earlier calls that were killed before they could clean up."""
    import fcntl

    from bateau.cli.instance import instance_paths

    base = instance_paths(INSTANCE_DEFAULT).state.parent
    dead: list[str] = []
    for folder in base.glob(f"{_EPHEMERAL}*"):
        lock = instance_paths(folder.name).control_lock
        if not lock.exists():
            continue
        with lock.open("a", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
        dead.append(folder.name)
    return dead


def _forget(instance: str) -> None:
    from bateau.cli.instance import instance_paths

    where = instance_paths(instance)
    shutil.rmtree(where.state, ignore_errors=True)
    shutil.rmtree(where.runtime, ignore_errors=True)
