"""A real Envoy in folders of its own, configured by the real plane, and a client that speaks to it."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from bateau.domain.endpoint import Backend, Endpoint, Load, Proxy, Traffic
from bateau.traffic.envoy import EnvoyPlane, FrontSettings
from bateau.traffic.envoy.admin import EnvoyAdmin
from bateau.traffic.envoy.gate import Gate
from bateau.wiring.envoy import envoy_binary
from bateau.wiring.filters import native_library as installed
from bateau.wiring.keys import Keys
from bateau.wiring.this_process import SystemClock

WAIT_S = 15.0
# Envoy acknowledges what it is sent without delay; what it waits for was not sent, or in the wrong order.
ANSWER_S = 4.0
REPLICA = "gateway.envoy.0"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def tree(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error, after a look at the shape that OpenAI's clients rely on."""
        assert self.headers["content-type"].startswith("application/json"), self
        assert list(self.tree) == ["error"], self
        error: dict[str, Any] = self.tree["error"]
        assert set(error) == {"message", "type", "param", "code"}, self
        return error


class ProxyProcess:
    """One running Envoy."""

    def __init__(self, proxy: Proxy, process: asyncio.subprocess.Process) -> None:
        self.proxy = proxy
        self._process = process
        self.admin = EnvoyAdmin(Path(proxy.address or ""))

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def is_ready(self) -> bool:
        assert self._process.returncode is None, f"{self.proxy.replica} ended: {self._log()}"
        return (await self.admin.text("/ready") or "").startswith("LIVE")

    def _log(self) -> str:
        text = (Path(self.proxy.address or "").parent / "envoy.log").read_text(errors="replace")
        return f"{self._process.returncode}\n{text[-4000:]}"

    async def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self._process.returncode is None:
            self._process.send_signal(number)
        await self._process.wait()


class Gateway:
    """One Envoy and the control plane that feeds it; `restart_control` makes a new control plane for the same Envoy."""

    def __init__(self, library: Path | None = None, *, origins: tuple[str, ...] = ()) -> None:
        self.origins = origins
        self.library = library
        self.base = Path(tempfile.mkdtemp(prefix="bt-"))
        self.inner = self.base / "inner.sock"
        self.port = free_port()
        self.keys = Keys("test", {"XDG_STATE_HOME": str(self.base), "HOME": str(self.base)})
        self.url = f"http://127.0.0.1:{self.port}"
        self.plane = self.new_plane()
        self.published = Traffic()
        self._proxies: dict[str, ProxyProcess] = {}
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        assert self._session, "the gateway is not open"
        return self._session

    def pid(self, replica: str) -> int:
        return self._proxies[replica].pid

    @property
    def log(self) -> str:
        return (self.base / "envoy.log").read_text()

    @property
    def admin(self) -> EnvoyAdmin:
        return self._proxies[REPLICA].admin

    async def open(self, *, with_key_filters: bool = True) -> None:
        if with_key_filters:
            if self.library:
                self.keys.use(Gate(library=self.library, ledger=self.base / "requests.jsonl"))
            self.keys.publish(open_to_all=False)
        self.published = self.traffic()
        self.plane.publish(self.published)
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(
            self.url, connector=connector, timeout=aiohttp.ClientTimeout(total=WAIT_S * 2)
        )
        await self.start(REPLICA)

    async def start(self, replica: str) -> ProxyProcess:
        """Start a proxy as the runtime does, and return when it is ready; `publish` names it from then on."""
        address = str(self.base / f"{replica}.sock")
        words = self.plane.template().command
        command = [word.replace("{replica}", replica).replace("{socket}", address) for word in words]
        with (self.base / "envoy.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        made = self._proxies[replica] = ProxyProcess(
            Proxy(service="gateway/envoy", replica=replica, address=address), process
        )
        await eventually(made.is_ready, within_s=2 * WAIT_S)
        return made

    def send(self, replica: str, number: signal.Signals) -> None:
        """Send a signal to a proxy."""
        self._proxies[replica].send(number)

    def drain(self, replica: str) -> None:
        """Have the traffic say from now on that a proxy drains."""
        self._proxies[replica].proxy = replace(self._proxies[replica].proxy, draining=True)

    async def end(self, replica: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End a proxy; the traffic does not name it from now on."""
        await self._proxies.pop(replica).end(number)

    async def close(self) -> None:
        if self._session:
            await self._session.close()
        for replica in list(self._proxies):
            await self.end(replica)
        await self.plane.close()
        shutil.rmtree(self.base, ignore_errors=True)

    async def restart_control(
        self, *backends: Backend, before_connected: Callable[["Gateway"], Awaitable[None]] | None = None
    ) -> None:
        """End the control plane, and start another that knows `backends`; return when Envoy has them."""
        await self.plane.close()
        await eventually(self.is_disconnected)
        self.plane = self.new_plane()
        self.published = self.traffic(*backends)
        self.plane.publish(self.published)
        if before_connected:
            await before_connected(self)
        await eventually(self.is_accepted)

    def traffic(self, *backends: Backend) -> Traffic:
        return Traffic(backends=backends, proxies=tuple(each.proxy for each in self._proxies.values()))

    async def publish(self, *backends: Backend, within_s: float = ANSWER_S) -> None:
        """Publish, and wait until the proxies have answered for it: for a moment, or the test fails."""
        self.published = self.traffic(*backends)
        self.plane.publish(self.published)
        await eventually(self.is_accepted, within_s=within_s)

    async def is_accepted(self) -> bool:
        return self.plane.observe().accepted

    async def ask(self, method: str, path: str | URL, **options: Any) -> Answer:
        async with self.session.request(method, path, **options) as response:
            return Answer(status=response.status, headers=response.headers, body=await response.read())

    async def chat(self, model: str = "chat", **options: Any) -> Answer:
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
        return await self.ask("POST", "/v1/chat/completions", json=body, **options)

    async def is_connected(self) -> bool:
        return await self.stat("control_plane.connected_state") == 1

    async def is_disconnected(self) -> bool:
        return not await self.is_connected()

    async def stat(self, name: str) -> int:
        """Return one of Envoy's counters or gauges, 0 where there is none yet."""
        text = await self.admin.text("/stats?format=json")
        stats = json.loads(text or "{}").get("stats", [])
        return next((int(stat["value"]) for stat in stats if stat.get("name") == name), 0)

    async def in_flight(self, replica: str) -> int:
        load = await self.load()
        return load.in_flight.get(replica, 0)

    async def load(self) -> Load:
        """Return the load as it is from now on: it was measured after this was called."""
        before = self.plane.observe().load
        since = max(time.monotonic(), before.seen_at if before else 0.0)
        if not self.published.wants_load:
            self.plane.publish(replace(self.published, measure_load=True))

        async def measured() -> Load | None:
            load = self.plane.observe().load
            return load if load and load.seen_at > since else None

        return await eventually(measured)

    def new_plane(self) -> EnvoyPlane:
        return EnvoyPlane(
            binary=envoy_binary(os.environ),
            cache=self.base / "cache",
            runtime=self.base,
            listen=("127.0.0.1", self.port),
            control_socket=self.base / "control.sock",
            front=FrontSettings(
                key_filters=self.keys.directory,
                ledger=self.base / "requests.jsonl",
                inner=self.inner,
                library=self.library,
                origins=self.origins,
            ),
            concurrency=2,
            clock=SystemClock(),
        )


@contextlib.asynccontextmanager
async def running_gateway(library: Path | None = None) -> AsyncGenerator[Gateway, None]:
    """Run an Envoy for the length of a block: with the native filter of a library, or with Envoy's own."""
    made = Gateway(library)
    try:
        await made.open()
        yield made
    finally:
        await made.close()


def native_library() -> Path:
    """Return the library of the native filter. Without it the test is skipped, and fails in CI."""
    library = installed()
    if library is None:
        says = "the native filter is not installed: make gate"
        if os.environ.get("CI"):
            pytest.fail(says)
        pytest.skip(says)
    return library


def model(name: str, *endpoints: Endpoint, **more: Any) -> Backend:
    """Return the backend of a model."""
    return Backend(service=f"model/{name}", name=name, protocol="openai", endpoints=endpoints, **more)


def translated(*endpoints: Endpoint, **more: Any) -> Backend:
    """Return the backend of the translator."""
    return Backend(service="gateway/translator", name="translator", protocol="translated", endpoints=endpoints, **more)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def eventually(condition: Callable[[], Awaitable[Any]], *, within_s: float = WAIT_S) -> Any:
    """Return the first true value of `condition`."""
    deadline = time.monotonic() + within_s
    while not (value := await condition()):
        assert time.monotonic() < deadline, f"{condition} did not come true within {within_s} s"
        await asyncio.sleep(0.02)
    return value


async def becomes_equal(ask: Callable[[], Awaitable[Any]], expected: object, *, within_s: float = 2.0) -> None:
    """Ask until the answer is the expected one: Envoy reads its files one by one, and each worker takes them later."""

    async def is_equal() -> bool:
        return await ask() == expected

    with contextlib.suppress(AssertionError):
        await eventually(is_equal, within_s=within_s)
    assert await ask() == expected
