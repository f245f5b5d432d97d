"""When the load of a plane is known."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from bateau.domain.endpoint import Traffic
from bateau.testing import ManualClock
from bateau.traffic.envoy import load as load_module
from bateau.traffic.envoy.load import Counts, LoadMeter

TRAFFIC = Traffic(measure_load=True)


@pytest.mark.parametrize("answers", [(False,), (True, False), (True, True)])
async def test_the_load_is_known_only_if_everything_is_acknowledged_before_and_after_the_count(
    answers: tuple[bool, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def counted(_admins: Mapping[str, Path]) -> Mapping[str, Counts]:
        return {"gateway.envoy.0": Counts({"model.chat.0": 3}, clients=3, waiting=0)}

    monkeypatch.setattr(load_module, "_in_flight", counted)
    asked = iter(answers)
    measured = asyncio.Event()
    meter = LoadMeter(ManualClock(), may_ask=lambda: next(asked), replacements=dict, on_change=measured.set)
    meter.follow(TRAFFIC, {})
    assert meter.load is None
    async with asyncio.timeout(5):
        await measured.wait()
    await meter.close()
    assert (meter.load is not None) is all(answers)


@pytest.mark.parametrize(
    ("counts", "known"),
    [
        (Counts({"model.chat.0": 0}, clients=1, waiting=0), False),
        (Counts({"model.chat.0": 1}, clients=1, waiting=0), True),
        (Counts({"model.chat.0": 0}, clients=1, waiting=1), True),
    ],
)
async def test_after_a_replacement_the_load_is_unknown_while_clients_have_more_requests_than_hosts(
    counts: Counts, *, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def counted(_admins: Mapping[str, Path]) -> Mapping[str, Counts]:
        return {"gateway.envoy.0": counts}

    monkeypatch.setattr(load_module, "_in_flight", counted)
    measured = asyncio.Event()
    meter = LoadMeter(
        ManualClock(), may_ask=lambda: True, replacements=lambda: {"gateway.envoy.0": 7}, on_change=measured.set
    )
    meter.follow(TRAFFIC, {})
    async with asyncio.timeout(5):
        await measured.wait()
    await meter.close()
    assert (meter.load is not None) is known
