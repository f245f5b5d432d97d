"""Records are read back exactly as they were written, or not at all."""

from pathlib import Path

import pytest

from bateau.domain.errors import ReplicaError
from bateau.domain.process import ProbePlan, ProbeTarget, ProcessTemplate
from bateau.domain.workload import Resources
from bateau.runtimes.local.records import DamagedRecordError, Identity, Record, Records

FULL = Record(
    id="model.chat.0",
    service="model/chat",
    template=ProcessTemplate(
        revision="r1",
        command=("serve", "--socket", "{socket}"),
        environment={"KEY": "value"},
        working_directory="/srv",
        port_names=("http",),
        uses_socket=True,
        probe=ProbePlan(target=ProbeTarget(kind="http", address="{socket}", path="/health"), interval_s=1.5),
        resources=Resources(cpu=0.5, memory=1024),
        stop_timeout_s=3.0,
    ),
    process=Identity(pid=4711, start_ticks=99, boot_id="b"),
    ports={"http": 20001},
    restarts=3,
    quick_failures=2,
    since=1.5,
    ready=True,
    stopping=True,
    cgroup="/sys/fs/cgroup/x",
)
BARE = Record(id="app.a.0", service="app/a", template=ProcessTemplate(revision="r1", command=("true",)))


@pytest.mark.parametrize("record", [FULL, BARE], ids=["full", "bare"])
def test_a_record_comes_back_as_it_was_written(tmp_path: Path, record: Record) -> None:
    records = Records(tmp_path)
    records.write(BARE)
    records.write(record)
    path = tmp_path / f"{record.id}.json"
    assert records.read(path) == record
    assert path.stat().st_mode & 0o777 == 0o600
    assert {file.suffix for file in tmp_path.iterdir()} == {".json"}


def test_every_cut_of_a_record_is_seen_as_damage(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.write(FULL)
    path = tmp_path / "model.chat.0.json"
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedRecordError):
            records.read(path)


def test_a_record_under_the_name_of_another_is_damage(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.write(BARE)
    (tmp_path / "app.a.0.json").rename(tmp_path / "app.b.0.json")
    with pytest.raises(DamagedRecordError, match=r"it describes replica app\.a\.0"):
        records.read(tmp_path / "app.b.0.json")


def test_a_folder_that_is_gone_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ReplicaError) as refusal:
        Records(tmp_path / "gone").write(BARE)
    path = tmp_path / "gone" / "app.a.0.json"
    assert (
        refusal.value.message == f"the record of replica app.a.0 cannot be written to {path}: No such file or directory"
    )
