"""When the load of a plane is known."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from bateau.domain.endpoint import Traffic
from bateau.testing import ManualClock
from bateau.traffic.envoy import load as load_module
from bateau.traffic.envoy.load import LoadMeter

TRAFFIC = Traffic(measure_load=True)


@pytest.mark.parametrize("answers", [(False,), (True, False), (True, True)])
async def test_the_load_is_known_only_if_everything_is_acknowledged_before_and_after_the_count(
    answers: tuple[bool, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def counted(_admins: Mapping[str, Path]) -> Mapping[str, int]:
        return {"model.chat.0": 3}

    monkeypatch.setattr(load_module, "_in_flight", counted)
    asked = iter(answers)
    measured = asyncio.Event()
    meter = LoadMeter(ManualClock(), may_ask=lambda: next(asked), on_change=measured.set)
    meter.follow(TRAFFIC, {})
    assert meter.load is None
    async with asyncio.timeout(5):
        await measured.wait()
    await meter.close()
    assert (meter.load is not None) is all(answers)
