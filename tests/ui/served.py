"""A dashboard that is served on a socket, over a control plane with fakes around it; and a browser without a screen."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from bateau.api.server import ApiServer
from bateau.control.key_report import KeysReport, KeyUse
from bateau.control.path import understand
from bateau.control.reading import InProcess
from bateau.control.restarts import Restarted
from bateau.domain.alert import AlertBoard, Silence, Trial
from bateau.domain.api_key import ApiKey
from bateau.domain.errors import BateauError
from bateau.domain.figures import Figures
from bateau.domain.offered import Offered
from bateau.domain.sign_in import Role
from bateau.domain.timeline import Entry
from bateau.ui.alert_actions import AlertDesk, NoAlerts
from bateau.ui.dashboard import Dashboard
from bateau.ui.instance import Instance
from bateau.ui.page import View
from bateau.ui.reports import Need, Reports
from bateau.ui.sessions import Sessions
from bateau.ui.sign_in import Desk, NoIssuers
from bateau.wiring.changing import Changing
from bateau.wiring.keys import Keys
from control.world import World, WorldOfFiles, app, model, running, world
from ui.reports import MACHINE, POLICIES, TODAY, usage

ORIGIN = "http://127.0.0.1:8080"
OFFERED = (
    Offered(
        name="smollm2",
        summary="the smallest",
        licence="Apache-2.0",
        parameters="135M",
        context=8192,
        size_bytes=98_362_432,
        here=True,
        fits=True,
        says="needs about 400 MiB of 16 GiB",
    ),
    Offered(
        name="huge",
        summary="the largest",
        licence="MIT",
        parameters="70B",
        context=8192,
        size_bytes=None,
        here=False,
        fits=False,
        says="needs more than 80 GiB",
    ),
)
SPECS = {
    "chat": model(),
    "shop": app(uses=["model/chat"], env={"GREETING": "<script>alert(1)</script>", "API_TOKEN": "a-secret"}),
}


class FakeLogs:
    """Logs in memory; `write` adds a line."""

    def __init__(self) -> None:
        self.lines: dict[str, list[str]] = {}

    def ids(self) -> Sequence[str]:
        return sorted(self.lines)

    def of(self, service: str) -> Sequence[str]:
        prefix = service.replace("/", ".") + "."
        return [each for each in self.ids() if each.startswith(prefix) and each[len(prefix) :].isdecimal()]

    def tail(self, replica_id: str, lines: int) -> Sequence[str]:
        return self.lines[replica_id][-lines:]

    async def follow(self, replica_id: str, *, lines: int = 0, every_s: float = 0.2) -> AsyncIterator[str]:
        del every_s
        at = max(len(self.lines[replica_id]) - lines, 0)
        while True:
            while at < len(self.lines[replica_id]):
                yield self.lines[replica_id][at]
                at += 1
            await asyncio.sleep(0.01)


class FakeMeter:
    """The figures that a test sets."""

    def __init__(self) -> None:
        self.figures = Figures()
        self.error: Exception | None = None

    async def now(self) -> Figures:
        if self.error:
            raise self.error
        return self.figures


class FakeReporter:
    """The reports that a test sets; the keys are those that there are."""

    def __init__(self, keys: Keys) -> None:
        self.reports = Reports(usage=usage(), machine=MACHINE, written=understand(POLICIES, today=TODAY), today=TODAY)
        self._keys = keys

    async def of(self, needs: tuple[Need, ...], given: Mapping[str, str]) -> Reports:
        del given
        keyring = self._keys.load()
        found = KeysReport(keys=tuple(KeyUse(key=each) for each in keyring.by_name.values()), required=keyring.required)
        chosen = {name: getattr(self.reports, name) for name in ("usage", "machine", "sparklines", "written")}
        wanted = {name for name in chosen if name in needs or (name == "written" and "specs" in needs)}
        return Reports(
            keys=found if "keys" in needs else None,
            today=self.reports.today if "specs" in needs else None,
            **{name: value for name, value in chosen.items() if name in wanted},
        )

    async def close(self) -> None:
        """Nothing runs."""


class _Desk:
    """The alerts of a desk that a test may replace."""

    def __init__(self) -> None:
        self.desk: AlertDesk = NoAlerts()

    def board(self) -> AlertBoard:
        return self.desk.board()

    def silence(self, *, service: str | None, name: str | None, for_s: float, why: str, by: str) -> Silence:
        return self.desk.silence(service=service, name=name, for_s=for_s, why=why, by=by)

    def unsilence(self, silence: str) -> Silence:
        return self.desk.unsilence(silence)

    async def test(self) -> Sequence[Trial]:
        return await self.desk.test()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    text: str


class Served:
    """A dashboard, and a client of it that keeps its cookie as a browser does."""

    def __init__(self, made: World, socket: Path, directory: Path | None = None, desk: Desk | None = None) -> None:
        self.world = made
        self.directory = directory
        self.now = 0.0
        self.logs = FakeLogs()
        self.meter = FakeMeter()
        self.needs_key = False
        self.events: tuple[Entry, ...] | None = ()
        self.restarted: list[str] = []
        self.asked_by: str | None = None
        self.refusal: BateauError | None = None
        self.keys = Keys(
            "default",
            {f"XDG_{name}": str(socket.parent / name) for name in ("STATE_HOME", "CACHE_HOME", "RUNTIME_DIR")},
        )
        self.reporter = FakeReporter(self.keys)
        self.sessions = Sessions(lambda: self.now, (desk or NoIssuers()).admits)
        self._alerts = _Desk()
        self.instance = Instance(
            snapshots=made.control.snapshots,
            release=lambda: made.control.release,
            meter=self.meter,
            logs=self.logs,
            needs_key=lambda: self.needs_key,
            restart=self.restart,
            events=lambda: self.events,
            alerts=self._alerts,
            keys=self.keys,
            reporter=self.reporter,
        )
        self.default: dict[str, str] = {}
        self.changing = Changing(
            made.control,
            directory=directory or Path("/nowhere"),
            follows="directory",
            reader=InProcess(),
            offered=self.offered,
            default=lambda: self.default,
        )
        self.dashboard = Dashboard(self.instance, self.sessions, name="test", specs=self.changing, desk=desk)
        self.cookie = ""
        self._socket = socket
        self._server = ApiServer(
            socket,
            snapshots=made.control.snapshots,
            metrics=self._metrics,
            stop=asyncio.Event(),
            dashboard=self.dashboard,
        )
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        await self._server.open()
        self._session = aiohttp.ClientSession(
            ORIGIN, connector=aiohttp.UnixConnector(str(self._socket)), cookie_jar=aiohttp.DummyCookieJar()
        )

    async def close(self) -> None:
        if self._session:
            await self._session.close()
        await self._server.close()

    def use_alerts(self, desk: AlertDesk) -> None:
        """Have the pages show other alerts. Call it before the first request."""
        self._alerts.desk = desk

    async def restart(self, service: str, *, who: str | None) -> Restarted:
        self.asked_by = who
        if self.refusal:
            raise self.refusal
        self.restarted.append(service)
        return Restarted(service=service, restarted_at="2026-01-01T00:00:00Z")

    async def offered(self) -> Sequence[Offered]:
        return OFFERED

    async def post(self, path: str, **fields: str) -> Answer:
        """Send a form of a page, as a browser does without JavaScript: with the token of the session."""
        form = {"csrf": await self.csrf(), **fields}
        return await self.ask("POST", f"/ui{path}", headers={"origin": ORIGIN}, data=form)

    async def ask(
        self, method: str, path: str | URL, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> Answer:
        assert self._session
        sent = {**({"cookie": self.cookie} if self.cookie else {}), **(headers or {})}
        async with self._session.request(method, path, headers=sent, allow_redirects=False, **more) as response:
            return Answer(status=response.status, headers=response.headers, text=await response.text())

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.ask("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    async def sign_in(self, role: Role = "admin") -> Answer:
        answer = await self.get(self.dashboard.link(role))
        assert answer.status == 200, answer.text
        self.cookie = answer.headers["set-cookie"].partition(";")[0]
        return answer

    async def csrf(self) -> str:
        page = await self.get("/ui/")
        return page.text.partition('data-csrf="')[2].partition('"')[0]

    @contextlib.asynccontextmanager
    async def stream(self, path: str) -> AsyncGenerator[AsyncIterator[tuple[str, dict[str, Any]]], None]:
        """Read the events of a page."""
        assert self._session
        address = f"/ui/live?path={path}"
        async with self._session.get(address, headers={"cookie": self.cookie}) as response:
            assert response.status == 200, await response.text()
            yield _events(response)

    async def _metrics(self) -> str:
        return ""


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    name = ""
    while line := (await response.content.readline()).decode():
        if line.startswith("event: "):
            name = line.removeprefix("event: ").strip()
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


@contextlib.asynccontextmanager
async def served(
    socket: Path, directory: Path | None = None, desk: Desk | None = None, **specs: str
) -> AsyncGenerator[Served, None]:
    """Serve the dashboard of some specs for the length of a block. With a `directory`, they are files there.

    With a `desk`, people may sign in by its issuers.
    """
    for name, text in specs.items() if directory else ():
        (directory or Path()).joinpath(f"{name}.yaml").write_text(text)
    files = WorldOfFiles(directory, history=directory.parent / "history.sqlite") if directory else None
    async with running(files or World(history=None, memory=None, **(specs or SPECS))) as made:
        await made.until(lambda: made.status.rolled_out)
        found = Served(made, socket, directory, desk)
        await found.open()
        try:
            yield found
        finally:
            await found.close()


@contextlib.asynccontextmanager
async def served_files(folder: Path, **specs: str) -> AsyncGenerator[Served, None]:
    """Serve the dashboard of specs that are files in a directory, to an admin who has signed in."""
    (folder / "specs").mkdir()
    async with served(folder / "c.sock", folder / "specs", None, **specs) as made:
        await made.sign_in()
        yield made


async def a_view(**specs: str) -> View:
    """Return the view of some specs, and of all reports."""
    async with world(history=None, memory=None, **(specs or SPECS)) as made:
        await made.until(lambda: made.status.rolled_out)
        keys = KeysReport(keys=(KeyUse(key=ApiKey(name="ci", owner="ada")),))
        written = understand(POLICIES, today=TODAY)
        reports = Reports(usage=usage(), keys=keys, machine=MACHINE, written=written, today=TODAY)
        return View(status=made.status, release=made.control.release, reports=reports, role="admin")
