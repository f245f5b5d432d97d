"""Counters of the ledger across control planes that are killed: exact, and never lower than they were."""

import errno
import json
import logging
import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from bateau.domain.api_key import ApiKey
from bateau.domain.usage_counters import OTHER, SERIES_MAX, Series
from bateau.domain.used import Sum
from bateau.store.ledger import Ledger
from bateau.store.state_file import StateFile
from bateau.wiring.keys import Keys
from bateau.wiring.usage import Owners
from bateau.wiring.usage_counters import KeptCounters
from wiring.fed import Fed

DAY = 86_400.0


class Instance:
    """The files that outlive a control plane, and its counters."""

    def __init__(self, base: Path) -> None:
        self.ledger = Ledger(base / "usage")
        self.ledger.open()
        self.keys = Keys("test", {"XDG_STATE_HOME": str(base), "HOME": str(base)})
        self.file = base / "usage.json"
        self.counters = self.started()

    def started(self) -> Fed[KeptCounters]:
        return Fed(self.ledger, KeptCounters(self.ledger, StateFile(self.file), Owners(self.keys)))

    @property
    def shown(self) -> Mapping[Series, Sum]:
        return self.counters.consumer.shown

    def write(self, count: int, key: str = "ci") -> None:
        line = {"v": "1", "time": "1800000000.000", "key": key, "model": "chat", "status": 200, "prompt_tokens": 3}
        with self.ledger.path.open("a") as file:
            file.writelines(json.dumps({**line, "id": str(random.random())}) + "\n" for _ in range(count))  # noqa: S311

    def requests(self) -> int:
        return sum(each.requests for each in self.shown.values())


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return Instance(tmp_path)


async def answered() -> bool:
    return True


@pytest.mark.parametrize("seed", range(10))
async def test_no_kill_loses_a_request_or_counts_it_twice(
    instance: Instance, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KeptCounters, "lines_max", 7)
    rng = random.Random(seed)  # noqa: S311 - no secret
    written = shown = 0
    now = 1_800_000_000.0
    instance.counters.turn(now)
    for _ in range(200):
        now += rng.choice([0.5, 3.0])
        match rng.randrange(8):
            case 0 | 1 | 2:
                count = rng.randrange(20)
                instance.write(count)
                written += count
            case 3:
                instance.counters = instance.started()  # the one before was killed: nobody has closed it
            case 4 if rng.random() < 0.3:
                now += DAY + 1
                await instance.ledger.keep(answered, now=now)
            case _:
                instance.counters.turn(now)
                if instance.shown:
                    assert shown <= instance.requests() <= written
                    shown = instance.requests()
    while instance.requests() < written:
        before = instance.requests()
        instance.counters.turn(now)
        assert instance.requests() > before or not instance.shown
    assert instance.requests() == written


def test_nothing_is_shown_before_all_that_was_shown_is_counted_again(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KeptCounters, "lines_max", 4)
    instance.counters.turn(0.0)
    instance.write(9)
    for _ in range(3):
        instance.counters.turn(1.0)
    assert instance.requests() == 9
    instance.counters = instance.started()
    instance.counters.turn(2.0)
    assert instance.shown == {}
    for _ in range(2):
        instance.counters.turn(2.0)
    assert instance.requests() == 9


def test_an_orderly_end_writes_the_sums(instance: Instance) -> None:
    instance.counters.turn(0.0)
    instance.write(3)
    instance.counters.turn(1.0)
    assert json.loads(instance.file.read_text())["series"] == []
    instance.counters.close()
    assert json.loads(instance.file.read_text())["series"][0]["requests"] == 3


def test_counters_begin_with_the_first_control_plane_that_has_them(instance: Instance) -> None:
    instance.write(5)
    instance.counters.turn(0.0)
    instance.write(2)
    instance.counters = instance.started()
    instance.counters.turn(1.0)
    assert instance.requests() == 2


def test_keys_have_the_owners_that_they_have_now(instance: Instance) -> None:
    instance.counters.turn(0.0)
    instance.keys.create(ApiKey(name="ci", owner="ada", created_at=0.0))
    instance.write(1)
    instance.counters.turn(1.0)
    instance.keys.revoke("ci")
    instance.write(1)
    instance.write(1, key="gone")
    instance.counters.turn(2.0)
    assert {series: each.requests for series, each in instance.shown.items()} == {
        Series("ci", "ada", "chat"): 2,
        Series("gone", "(unknown)", "chat"): 1,
    }


def test_revoked_keys_make_room_and_a_kill_at_that_moment_counts_nothing_twice(instance: Instance) -> None:
    instance.counters.turn(0.0)
    instance.keys.create(ApiKey(name="ci", owner="ada", created_at=0.0))
    for number in range(SERIES_MAX):
        instance.write(1, key=f"gone-{number}")
    instance.write(4)
    instance.counters.turn(1.0)  # full, and then only the key that exists is left
    assert {series: each.requests for series, each in instance.shown.items()} == {OTHER: 4}
    instance.write(2)
    instance.counters.turn(2.0)
    instance.counters = instance.started()
    instance.counters.turn(3.0)
    assert {series: each.requests for series, each in instance.shown.items()} == {
        OTHER: 4,
        Series("ci", "ada", "chat"): 2,
    }


def test_a_full_disk_stops_no_counting(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    instance.counters.turn(0.0)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    instance.write(3)
    instance.counters.turn(10.0)
    assert "No space left on device" in caplog.text
    instance.write(3)
    instance.counters.turn(11.0)
    assert instance.requests() == 6
    monkeypatch.undo()
    instance.counters = instance.started()
    instance.counters.turn(20.0)
    assert instance.requests() == 6


def test_a_damaged_position_counts_nothing_twice(instance: Instance, caplog: pytest.LogCaptureFixture) -> None:
    instance.counters.turn(0.0)
    instance.write(3)
    instance.counters.turn(1.0)
    instance.counters.close()
    tree = json.loads(instance.file.read_text())
    instance.file.write_text(json.dumps({**tree, "position": dict.fromkeys(tree["position"], -7)}))
    instance.counters = instance.started()
    instance.counters.turn(2.0)
    assert instance.requests() == 3
    assert "is damaged" in caplog.text
    instance.write(1)
    instance.counters.turn(3.0)
    assert instance.requests() == 4


@pytest.mark.parametrize("content", ["{", '{"format": 99}', '{"format": 2, "usage_format": 9}'])
def test_a_file_that_cannot_be_read_is_reported_and_the_counters_begin_again(
    instance: Instance, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    instance.file.write_text(content)
    instance.write(3)
    with caplog.at_level(logging.ERROR):
        instance.counters.turn(0.0)
    assert caplog.records
    instance.write(1)
    instance.counters.turn(1.0)
    assert instance.requests() == 1
