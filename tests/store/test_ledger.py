"""The ledger's files: rotated without loss, read with damage, summed without making unknown into zero."""

import gzip
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bateau.domain.used import Used, summary
from bateau.store.ledger import KEPT_DAYS, Ledger

DAY = 86_400.0
NOW = 1_800_000_000.0


def line(at: float = NOW, **more: object) -> str:
    tree = {"v": "1", "time": f"{at:.3f}", "id": "r", "path": "/v1/chat/completions", "status": 200, **more}
    return json.dumps(tree) + "\n"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "usage")
    made.open()
    return made


def all_of(ledger: Ledger) -> list[Used]:
    return list(ledger.read(since=0, until=1e12))


def answering(*, answers: bool = True) -> tuple[Callable[[], Awaitable[bool]], list[None]]:
    asked: list[None] = []

    async def reopen() -> bool:
        asked.append(None)
        return answers

    return reopen, asked


def test_a_damaged_line_is_counted_and_all_others_are_read(ledger: Ledger) -> None:
    damaged = [
        "{\n",
        "\n",
        "[]\n",
        '{"v": "3", "time": "1"}\n',
        '{"v": "1", "time": "x"}\n',
        '{"v": "1"}\n',
        "\x00\xff\n",
    ]
    ledger.path.write_text(line() + "".join(damaged) + line() + '{"v": "1", "ti')
    assert len(all_of(ledger)) == 2
    assert ledger.damaged == len(damaged) + 1


def test_only_its_user_reads_it(ledger: Ledger) -> None:
    assert ledger.path.stat().st_mode & 0o777 == 0o600
    assert ledger.path.parent.stat().st_mode & 0o777 == 0o700


async def test_a_day_old_file_is_rotated_compressed_and_read(ledger: Ledger) -> None:
    ledger.path.write_text(line(NOW - DAY - 1, key="old"))
    reopen, asked = answering()
    await ledger.keep(reopen, now=NOW - 2)
    assert (asked, ledger.path.stat().st_size > 0) == ([], True)
    await ledger.keep(reopen, now=NOW)
    assert len(asked) == 1
    with ledger.path.open("a") as file:
        file.write(line(NOW, key="new"))
    assert [used.key for used in all_of(ledger)] == ["old", "new"]
    (packed,) = ledger.path.parent.glob("requests-*.jsonl.gz")
    assert packed.stat().st_mode & 0o777 == 0o600
    assert not list(ledger.path.parent.glob("requests-*.jsonl"))


async def test_an_interrupted_rotation_loses_nothing(ledger: Ledger) -> None:
    ledger.path.write_text(line(NOW - 2 * DAY, key="old"))
    reopen, _ = answering(answers=False)
    await ledger.keep(reopen, now=NOW)
    (renamed,) = ledger.path.parent.glob("requests-*.jsonl")
    with renamed.open("a") as file:  # a writer that has not reopened its file yet
        file.write(line(NOW, key="late"))
    await ledger.keep(reopen, now=NOW + 100)
    assert renamed.exists()
    assert [used.key for used in all_of(ledger)] == ["old", "late"]
    # Killed after the compressed file was made, before the other one was removed: each line is read once.
    renamed.with_name(f"{renamed.name}.gz").write_bytes(b"\x1f\x8b")
    assert [used.key for used in all_of(ledger)] == ["old", "late"]
    reopen, _ = answering()
    await ledger.keep(reopen, now=NOW + 200)
    assert not renamed.exists()
    assert [used.key for used in all_of(ledger)] == ["old", "late"]


def test_a_damaged_archive_is_counted_and_all_others_are_read(ledger: Ledger) -> None:
    good, bad = (ledger.path.parent / f"requests-2027010{day}T000000.jsonl.gz" for day in (1, 2))
    good.write_bytes(gzip.compress(line(key="good").encode()))
    for damaged in (gzip.compress(line().encode() * 100)[:40], b"no archive", b"\x1f\x8b\x08\x00"):
        bad.write_bytes(damaged)
        assert [used.key for used in all_of(ledger) if used.key] == ["good"]
        assert ledger.damaged == 1


async def test_old_files_are_removed_and_a_removed_file_is_made_again(ledger: Ledger) -> None:
    old = ledger.path.parent / "requests-20200101T000000.jsonl.gz"
    kept = ledger.path.parent / "requests-20200102T000000.jsonl.gz"
    for path, days in ((old, KEPT_DAYS + 1), (kept, KEPT_DAYS - 1)):
        path.write_bytes(b"")
        os.utime(path, (NOW - days * DAY, NOW - days * DAY))
    ledger.path.unlink()
    reopen, asked = answering()
    await ledger.keep(reopen, now=NOW)
    assert (old.exists(), kept.exists(), ledger.path.exists(), len(asked)) == (False, True, True, 1)


@pytest.mark.parametrize(
    "damage",
    [
        *({"time": text} for text in ("nan", "inf", "-1", "1e30", "")),
        {"duration_ms": 10**15},
    ],
)
def test_a_line_of_an_impossible_time_is_damaged(ledger: Ledger, damage: dict[str, Any]) -> None:
    ledger.path.write_text(line(**damage) + line())
    assert len(all_of(ledger)) == 1
    assert ledger.damaged == 1


def test_a_line_of_any_content_ends_no_reading(ledger: Ledger) -> None:
    ledger.path.write_text("[" * 10**5 + "\n" + line())
    assert len(all_of(ledger)) == 1


@pytest.mark.parametrize("number", [-5, 1e999, float("nan"), 1e300, "-5"])
def test_a_number_of_tokens_that_no_answer_can_have_is_not_known(ledger: Ledger, number: object) -> None:
    ledger.path.write_text(line(prompt_tokens=number, completion_tokens=7))
    (used,) = all_of(ledger)
    assert (used.tokens_in, used.tokens_out) == (None, 7)


def test_a_time_is_from_its_begin_to_before_its_end(ledger: Ledger) -> None:
    ledger.path.write_text("".join(line(at, key=str(at)) for at in (1.0, 2.0, 3.0)))
    assert [used.key for used in ledger.read(since=2.0, until=3.0)] == ["2.0"]


def test_unknown_tokens_are_not_zero(ledger: Ledger) -> None:
    ledger.path.write_text(
        line(key="a", prompt_tokens=10, completion_tokens=0)
        + line(key="a", flags="DC")
        + line(key="a", status=429)
        + line(key="b", prompt_tokens=5)
        + line(status=401, model="-unknown-")
    )
    found = summary(all_of(ledger), "key", owners={})
    assert list(found.by) == ["(no key)", "a", "b"]
    a = found.by["a"].sum
    assert (a.requests, a.errors, a.uncounted, a.tokens_in, a.tokens_out) == (3, 1, 1, 10, 0)
    assert found.by["b"].sum.uncounted == 0
    assert (found.total.sum.requests, found.total.sum.errors) == (5, 2)


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("owner", ["(no key)", "(unknown)", "ada"]),
        ("model", ["(no model)", "chat"]),
        ("day", ["2027-01-15", "2027-01-16"]),
        ("hour", ["2027-01-15T08:00Z", "2027-01-15T09:00Z", "2027-01-16T08:00Z"]),
    ],
)
def test_requests_are_summed_by(ledger: Ledger, by: str, groups: list[str]) -> None:
    ledger.path.write_text(
        line(NOW, key="ci", model="chat") + line(NOW + 3600, key="gone", model="-unknown-") + line(NOW + DAY)
    )
    found = summary(all_of(ledger), by, owners={"ci": "ada"})  # pyright: ignore[reportArgumentType]
    assert list(found.by) == groups
    assert sum(each.sum.requests for each in found.by.values()) == found.total.sum.requests == 3


def test_the_owner_of_a_token_is_that_of_its_line(ledger: Ledger) -> None:
    cut = {"v": "begun-1", "time": f"{NOW + 9:.3f}", "id": "cut", "path": "/x", "replica": "r", "key": "jwt:corp:ada"}
    ledger.path.write_text(
        line(NOW, key="jwt:corp:ada", owner="ada@old.example") + line(NOW, key="ci")
        + line(NOW + 1, key="jwt:corp:ada", owner="ada@new.example") + json.dumps(cut) + "\n"
    )  # fmt: skip
    requests = [*all_of(ledger), *ledger.cut(before=NOW + 10)]
    found = summary(requests, "owner", owners={"ci": "me"})
    assert {owner: each.sum.requests for owner, each in found.by.items()} == {
        "ada@old.example": 1,
        "ada@new.example": 2,
        "me": 1,
    }


def begun(id_: str, at: float = NOW) -> str:
    tree = {"v": "begun-1", "time": f"{at:.3f}", "id": id_, "path": "/v1/completions", "replica": "r", "bytes_in": "70"}
    return json.dumps(tree) + "\n"


def test_a_request_that_has_begun_and_not_ended_is_cut_if_it_is_old_enough(ledger: Ledger) -> None:
    ledger.path.write_text(begun("a") + begun("b") + line(id="a") + begun("c", NOW + 60))
    assert [each.id for each in all_of(ledger)] == ["a"]
    assert ledger.damaged == 0
    (cut,) = ledger.cut(before=NOW + 30)
    assert (cut.id, cut.cut, cut.bytes_in, cut.replica, cut.status) == ("b", True, 70, "r", 0)
    assert {each.id for each in ledger.cut(before=NOW + 90)} == {"b", "c"}


def test_a_request_that_was_cut_before_the_time_of_interest_is_none_of_it(ledger: Ledger) -> None:
    ledger.path.write_text(begun("old", NOW - 60) + begun("new", NOW + 1))
    assert list(ledger.read(since=NOW, until=NOW + 60)) == []
    assert [each.id for each in ledger.cut(before=1e12)] == ["new"]


def test_the_time_in_a_queue_is_that_in_which_the_engine_did_not_work(ledger: Ledger) -> None:
    ledger.path.write_text(line(duration_ms=900, prompt_ms=100.4, predicted_ms=300) + line(duration_ms=900))
    assert [each.queue_ms for each in all_of(ledger)] == [500, None]


def test_what_chose_the_replica_is_known_only_for_models_with_affinity(ledger: Ledger) -> None:
    ledger.path.write_text(line(balanced_by="prefix") + line(balanced_by="requests") + line())
    assert [used.balanced_by for used in all_of(ledger)] == ["prefix", "requests", None]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ("cache_n=20 predicted_ms=9.75 predicted_n=4 prompt_ms=0.25 prompt_n=10", (30, 20, 4, 91, None, None)),
        ("completion_tokens=4 events=7 prompt_tokens=30 stop_reason=tool_calls", (30, None, 4, None, 7, "tool_calls")),
        ("completion_tokens=x prompt_tokens= events=1.x predicted_n", (None, None, None, None, None, None)),
        ("key=b status=500 prompt_tokens=1", (1, None, None, None, None, None)),
        ("", (None, None, None, None, None, None)),
        (7, (None, None, None, None, None, None)),
    ],
)
def test_what_an_answer_says_may_be_one_text(
    ledger: Ledger, counts: object, expected: tuple[int | str | None, ...]
) -> None:
    ledger.path.write_text(line(v="2", key="a", duration_ms=100, counts=counts, owner=""))
    (used,) = ledger.read(since=0, until=1e12)
    found = (used.tokens_in, used.tokens_cached, used.tokens_out, used.queue_ms, used.events, used.stop_reason)
    assert found == expected
    assert (used.key, used.status, used.owner) == ("a", 200, None)
