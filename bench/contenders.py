"""The proxies that bench.chain compares, each in front of the same upstream: a table, one row for each.

Used by bench.chain. To add one, write a function that starts it, and a row below.

Invariant: each proxy has one thread for requests, and gets the same ones. None reads or writes a file of another.
"""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bateau.domain.api_key import ApiKey
from bateau.domain.endpoint import Backend, Endpoint, Traffic
from bateau.traffic.envoy import EnvoyPlane, FrontSettings
from bateau.traffic.envoy.gate import Gate
from bateau.wiring.envoy import envoy_binary
from bateau.wiring.filters import native_library
from bateau.wiring.keys import Keys
from bateau.wiring.listen import free_port
from bateau.wiring.this_process import SystemClock
from bench import plain_proxies
from bench.peer_installs import NotInstalledError
from bench.stream import post

_READY_S = 90.0

DIRECT, BARE, LITELLM = "directly", "bare Envoy", "LiteLLM"


@dataclass(frozen=True)
class Place:
    """Where a contender runs: a folder of its own, the port of the upstream, and the key that clients send."""

    folder: Path
    upstream: int
    keys: Keys
    secret: str


@dataclass(frozen=True)
class Running:
    """The port that clients ask, the process in front of the upstream, and how to stop the rest."""

    port: int
    process: subprocess.Popen[bytes] | None = None
    close: Callable[[], Awaitable[None]] | None = None

    @property
    def proxy(self) -> psutil.Process | None:
        """The process whose CPU time counts, with its children."""
        return psutil.Process(self.process.pid) if self.process else None


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way from the client to the upstream. `is_chain`: it is Bateau's, and compared with LiteLLM, too."""

    name: str
    start: Callable[[Place], Running]
    is_chain: bool = False
    note: str = ""


def limited_key(folder: Path) -> tuple[Keys, str]:
    """Return keys in a folder, with one whose limits, budget and end are never reached, and its secret."""
    keys = _keys_in(folder)
    key = ApiKey(
        name="bench",
        owner="bench",
        created_at=0.0,
        models=("ch*",),
        requests_per_minute=10**9,
        tokens_per_month=10**12,
        expires_at=4e9,
    )
    _, secret = keys.create(key)
    return keys, secret


def _keys_in(folder: Path) -> Keys:
    return Keys("bench", {"XDG_STATE_HOME": str(folder), "HOME": str(folder)})


@asynccontextmanager
async def started(
    contenders: Sequence[Contender], folder: Path, upstream: int, *, stream: bool
) -> AsyncGenerator[tuple[Mapping[str, Running], str]]:
    """Start the contenders and wait until each answers; give those that run, and the secret that clients send.

    With `stream`, the upstream answers with streams. A contender that is not installed is named and left out.
    """
    origin = _made(folder / "keys")
    _, secret = limited_key(origin)
    running: dict[str, Running] = {}
    try:
        for contender in contenders:
            # Filters and their ledger belong to one gateway, so each has a copy of the key.
            its = folder / contender.name.replace(" ", "-").replace(",", "")
            shutil.copytree(origin, its)
            place = Place(its, upstream, _keys_in(its), secret)
            try:
                running[contender.name] = contender.start(place)
            except NotInstalledError as error:
                print(f"{contender.name}: not measured: {error}")
                continue
            await _answering(contender.name, running[contender.name].port, secret, stream=stream)
        yield running, secret
    finally:
        for each in running.values():
            if each.close:
                await each.close()
            if each.process:
                each.process.terminate()
                each.process.wait()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


async def _answering(name: str, port: int, secret: str, *, stream: bool) -> None:
    body = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    status: int | str = "no answer"
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        try:
            status = await asyncio.to_thread(post, port, body, secret)
        except OSError as error:
            status = str(error)
        if status == 200:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{name} does not answer after {_READY_S:g} s: {status}")


def _direct(place: Place) -> Running:
    return Running(place.upstream)


def _bare_envoy(place: Place) -> Running:
    port = free_port()
    return Running(port, plain_proxies.envoy(place.folder, port, place.upstream))


def _nginx(place: Place) -> Running:
    port = free_port()
    return Running(port, plain_proxies.nginx(place.folder, port, place.upstream))


def _haproxy(place: Place) -> Running:
    port = free_port()
    return Running(port, plain_proxies.haproxy(place.folder, port, place.upstream))


def _litellm(place: Place) -> Running:
    port = free_port()
    return Running(port, plain_proxies.litellm(place.folder, port, place.upstream, place.secret))


def _open_chain(place: Place) -> Running:
    return _chain(place, FrontSettings())


def _keyed_chain(place: Place) -> Running:
    place.keys.publish(open_to_all=False)
    front = FrontSettings(key_filters=place.keys.directory, ledger=place.folder / "requests.jsonl")
    return _chain(place, front)


def _native_chain(place: Place, *, reuses_connections: bool = True) -> Running:
    library = native_library()
    if library is None:
        raise NotInstalledError("the native filter is built by make gate")
    ledger = place.folder / "requests.jsonl"
    place.keys.use(Gate(library=library, ledger=ledger))
    place.keys.publish(open_to_all=False)
    front = FrontSettings(key_filters=place.keys.directory, ledger=ledger, library=library)
    return _chain(place, front, reuses_connections=reuses_connections)


def _native_chain_to_llama_cpp(place: Place) -> Running:
    return _native_chain(place, reuses_connections=False)


def _chain(place: Place, front: FrontSettings, *, reuses_connections: bool = True) -> Running:
    """Start Bateau's Envoy with one model, and the control plane that feeds it.

    Connections to the upstream are used again, as in all other contenders and as for vLLM, but not for llama.cpp.
    """
    port = free_port()
    plane = EnvoyPlane(
        binary=envoy_binary(os.environ),
        cache=place.folder.parent,
        runtime=place.folder,
        listen=("127.0.0.1", port),
        control_socket=place.folder / "control.sock",
        front=front,
        concurrency=1,
        clock=SystemClock(),
    )
    endpoint = Endpoint(replica="model.chat.0", address=f"127.0.0.1:{place.upstream}")
    backend = Backend(
        service="model/chat",
        name="chat",
        protocol="openai",
        endpoints=(endpoint,),
        reuses_connections=reuses_connections,
    )
    plane.publish(Traffic(backends=(backend,)))
    command = [
        word.replace("{replica}", "gateway.envoy.0").replace("{socket}", str(place.folder / "admin.sock"))
        for word in plane.template().command
    ]
    return Running(port, subprocess.Popen(command, stderr=subprocess.DEVNULL), plane.close)


CONTENDERS = (
    Contender(name=DIRECT, start=_direct),
    Contender(name=BARE, start=_bare_envoy),
    Contender(name="the chain without keys", start=_open_chain, is_chain=True),
    Contender(name="keys, limits and ledger", start=_keyed_chain, is_chain=True),
    Contender(name="the same in the native filter", start=_native_chain, is_chain=True),
    Contender(
        name="the native filter, a connection for each request",
        start=_native_chain_to_llama_cpp,
        is_chain=True,
        note="as for llama.cpp, which closes connections when it likes",
    ),
    Contender(name="nginx", start=_nginx, note="a plain proxy: no routing by model, no keys, no usage"),
    Contender(name="haproxy", start=_haproxy, note="a plain proxy: no routing by model, no keys, no usage"),
    Contender(
        name=LITELLM,
        start=_litellm,
        note=f"LiteLLM {plain_proxies.LITELLM_VERSION}, one worker, a master key, no database: it keeps no usage",
    ),
)
