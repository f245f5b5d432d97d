"""The network to a cluster is cut: its controller names the cause, delivers it once, and disturbs no other.

The API server, Alertmanager and the browser are real.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from playwright.async_api import Page, async_playwright, expect

from bateau.domain.status import ServiceState
from bateau.runtimes.kubernetes import access_of
from bateau.ui.cluster_dashboard import LINK_HEADER, LINKS
from bateau.wiring.cluster_alerts import ClusterAlerts
from bateau.wiring.cluster_view import ClusterView
from bateau.wiring.controller_settings import ControllerSettings
from bateau.wiring.controller_terms import Terms
from bateau.wiring.listen import free_port
from bateau.wiring.this_process import SystemClock
from local.alert_peers import Hook, alertmanager, webhook
from runtimes.kubernetes.rig import Bench, bench, eventually
from runtimes.kubernetes.wire import wired
from ui.chromium import ARGUMENTS, installed
from wiring.test_controller import APPS, app, controller, defined

ALERT = "BateauClusterUnreachable"
WAIT_MS = 30_000


@dataclass
class Beside:
    """A controller of another cluster in this process, from `running` to its end."""

    terms: Terms
    alerts: ClusterAlerts
    view: ClusterView

    def reasons(self) -> list[str]:
        return [each.event.reason for each in self.view.events()]

    def states(self) -> dict[str, ServiceState]:
        latest = self.view.snapshots.latest
        return {each.service: each.state for each in latest.services} if latest else {}


@contextlib.asynccontextmanager
async def running(at: Bench, kubeconfig: Path, folder: Path) -> AsyncGenerator[Beside]:
    settings = ControllerSettings(
        access=access_of([kubeconfig]),
        namespace=at.namespace,
        directory=folder / "own",
        identity="beside",
        environ={"XDG_STATE_HOME": str(folder / "state")},
    )
    terms = Terms(settings)
    alerts = ClusterAlerts(terms, (), clock=SystemClock(), url="http://127.0.0.1:8082")
    view = ClusterView(terms, alerts.events)
    alerts.watch(lambda: view.snapshots.latest, lambda: view.release)
    tasks = [asyncio.create_task(each) for each in (terms.run(), view.run(), *alerts.chores())]
    try:
        yield Beside(terms, alerts, view)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        alerts.close()


async def until(done: Callable[[], object]) -> None:
    async def asked() -> bool:
        return bool(done())

    await eventually(asked)


def told(hook: Hook, *states: str) -> Callable[[], Awaitable[bool]]:
    async def asked() -> bool:
        return hook.told(ALERT) == [*states]

    return asked


def reach_events(state: Path) -> list[tuple[str, str]]:
    """Return the events about the way to the cluster that are on disk: reason and sentence."""
    (path,) = state.glob("bateau/controllers/*/timeline.sqlite")
    with contextlib.closing(sqlite3.connect(path)) as store:
        rows = store.execute("select reason, says from events where reason like 'Cluster%' order by number")
        return [*rows]


@contextlib.asynccontextmanager
async def visited(port: int) -> AsyncGenerator[Page]:
    """Open the dashboard of a controller in a browser."""
    url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session, session.post(url + LINKS, headers={LINK_HEADER: "1"}) as answer:
        path = (await answer.json())["path"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=installed()[0], args=ARGUMENTS)
        page = await browser.new_page()
        await page.goto(url + path)
        await page.locator("#live[data-state=live]").wait_for()
        yield page
        await browser.close()


async def test_a_cluster_that_is_cut_is_told_with_its_cause_and_disturbs_no_other(
    control_plane: Path, tmp_path: Path
) -> None:
    port, state = free_port(), tmp_path / "state"
    (tmp_path / "beside").mkdir()
    with webhook() as hook, alertmanager(tmp_path) as manager:
        async with (
            defined(control_plane) as at,
            wired(control_plane, tmp_path, context="berlin") as (berlin, cut),
            wired(control_plane, tmp_path, context="paris") as (paris, silent),
            controller(
                at,
                f"--dashboard=127.0.0.1:{port}",
                f"--gateway=127.0.0.1:{free_port()}",
                KUBECONFIG=str(berlin),
                XDG_STATE_HOME=str(state),
                BATEAU_ALERTS_WEBHOOK_URL=hook.url,
                BATEAU_ALERTS_ALERTMANAGER_URL=manager.url,
            ) as process,
            bench(control_plane) as other,
            running(other, paris, tmp_path / "beside") as beside,
        ):
            await at.api.apply(APPS, app(at, "web"))
            service = f"app/{at.namespace}.web"
            await until(lambda: beside.states().get(service))
            await until(lambda: service in process.ask("/metrics")[1])
            async with visited(port) as page:
                await expect(page.get_by_text(f"{at.namespace}.web", exact=True)).to_be_visible(timeout=WAIT_MS)
                cut.cut()
                await expect(page.get_by_text("berlin cannot be reached").first).to_be_visible(timeout=WAIT_MS)
                await expect(page.get_by_text("Unknown").first).to_be_visible(timeout=WAIT_MS)
                await page.goto(f"http://127.0.0.1:{port}/ui/alerts")
                await expect(
                    page.get_by_text("cluster berlin cannot be reached by its controller").first
                ).to_be_visible(timeout=WAIT_MS)
                await eventually(told(hook, "firing"))
                await eventually(told(manager.hook, "firing"))
                assert "Connect call failed" in hook.cause(ALERT)
                ((reason, says),) = reach_events(state)
                assert reason == "ClusterUnreachable"
                assert says.startswith("cluster berlin cannot be reached: cannot reach berlin at https://127.0.0.1:")
                # Meanwhile the other one acts, and the lease of this one is lost.
                await until(lambda: "bateau_controller_leads 0" in process.ask("/metrics")[1])
                assert process.ask("/readyz")[0] == 503
                await asyncio.sleep(0.5)
                assert f'service="{service}",state="Unknown"' in process.ask("/metrics")[1]
                assert "ClusterUnreachable" not in beside.reasons()
                assert beside.states()[service] is not ServiceState.UNKNOWN
                await cut.mend()
                silent.hush()
                await expect(page.get_by_text("Nothing is wrong")).to_be_visible(timeout=WAIT_MS)
            await eventually(told(hook, "firing", "resolved"))
            await eventually(told(manager.hook, "firing", "resolved"))
            await until(lambda: "bateau_controller_leads 1" in process.ask("/metrics")[1])
            await until(lambda: process.ask("/readyz")[0] == 200)
            assert [reason for reason, *_ in reach_events(state)] == ["ClusterUnreachable", "ClusterReachable"]
            await until(lambda: "ClusterUnreachable" in beside.reasons())
            assert "no answer within 5 s" in (beside.terms.reach.unreachable or "")
            await until(lambda: set(beside.states().values()) == {ServiceState.UNKNOWN})
            await silent.mend()
            await until(lambda: "ClusterReachable" in beside.reasons())
            assert "Removed" not in beside.reasons()
            code, log = process.end()
            assert code == 0
            assert hook.url not in log
            assert "Traceback" not in log
