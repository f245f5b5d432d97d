"""Where the values of charts come from: a Prometheus server, or the history when that fails."""

import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from urllib.parse import parse_qs

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from bateau.domain.charts import SPANS
from bateau.domain.measures import CPU, LATENCY_P95, MEASURES, MEMORY, REQUESTS, SLOW, Measure, Point
from bateau.testing import ManualClock
from bateau.wiring.charts import ChartReports
from bateau.wiring.prometheus_server import Server, server_of
from wiring.test_sampling import SERVICES

CHAT = "model/chat"
NOW = 1_790_000_010.0


class FakeHistory:
    """A history with the same value everywhere."""

    def __init__(self) -> None:
        self.wrong: str | None = None
        self.last: float | None = NOW
        self.asked = 0

    def services(self) -> Sequence[str]:
        return (CHAT,)

    def points(self, service: str, measure: Measure, *, since: float, until: float, step_s: float) -> Sequence[Point]:
        assert service == CHAT and measure in MEASURES
        self.asked += 1
        count = round((until - since) / step_s)
        return [Point(when_s=since + step_s * (at + 1), value=60.0, seconds=30.0) for at in range(count)]

    def total(self, *_: object, **__: object) -> None:
        raise NotImplementedError

    def latest(self, service: str) -> dict[str, float]:
        del service
        return {}


class FakeServer:
    """A server that answers as a test wants."""

    def __init__(self) -> None:
        self.queries: list[dict[str, str]] = []
        self.headers: list[str | None] = []
        self.answer: Callable[[dict[str, str]], web.Response] = self.value

    async def handle(self, request: web.Request) -> web.Response:
        assert request.path == "/base/api/v1/query_range"
        query = {name: each[0] for name, each in parse_qs(await request.text()).items()}
        self.queries.append(query)
        self.headers.append(request.headers.get("authorization"))
        return self.answer(query)

    def value(self, query: dict[str, str]) -> web.Response:
        values = [[float(query["end"]) - 30, "60"], [float(query["end"]), "NaN"]]
        return web.json_response(
            {"status": "success", "data": {"resultType": "matrix", "result": [{"values": values}]}}
        )


@pytest_asyncio.fixture
async def fake() -> AsyncIterator[tuple[FakeServer, str]]:
    made = FakeServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    async with TestServer(app) as server:
        yield made, str(server.make_url("/base/"))


class Reports:
    """The charts of an instance, with what they ask."""

    def __init__(self, server: Server | None) -> None:
        self.history = FakeHistory()
        self.clock = ManualClock(monotonic=100.0, wall=NOW)
        self.reports = ChartReports(self.history, self.clock, services=lambda: SERVICES, server=server)


async def test_the_history_is_asked_once_until_there_is_another_point() -> None:
    made = Reports(None)
    first = await made.reports.now(CHAT, "hour")
    assert first and first.of(REQUESTS) == (2.0,) * 120 and first.of(MEMORY) == (60.0,) * 120
    assert first.source is None is first.trouble
    assert await made.reports.now(CHAT, "hour") is first
    assert made.history.asked == len(MEASURES)
    made.history.last = NOW + 15
    second = await made.reports.now(CHAT, "hour")
    assert second is not first
    day = await made.reports.now(CHAT, "day")
    assert day and len(day.of(CPU)) == 288
    made.history.last = NOW + 20
    assert await made.reports.now(CHAT, "day") is day, "a day changes each minute"
    assert await made.reports.now(CHAT, "year") is None


async def test_a_history_that_is_not_written_says_so() -> None:
    made = Reports(None)
    first = await made.reports.now(CHAT, "hour")
    made.history.wrong = "the history of measures cannot be written: No space left on device"
    second = await made.reports.now(CHAT, "hour")
    assert first and second and second.trouble == made.history.wrong and first.trouble is None


async def test_a_server_has_the_values(fake: tuple[FakeServer, str]) -> None:
    server, url = fake
    made = Reports(Server(url=url, labels={"instance": 'a"b'}, token="a-token"))
    charts = await made.reports.now(CHAT, "hour")
    assert charts and charts.source == url and charts.trouble is None and made.history.asked == 0
    assert charts.of(REQUESTS)[-2:] == (2.0, None), "an increase in 30 seconds is a rate, and NaN is not known"
    assert charts.of(LATENCY_P95)[-2:] == charts.of(MEMORY)[-2:] == (60.0, None)
    assert charts.of(REQUESTS)[:-2] == (None,) * 118
    assert server.headers == ["Bearer a-token"] * len(MEASURES)
    assert all('instance="a\\"b"' in each["query"] for each in server.queries)
    assert {(each["start"], each["end"], each["step"]) for each in server.queries} == {
        (f"{charts.whens[0]:.3f}", f"{charts.whens[-1]:.3f}", "30")
    }
    (slow,) = (each["query"] for each in server.queries if "- 1 * sum" in each["query"])
    assert 'le=~"0.1"' in slow and SLOW.name in charts.values, "the objective is its bound"
    made.clock.advance(15)
    assert await made.reports.now(CHAT, "hour") is not charts
    gateway = await made.reports.now("gateway/envoy", "hour")
    assert gateway and gateway.of(REQUESTS) == (None,) * 120


WRONG: Mapping[str, Callable[[dict[str, str]], web.Response]] = {
    "status 503": lambda _: web.Response(status=503, text="overloaded"),
    "status 400: bad query <b>": lambda _: web.json_response({"status": "error", "error": "bad query <b>"}, status=400),
    "status 200": lambda _: web.Response(text="<html>a login page</html>", content_type="text/html"),
    "status 302": lambda _: web.Response(status=302, headers={"location": "http://127.0.0.1:1/"}),
    "more than 4 MiB": lambda _: web.Response(body=b"[" * (5 * 2**20)),
    "not numbers": lambda _: web.json_response({"status": "success", "data": {"result": [{"values": [[1, "many"]]}]}}),
}


@pytest.mark.parametrize("says", list(WRONG))
async def test_a_server_that_fails_gives_way_to_the_history(
    fake: tuple[FakeServer, str], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    server, url = fake
    server.answer = WRONG[says]
    made = Reports(Server(url=url))
    charts = await made.reports.now(CHAT, "hour")
    assert charts and charts.source is None and charts.of(REQUESTS) == (2.0,) * 120
    assert charts.trouble and url in charts.trouble and says in charts.trouble
    assert [each.levelno for each in caplog.records if each.name.startswith("bateau")] == [logging.ERROR]
    asked = len(server.queries)
    made.clock.advance(15)
    made.history.last = NOW + 15
    await made.reports.now(CHAT, "hour")
    assert len(server.queries) == asked, "it is left alone for a minute"
    server.answer = server.value
    made.clock.advance(60)
    charts = await made.reports.now(CHAT, "hour")
    assert charts and charts.source == url and charts.trouble is None


async def test_a_server_that_is_not_there_gives_way_too() -> None:
    made = Reports(Server(url="http://127.0.0.1:1"))
    charts = await made.reports.now(CHAT, "week")
    assert charts and charts.of(MEMORY) == (60.0,) * 168
    assert charts.trouble and "does not answer" in charts.trouble


async def test_odd_answers_are_no_values(fake: tuple[FakeServer, str]) -> None:
    server, url = fake
    made = Reports(Server(url=url))
    for data in ("{}", '{"result": []}', '{"result": [{}]}', '{"result": [{"values": [null, [], 7]}]}', "[null]", "7"):

        def answer(_: dict[str, str], text: str = f'{{"status": "success", "data": {data}}}') -> web.Response:
            return web.Response(text=text, content_type="application/json")

        server.answer = answer
        made.clock.advance(61)
        charts = await made.reports.now(CHAT, "hour")
        assert charts, data
        assert charts.of(REQUESTS) in ((None,) * 120, (2.0,) * 120), data


def test_an_address_with_a_password_is_refused_and_not_repeated() -> None:
    for url in ("http://user:hush@127.0.0.1:9090", "https://user@127.0.0.1", "ftp://a:hush@b"):
        with pytest.raises(ValueError, match="BATEAU_PROMETHEUS_TOKEN") as caught:
            server_of(url, ())
        assert "hush" not in str(caught.value)


@pytest.mark.parametrize("url", ["127.0.0.1:9090", "ftp://127.0.0.1", "http://", "http://a?b=c", "http://a#b"])
def test_an_address_must_be_one_of_the_web(url: str) -> None:
    with pytest.raises(ValueError, match=re.escape("http://127.0.0.1:9090")):
        server_of(url, ())


def test_labels_are_names_and_values() -> None:
    assert server_of(None, ()) is None
    found = server_of("http://a:9090", ("instance=b:1", "job=x=y"))
    assert found == Server(url="http://a:9090", labels={"instance": "b:1", "job": "x=y"})
    with pytest.raises(ValueError, match="needs --prometheus"):
        server_of(None, ("instance=b",))
    with pytest.raises(ValueError, match="NAME=VALUE"):
        server_of("http://a:9090", ("instance",))
    with pytest.raises(ValueError, match="NAME=VALUE"):
        server_of("http://a:9090", ("in-stance=b",))


def test_a_secret_is_not_shown() -> None:
    assert "hush" not in repr(Server(url="http://a", token="hush"))
    assert len(SPANS) == 3
