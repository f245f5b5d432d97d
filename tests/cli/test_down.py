"""`down` waits for a control plane that answers, and reports one that hangs or leaves replicas."""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from bateau.api.encoding import encode
from bateau.cli import down
from bateau.cli.instance import instance_paths
from bateau.domain.errors import ControlError
from bateau.domain.process import ProcessTemplate
from bateau.domain.status import Status
from bateau.runtimes.local.instance import Instance
from bateau.runtimes.local.records import Record
from bateau.wiring.paths import make
from control.world import app, model, world


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    base = Path(tempfile.mkdtemp(prefix="bt-"))  # short: it is in the paths of sockets
    for name in ("STATE_HOME", "CACHE_HOME", "RUNTIME_DIR"):
        monkeypatch.setenv(f"XDG_{name}", str(base / name.lower()))
    monkeypatch.setattr(down, "_LOOK_S", 0.0)
    monkeypatch.setattr(down, "_SILENCE_S_MAX", 0.0)  # one missing answer is too many
    make(instance_paths("default"))
    yield
    shutil.rmtree(base)


class _ControlPlane:
    """Answers with one status after another, and exits with the last one."""

    def __init__(self, *statuses: Status) -> None:
        self._left = list(statuses)

    async def run_down(self) -> Result:
        async with self._listening():
            return await asyncio.to_thread(CliRunner().invoke, down.command)

    @asynccontextmanager
    async def _listening(self) -> AsyncGenerator[None]:
        program = "import time; time.sleep(100)"
        self._process = await asyncio.create_subprocess_exec(sys.executable, "-S", "-c", program)
        served = web.Application()
        served.add_routes([web.get("/v1/status", self._status), web.post("/v1/stop", self._stop)])
        runner = web.AppRunner(served)
        await runner.setup()
        await web.UnixSite(runner, str(instance_paths("default").control_socket)).start()
        try:
            yield
        finally:
            await runner.cleanup()
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()

    async def _stop(self, _: web.Request) -> web.Response:
        return web.json_response({"stopping": True})

    async def _status(self, _: web.Request) -> web.Response:
        if not self._left:
            raise web.HTTPBadGateway
        status = self._left.pop(0)
        if not self._left and not status.services:
            self._process.kill()
            await self._process.wait()
        return web.json_response(text=encode(replace(status, pid=self._process.pid)))


async def _statuses() -> tuple[Status, Status, Status]:
    """Return the status with all replicas, with one less, and with none."""
    async with world(chat=model(), shop=app()) as w:
        await w.until(lambda: w.status.rolled_out)
        whole = w.status
    none = replace(whole.gateway, replicas=())
    return whole, replace(whole, services=whole.services[:1]), replace(whole, services=(), gateway=none)


async def test_it_waits_as_long_as_the_control_plane_answers() -> None:
    """Issue 8: it failed after 120 s, although replicas were ending all the time."""
    whole, fewer, none = await _statuses()
    result = await _ControlPlane(whole, whole, whole, fewer, fewer, none).run_down()
    assert result.exit_code == 0, result.exception
    assert result.stderr.splitlines() == ["stopping every service and the gateway", "2 of 3 replicas are left"]
    assert result.stdout == "default is down\n"


async def test_a_control_plane_that_neither_answers_nor_exits_is_an_error() -> None:
    whole, _, _ = await _statuses()
    result = await _ControlPlane(whole, whole).run_down()
    assert isinstance(result.exception, ControlError)
    assert "has neither answered nor exited" in result.exception.message


async def test_replicas_that_the_control_plane_has_left_are_stopped() -> None:
    where = instance_paths("default")
    instance = Instance(name=str(where.state), state=where.state, runtime=where.runtime, logs=where.logs)
    for folder in instance.folders:
        folder.mkdir(exist_ok=True)
    template = ProcessTemplate(revision="r1", command=("sleep", "100"))
    instance.records.write(Record(id="app.a.0", service="app/a", template=template, stopping=True))
    whole, _, none = await _statuses()
    result = await _ControlPlane(whole, none).run_down()
    assert result.exit_code == 0, result.exception
    assert instance.records.paths() == []
