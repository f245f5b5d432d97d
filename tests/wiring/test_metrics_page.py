"""The page for Prometheus when not all can be read: it counts the silence, and makes up no zeros."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bateau.control.loop import Control
from bateau.domain.event import Event
from bateau.domain.release import Release
from bateau.observe.events import CountedEvents
from bateau.store.ledger import Ledger
from bateau.traffic.envoy import EnvoyPlane, FrontSettings
from bateau.wiring.accounts import Accounts
from bateau.wiring.budgets import Budgets, FollowedRates
from bateau.wiring.envoy import envoy_binary
from bateau.wiring.filters import Filters
from bateau.wiring.keys import Keys
from bateau.wiring.metrics import metrics_page
from bateau.wiring.paths import paths
from bateau.wiring.sampling import Processes
from bateau.wiring.this_process import SystemClock
from bateau.wiring.usage import rate_file_of
from control.world import app, model, world


@pytest.fixture
def plane() -> Iterator[EnvoyPlane]:
    folder = Path(tempfile.mkdtemp(prefix="bt-"))
    yield EnvoyPlane(
        binary=envoy_binary(os.environ),
        cache=folder,
        runtime=folder,
        listen=("127.0.0.1", 9),
        control_socket=folder / "control.sock",
        front=FrontSettings(),
        concurrency=1,
        clock=SystemClock(),
    )
    shutil.rmtree(folder)


def accounts(base: Path, control: Control) -> Accounts:
    """Return the readers of a ledger that has nothing yet, and has not been read."""
    environ = {"XDG_STATE_HOME": str(base), "HOME": str(base)}
    keys, ledger = Keys("test", environ), Ledger(base)
    rates = FollowedRates(rate_file_of("test", environ), Release, began=0.0)
    budgets = Budgets(keys, ledger, rates, dict)
    return Accounts(paths("test", environ), ledger, keys, control=control, budgets=budgets, clock=SystemClock())


async def test_what_cannot_be_read_is_counted_and_left_out(plane: EnvoyPlane, tmp_path: Path) -> None:
    counted = CountedEvents()
    counted.emit(Event(when_s=0.0, subject="app/shop", reason="Ready"))
    async with world(chat=model(replicas=2), shop=app()) as w:
        await w.until(lambda: w.status.settled)
        page = await metrics_page(
            w.control,
            plane,
            counted,
            Filters(library=None, why="a test"),
            accounts(tmp_path, w.control),
            {},
            Processes(cpu_s={"app/shop": 1.5}),
        )
    families: dict[str, Any] = {family.name: family for family in text_string_to_metric_families(page)}
    # Envoy does not run, and the two replicas of the fake runtime have no sockets.
    assert [sample.value for sample in families["bateau_scrape_failures"].samples] == [3]
    assert not [name for name in families if name.startswith(("gen_ai", "envoy", "bateau_model", "bateau_requests"))]
    assert "bateau_service_memory_bytes" not in families, "it is not known"
    wanted = {s.labels["service"]: s.value for s in families["bateau_service_replicas_wanted"].samples}
    assert wanted == {"app/shop": 1, "model/chat": 2, "gateway/envoy": 1}
    used = {s.labels["service"]: s.value for s in families["bateau_service_cpu_seconds"].samples}
    assert used == {"app/shop": 1.5}
    events = {(s.labels["reason"], s.labels["type"]): s.value for s in families["bateau_events"].samples}
    assert events == {("Ready", "Normal"): 1}
    ready = {
        s.labels["replica"]
        for s in families["bateau_replica_state"].samples
        if s.labels["state"] == "Ready" and s.value
    }
    assert ready == {"app.shop.0", "gateway.envoy.0", "model.chat.0", "model.chat.1"}
