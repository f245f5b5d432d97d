"""The store of revisions: what it remembers, what it survives, and what it says when it cannot."""

import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from bateau.domain.errors import ControlError
from bateau.domain.revision import Draft, Revision
from bateau.ports.revisions import Revisions
from bateau.store.revisions import RevisionStore, content_digest
from bateau.store.schema import STEPS, migrate

WRITER = Path(__file__).with_name("writer.py")


@pytest.fixture
def store(tmp_path: Path) -> Any:
    opened = RevisionStore(tmp_path / "state" / "revisions.sqlite")
    yield opened
    opened.close()


def draft(**changes: Any) -> Draft:
    plain: dict[str, Any] = {
        "environment": "prod",
        "content": {"shop.yaml": "kind: App\n"},
        "services": {"app/shop": "1"},
        "who": "ada",
        "when_s": 1000.0,
    }
    return Draft(**{**plain, **changes})


def test_the_store_satisfies_its_port(store: RevisionStore):
    port: Revisions = store
    assert port.history() == []
    assert port.get(1) is None


def test_a_revision_comes_back_as_it_was_recorded(store: RevisionStore):
    content = {"shop.yaml": "kind: App # ünï\n", "b.yaml": ""}
    recorded = store.record(draft(content=content, commit="ab" * 20))
    assert store.get(recorded.id) == recorded
    assert recorded.digest == content_digest(content)
    assert store.content(recorded.id) == content


def test_a_mark_changes_the_outcome_and_a_remark_does_not(store: RevisionStore):
    revision = store.record(draft())
    store.mark(revision.id, when_s=1001, says="applied", outcome="applied")
    store.mark(revision.id, when_s=1002, says="the probe of app/shop is slow")
    found = store.get(revision.id)
    assert found is not None
    assert found.outcome == "applied"
    assert [event.outcome for event in found.events] == ["planned", "applied", None]


def test_marking_what_is_not_there_is_refused(store: RevisionStore):
    with pytest.raises(ControlError, match="there is no revision 7"):
        store.mark(7, when_s=0, says="x")


def test_history_is_newest_first_and_by_environment_and_service(store: RevisionStore):
    for environment, services in (("dev", {"app/a": "1"}), ("prod", {"app/b": "1"}), ("prod", {"app/a": "2"})):
        store.record(draft(environment=environment, services=services))
    assert [each.id for each in store.history()] == [3, 2, 1]
    assert [each.id for each in store.history("prod")] == [3, 2]
    assert [each.id for each in store.history(service="app/a")] == [3, 1]
    assert [each.id for each in store.history(limit=1)] == [3]


def test_every_service_is_found_with_its_newest_revision_and_by_environment(store: RevisionStore):
    assert store.newest_of("prod") == {}
    for environment, services in (
        ("prod", {"app/a": "1", "app/b": "1"}),
        ("dev", {"app/a": "1", "app/c": "1"}),
        ("prod", {"app/a": "2"}),
        *[("prod", {"app/d": str(each)}) for each in range(60)],
    ):
        store.record(draft(environment=environment, services=services))
    assert store.newest_of("prod") == {"app/a": 3, "app/b": 1, "app/d": 63}
    assert store.newest_of("dev") == {"app/a": 2, "app/c": 2}


def test_the_last_healthy_revision_of_a_service_is_one_in_which_it_differed(store: RevisionStore):
    outcomes = [("good", "healthy"), ("other", "failed"), ("bad", "healthy"), ("bad", "healthy")]
    for digest, outcome in outcomes:
        store.record(draft(services={"app/shop": digest, "app/cart": "same"}, outcome=outcome))
    found = {
        "whole": store.last_healthy("prod"),
        "before": store.last_healthy("prod", before=4),
        "service": store.last_healthy("prod", service="app/shop", before=4),
        "unchanged": store.last_healthy("prod", service="app/cart", before=4),
        "unknown": store.last_healthy("prod", service="app/none"),
        "elsewhere": store.last_healthy("dev"),
    }
    assert {name: each and each.id for name, each in found.items()} == {
        "whole": 4,
        "before": 3,
        "service": 1,
        "unchanged": None,
        "unknown": None,
        "elsewhere": None,
    }


def test_equal_content_is_kept_once(store: RevisionStore, tmp_path: Path):
    for _ in range(5):
        store.record(draft())
    other = sqlite3.connect(tmp_path / "state" / "revisions.sqlite")
    assert other.execute("SELECT count(*) FROM contents").fetchone() == (1,)
    other.close()


def test_readers_in_other_threads_see_whole_revisions_while_one_writes(tmp_path: Path):
    path = tmp_path / "revisions.sqlite"
    writer, seen = RevisionStore(path), [0]
    wrong: list[Revision] = []
    done = threading.Event()

    def look() -> None:
        reader = RevisionStore(path)
        while not done.is_set():
            for each in reader.history(limit=5):
                seen[0] += 1
                if set(each.services) != {"app/a", "app/b"} or not each.events:
                    wrong.append(each)
        reader.close()

    readers = [threading.Thread(target=look) for _ in range(3)]
    for each in readers:
        each.start()
    for number in range(100):
        writer.record(draft(services={"app/a": str(number), "app/b": "1"}))
    done.set()
    for each in readers:
        each.join()
    writer.close()
    assert seen[0] > 0
    assert wrong == []


@pytest.mark.timeout(120)
def test_whatever_record_has_returned_survives_kill_9(tmp_path: Path):
    """Thirty writers over one file, each killed at a random moment of its work."""
    path = tmp_path / "revisions.sqlite"
    chance = random.Random(4)  # noqa: S311 - a seeded test
    recorded: dict[int, str] = {}
    marked: set[int] = set()
    for turn in range(30):
        process = subprocess.Popen(
            [sys.executable, str(WRITER), str(path), str(turn)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        time.sleep(chance.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines()
        process.stdout.close()
        process.wait()
        for line in lines:
            words = line.split()
            if len(words) == 3 and len(words[2]) == 64:
                recorded[int(words[1])] = words[2]
                marked |= {int(words[1])} if words[0] == "marked" else set()
        check = sqlite3.connect(path)
        assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert check.execute("PRAGMA foreign_key_check").fetchall() == []
        check.close()
    store = RevisionStore(path)
    kept = {each.id: each for each in store.history(limit=10**6)}
    assert len(recorded) >= 30
    assert {number: kept[number].digest for number in recorded} == recorded
    assert {number for number in marked if kept[number].outcome != "healthy"} == set()
    assert [each for each in kept.values() if content_digest(store.content(each.id)) != each.digest] == []
    store.close()


def test_a_file_without_room_is_said_and_keeps_what_it_has(tmp_path: Path):
    store = RevisionStore(tmp_path / "revisions.sqlite", bytes_max=100_000)
    first = store.record(draft())
    with pytest.raises(ControlError, match="has no space left") as caught:
        store.record(draft(content={"a": "".join(map(chr, range(200, 90_000, 1))).encode("utf-8", "ignore").hex()}))
    assert caught.value.hint == "free some space; nothing was half written"
    assert [each.id for each in store.history()] == [first.id]
    store.record(draft())
    store.close()


def test_a_disk_that_refuses_to_write_is_said(tmp_path: Path):
    """A limit on file sizes stands in for a full disk: the kernel refuses the write itself."""
    code = (
        "import sys, signal, os; from pathlib import Path; from bateau.domain.errors import ControlError\n"
        "from bateau.domain.revision import Draft; from bateau.store.revisions import RevisionStore\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "store = RevisionStore(Path(sys.argv[1]))\n"
        "content = {'a': os.urandom(400000).hex()}\n"
        "try: store.record(Draft(environment='p', content=content, services={}, who='a', when_s=0))\n"
        "except ControlError as error: print(error.message)\n"
        "store.close()\n"
    )

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "r.sqlite")],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=limit,
    )
    assert "cannot record a revision" in done.stdout
    assert "full" in done.stdout or "room" in done.stdout


def test_a_file_that_is_no_database_is_said(tmp_path: Path):
    (tmp_path / "text").write_bytes(b"not a database at all" * 100)
    with pytest.raises(ControlError, match="is not a database"):
        RevisionStore(tmp_path / "text")
    with pytest.raises(ControlError, match="cannot be opened"):
        RevisionStore(tmp_path)


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ControlError, match="cannot create") as caught:
        RevisionStore(tmp_path / "file" / "state" / "r.sqlite")
    assert caught.value.hint == "set XDG_STATE_HOME to a writable directory"


def test_a_place_that_cannot_be_written_is_said():
    # No user may make files there, not even root.
    with pytest.raises(ControlError, match=r"cannot"):
        RevisionStore(Path("/proc/self/revisions.sqlite"))


def test_damaged_content_is_not_handed_out(store: RevisionStore, tmp_path: Path):
    revision = store.record(draft())
    other = sqlite3.connect(tmp_path / "state" / "revisions.sqlite")
    other.execute("UPDATE contents SET packed = x'00'")
    other.commit()
    other.close()
    with pytest.raises(ControlError, match=r"revision 1 in .* is damaged"):
        store.content(revision.id)


def test_a_file_of_a_newer_bateau_is_left_alone(tmp_path: Path):
    path = tmp_path / "r.sqlite"
    RevisionStore(path).close()
    other = sqlite3.connect(path)
    other.execute("INSERT INTO migrations (version) VALUES (99)")
    other.commit()
    other.close()
    before = shutil.copy(path, tmp_path / "copy")
    with pytest.raises(ControlError, match="created by a newer Bateau"):
        RevisionStore(path)
    assert Path(before).read_bytes() == path.read_bytes()


def test_an_older_file_is_brought_up_to_date_in_one_go(tmp_path: Path):
    path = tmp_path / "r.sqlite"
    RevisionStore(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    broken = (*STEPS, ("CREATE TABLE more (id INTEGER)", "CREATE TABLE more (id INTEGER)"))
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        migrate(connection, file=str(path), steps=broken)
    assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'more'").fetchone() is None
    migrate(connection, file=str(path), steps=(*STEPS, ("CREATE TABLE more (id INTEGER)",)))
    assert connection.execute("SELECT max(version) FROM migrations").fetchone() == (len(STEPS) + 1,)
    connection.close()
