"""The dashboard of a controller: it shows, on loopback, for whoever may forward the ports of its pod."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from bateau.api.alert_routes import alert_application
from bateau.control.cluster_status import cluster_release, cluster_status
from bateau.control.snapshots import Snapshots
from bateau.domain.figures import Figures
from bateau.domain.replica import ReplicaState
from bateau.ports.runtime import Observed
from bateau.ui.cluster_dashboard import ClusterDashboard
from bateau.ui.guard import CSRF_HEADER
from bateau.wiring.alerts import Alerts
from bateau.wiring.cluster_open import LINK_HEADER, LINKS
from bateau.wiring.listen import free_port
from control.test_cluster_status import FACTS, namespace, pod, workload
from ui.served import FakeLogs
from wiring.test_cluster_alerts import READY, Cluster


class Shown:
    """A view whose cluster does not exist."""

    def __init__(self) -> None:
        seen = Observed(replicas=(pod("app/web", ReplicaState.BACKOFF, "<script>alert(1)</script>"),))
        shop = namespace(workload("web", "app/api"), workload("api"), seen=seen)
        self.snapshots = Snapshots()
        self.snapshots.take(cluster_status([shop], replace(FACTS, cluster="berlin")))
        self.release = cluster_release([shop])
        self.meter = self

    async def now(self) -> Figures:
        return Figures()

    def events(self) -> tuple[()]:
        return ()


@asynccontextmanager
async def shown(
    alerts: Alerts | None = None, logs: FakeLogs | None = None
) -> AsyncGenerator[tuple[str, aiohttp.ClientSession]]:
    port = free_port()
    dashboard = ClusterDashboard(
        cast("Any", Shown()),
        "127.0.0.1",
        port,
        name="berlin",
        alerts=alerts,
        operations=alert_application(alerts) if alerts else None,
        logs=logs,
    )
    await dashboard.open()
    try:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            yield f"http://127.0.0.1:{port}", session
    finally:
        await dashboard.close()


async def signed_in(url: str, session: aiohttp.ClientSession) -> None:
    async with session.post(url + LINKS, headers={LINK_HEADER: "1"}) as answer:
        path = (await answer.json())["path"]
    async with session.get(url + path) as answer:
        assert answer.status == 200


async def got(url: str, session: aiohttp.ClientSession, path: str, **headers: str) -> tuple[int, str]:
    async with session.get(url + path, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_the_pages_show_all_namespaces_and_change_nothing() -> None:
    async with shown() as (url, session):
        assert (await got(url, session, "/ui/"))[0] == 401
        await signed_in(url, session)
        status, overview = await got(url, session, "/ui/")
        assert status == 200
        assert "berlin" in overview
        assert 'href="/ui/services/app/shop.web"' in overview
        status, page = await got(url, session, "/ui/services/app/shop.web")
        assert status == 200
        assert "app/shop.api" in page
        assert "<script>alert" not in page
        for absent in ("Restart</button>", 'id="log"', 'id="chat"', ">Edit<", "Usage and keys", "Machines"):
            assert absent not in overview + page, absent
        for path in ("/ui/usage", "/ui/machines", "/ui/change", "/ui/new"):
            assert (await got(url, session, path))[0] == 404
        async with session.post(f"{url}/ui/services/app/shop.web/restart", headers={"origin": url}) as answer:
            assert answer.status == 403, "it lacks the token"


async def test_logs_are_shown_only_where_the_installation_says_so() -> None:
    logs = FakeLogs()
    logs.lines = {"app.shop.web.0": ["first", "\x1b[31m<b>red</b>"]}
    async with shown(logs=logs) as (url, session):
        await signed_in(url, session)
        page = (await got(url, session, "/ui/services/app/shop.web"))[1]
        for there in ('id="log"', 'id="log-search"', 'id="log-pause"'):
            assert there in page
        assert 'id="log"' not in (await got(url, session, "/ui/services/gateway/envoy"))[1], "no pods of a service"
        async with session.get(f"{url}/ui/live", params={"path": "/services/app/shop.web"}) as stream:
            async with asyncio.timeout(10):
                while not (line := (await stream.content.readline()).decode()).startswith('data: {"lines"'):
                    pass
            assert json.loads(line.removeprefix("data: "))["lines"][0] == ["app.shop.web.0", "first"]
    async with shown() as (url, session):
        await signed_in(url, session)
        assert 'id="log"' not in (await got(url, session, "/ui/services/app/shop.web"))[1]


async def test_the_alerts_of_a_cluster_are_shown_and_silenced(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.shows(READY)
    cluster.reach.failed("cannot reach berlin: <script>", is_sure=True)
    await cluster.after(0)
    async with shown(cluster.alerts) as (url, session):
        await signed_in(url, session)
        status, page = await got(url, session, "/ui/alerts")
        assert status == 200
        assert "cluster berlin cannot be reached by its controller" in page
        assert "cannot reach berlin: &lt;script&gt;" in page
        assert "bateau controller" in page
        token = page.split('data-csrf="')[1].split('"')[0]
        asked = {"alert": "BateauClusterUnreachable", "for": "7200", "why": "a new switch"}
        async with session.post(f"{url}/ui/alerts/silence", params=asked, headers={"origin": url}) as answer:
            assert answer.status == 403, "a change needs the token of the page"
        headers = {"origin": url, CSRF_HEADER: token}
        async with session.post(f"{url}/ui/alerts/silence", params=asked, headers=headers) as answer:
            assert answer.status == 202
        assert "a new switch" in (await got(url, session, "/ui/alerts"))[1]
        async with session.post(f"{url}/ui/services/app/shop.web/restart", headers=headers) as answer:
            assert answer.status == 409
            assert "app/shop.web cannot be restarted from this page" in await answer.text()


async def test_a_page_of_another_origin_makes_no_link_and_silences_nothing(tmp_path: Path) -> None:
    """A browser sends a form to another origin without asking, but no header of its own."""
    cluster = Cluster(tmp_path)
    cluster.shows(READY)
    async with shown(cluster.alerts) as (url, session):
        async with session.post(url + LINKS) as answer:
            assert answer.status == 403
        asked = '{"alert": "BateauServiceDown", "seconds": 3600}'
        for path, header, status in (
            ("/-/v1/alerts/silence", {}, 403),
            ("/-/../-/v1/alerts/silence", {}, 403),
            ("//-/v1/alerts/silence", {}, 404),
            ("/-/v1/alerts/silence", {LINK_HEADER: "1"}, 200),
        ):
            async with session.post(url + path, data=asked, headers=header) as answer:
                assert answer.status == status, path
            assert len(cluster.alerts.board().silences) == (status == 200)
        assert (await got(url, session, "/-/v1/alerts"))[0] == 403
        async with session.options(
            url + LINKS,
            headers={"origin": "https://evil.example", "access-control-request-headers": LINK_HEADER},
        ) as answer:
            assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8082", "127.0.0.1.evil.example:8082", "10.0.0.1:8082"])
async def test_another_host_is_refused(host: str) -> None:
    async with shown() as (url, session):
        for path in ("/ui/", "/ui/assets/ui.css", "/"):
            assert (await got(url, session, path, host=host))[0] == 421
        async with session.post(url + LINKS, headers={LINK_HEADER: "1", "host": host}) as answer:
            assert answer.status == 421
