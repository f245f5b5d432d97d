"""The page for Prometheus when not all can be read: it counts the silence, and makes up no zeros."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bateau.domain.event import Event
from bateau.observe.events import CountedEvents
from bateau.traffic.envoy import EnvoyPlane, FrontFiles
from bateau.wiring.envoy import envoy_binary
from bateau.wiring.filters import Filters
from bateau.wiring.metrics import metrics_page
from bateau.wiring.this_process import SystemClock
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
        files=FrontFiles(),
        concurrency=1,
        clock=SystemClock(),
    )
    shutil.rmtree(folder)


async def test_what_cannot_be_read_is_counted_and_left_out(plane: EnvoyPlane) -> None:
    counted = CountedEvents()
    counted.emit(Event(when_s=0.0, subject="app/shop", reason="Ready"))
    async with world(chat=model(replicas=2), shop=app()) as w:
        await w.until(lambda: w.status.settled)
        page = await metrics_page(w.control, plane, counted, Filters(library=None, why="a test"), {})
    families: dict[str, Any] = {family.name: family for family in text_string_to_metric_families(page)}
    # Envoy does not run, and the two replicas of the fake runtime have no sockets.
    assert [sample.value for sample in families["bateau_scrape_failures"].samples] == [3]
    assert not [name for name in families if name.startswith(("gen_ai", "envoy", "bateau_model", "bateau_requests"))]
    events = {(s.labels["reason"], s.labels["type"]): s.value for s in families["bateau_events"].samples}
    assert events == {("Ready", "Normal"): 1}
    ready = {
        s.labels["replica"]
        for s in families["bateau_replica_state"].samples
        if s.labels["state"] == "Ready" and s.value
    }
    assert ready == {"app.shop.0", "gateway.envoy.0", "model.chat.0", "model.chat.1"}
