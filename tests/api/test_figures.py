"""The figures of the control API, and a control plane that has none."""

import asyncio
from pathlib import Path

import pytest

from bateau.api.client import ApiClient
from bateau.api.server import ApiServer
from bateau.control.snapshots import Snapshots
from bateau.domain.errors import ControlError
from bateau.domain.figures import Figures, ServiceFigures


class FixedMeter:
    """A meter that always has the same figures."""

    async def now(self) -> Figures:
        shop = ServiceFigures(seconds=30.0, requests_per_s=2.0, errors=0.5, memory_bytes=2**20, cpu_cores=0.25)
        return Figures(number=3, services={"app/shop": shop, "app/raw": ServiceFigures()})


def server_at(socket: Path, meter: FixedMeter | None) -> ApiServer:
    async def metrics() -> str:
        return ""

    return ApiServer(socket, snapshots=Snapshots(), metrics=metrics, stop=asyncio.Event(), meter=meter)


async def test_figures_that_are_not_known_are_null(folder: Path) -> None:
    server = server_at(folder / "c.sock", FixedMeter())
    await server.open()
    try:
        tree = await asyncio.to_thread(ApiClient(folder / "c.sock", instance="x").figures)
    finally:
        await server.close()
    unknown = dict.fromkeys(("requestsPerS", "errors", "latencySP95", "tokensPerS", "memoryBytes", "cpuCores"))
    raw = {"seconds": 0.0, "tokensMissing": False, **unknown}
    shop = {"seconds": 30.0, "requestsPerS": 2.0, "errors": 0.5, "memoryBytes": 2**20, "cpuCores": 0.25}
    assert tree == {"number": 3, "services": {"app/shop": {**raw, **shop}, "app/raw": raw}, "unmeasured": None}


async def test_a_control_plane_of_an_earlier_version_is_reported_as_one(folder: Path) -> None:
    server = server_at(folder / "c.sock", None)
    await server.open()
    try:
        with pytest.raises(ControlError, match="without the expected fields") as caught:
            await asyncio.to_thread(ApiClient(folder / "c.sock", instance="x").figures)
    finally:
        await server.close()
    assert "another version" in (caught.value.hint or "")
