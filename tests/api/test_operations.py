"""Responses of the control API: results, malformed requests, rejected operations, and bugs."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from click.testing import CliRunner

from bateau.api.client import ApiClient
from bateau.api.openapi import openapi
from bateau.api.requests import MalformedRequestError, RollbackRequest, parsed
from bateau.api.server import ApiServer
from bateau.cli.schema import command
from bateau.control.preview import Preview
from bateau.control.restarts import Restarted
from bateau.control.rollback import RolledBack
from bateau.control.snapshots import Snapshots
from bateau.domain.errors import ControlError
from control.world import model, world

GOLDEN = Path(__file__).parent.parent / "golden" / "openapi.json"


class Operator:
    """A control plane that fails as a test says."""

    def __init__(self) -> None:
        self.error: Exception = ControlError("it is not up", hint="start it")

    async def preview(self, texts: Mapping[str, str]) -> Preview:
        del texts
        raise self.error

    def apply(self, texts: Mapping[str, str], *, commit: str | None) -> str:
        if texts:
            raise self.error
        return f"nothing of {commit}"

    async def rollback(self, service: str, *, to: int | None) -> RolledBack:
        del service, to
        raise self.error

    async def restart(self, service: str) -> Restarted:
        del service
        raise self.error


@pytest_asyncio.fixture
async def operator(folder: Path) -> AsyncIterator[Operator]:
    async def metrics() -> str:
        return ""

    made = Operator()
    server = ApiServer(folder / "c.sock", snapshots=Snapshots(), metrics=metrics, stop=asyncio.Event(), operator=made)
    await server.open()
    yield made
    await server.close()


async def post(folder: Path, path: str, body: bytes) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(folder / "c.sock"))) as session,
        session.post(f"http://control{path}", data=body) as response,
    ):
        return response.status, await response.json()


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/v1/apply", b"{", "the request body is not JSON"),
        ("/v1/apply", b"[]", "body is a list; expected a mapping"),
        ("/v1/apply", b"{}", "body.texts is missing"),
        ("/v1/preview", b'{"texts": {"a.yaml": 1}}', "body.texts"),
        ("/v1/rollback", b'{"service": "chat", "to": "one"}', "body.to"),
        ("/v1/rollback", b'{"service": "chat", "tp": 1}', "unknown field `tp`"),
        ("/v1/restart", b"{}", "body.service is missing"),
    ],
)
async def test_a_request_of_the_wrong_form_is_told_where(
    operator: Operator, folder: Path, path: str, body: bytes, says: str
) -> None:
    status, tree = await post(folder, path, body)
    assert (status, bool(operator)) == (400, True)
    assert says in tree["error"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/statuses", (404, "POST /v1/statuses: the control API has no such path")),
        ("/v1/status", (405, "POST /v1/status: this path does not have this method")),
    ],
)
async def test_an_unknown_path_or_method_is_an_error_as_any_other(
    operator: Operator, folder: Path, path: str, expected: tuple[int, str]
) -> None:
    """Issue 8: they were answered in plain text, which clients of the API cannot read."""
    assert operator
    status, tree = await post(folder, path, b"{}")
    assert (status, tree["error"]) == expected
    assert "bateau schema --api" in tree["hint"]


async def test_what_is_refused_is_a_conflict_with_its_hint(operator: Operator, folder: Path) -> None:
    assert operator
    status, tree = await post(folder, "/v1/rollback", b'{"service": "chat"}')
    assert (status, tree) == (409, {"error": "it is not up", "hint": "start it"})


@pytest.mark.parametrize("error", [ValueError("planted"), KeyError("planted"), TypeError("planted")])
async def test_a_bug_is_called_a_bug_and_never_a_malformed_request(
    operator: Operator, folder: Path, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Issue Part 1, item 12."""
    operator.error = error
    for path, body in (("/v1/preview", b'{"texts": {}}'), ("/v1/apply", b'{"texts": {"a": "b"}}')):
        status, tree = await post(folder, path, body)
        assert status == 500
        assert tree["error"] == f"this is a bug in bateau: {type(error).__name__}: {error}"
    assert "planted" in caplog.text
    with pytest.raises(ControlError, match="this is a bug in bateau"):
        await asyncio.to_thread(ApiClient(folder / "c.sock", instance="x").preview, {})


async def test_before_the_first_snapshot_the_status_says_that_it_is_starting(operator: Operator, folder: Path) -> None:
    assert operator
    with pytest.raises(ControlError, match="the control plane is starting"):
        await asyncio.to_thread(ApiClient(folder / "c.sock", instance="x").status)


async def test_the_status_is_waited_for_and_streamed(folder: Path) -> None:
    async def metrics() -> str:
        return ""

    async with world(chat=model()) as w:
        await w.until(lambda: w.status.rolled_out)
        await w.turns()
        snapshots = w.control.snapshots
        server = ApiServer(folder / "c.sock", snapshots=snapshots, metrics=metrics, stop=asyncio.Event())
        await server.open()
        try:
            client = ApiClient(folder / "c.sock", instance="x")
            first = await asyncio.to_thread(client.status)
            same = await asyncio.to_thread(lambda: client.status(after=first["number"], wait_s=0.2))
            assert same["number"] == first["number"]
            waiting = asyncio.create_task(asyncio.to_thread(lambda: client.status(after=first["number"], wait_s=30.0)))
            await asyncio.sleep(0.1)
            w.keeper.crash("model.chat.0", "exited with code 1")
            await w.turn()
            assert (await waiting)["number"] > first["number"]
            assert await _first_event(folder) == f"id: {(await asyncio.to_thread(client.status))['number']}"
        finally:
            await server.close()


async def _first_event(folder: Path) -> str:
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(folder / "c.sock"))) as session,
        session.get("http://control/v1/status/stream") as response,
    ):
        assert response.headers["content-type"] == "text/event-stream"
        return (await response.content.readline()).decode().strip()


def test_a_request_is_parsed_into_its_type() -> None:
    assert parsed(RollbackRequest, b'{"service": "chat", "to": 3}') == RollbackRequest(service="chat", to=3)
    with pytest.raises(MalformedRequestError, match=r"body\.to"):
        parsed(RollbackRequest, b'{"service": "chat", "to": 0}')


def test_the_openapi_document_is_what_it_was(request: pytest.FixtureRequest) -> None:
    printed = CliRunner().invoke(command, ["--api"])
    assert json.loads(printed.output) == openapi()
    made = json.dumps(openapi() | {"info": {"title": "Bateau control API"}}, indent=1) + "\n"
    if request.config.getoption("--accept"):
        GOLDEN.write_text(made)
    assert GOLDEN.read_text() == made
