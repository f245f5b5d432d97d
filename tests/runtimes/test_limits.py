"""Limits by cgroup v2, checked on a folder with the kernel's file names, and the reported reason without cgroups."""

import os
from pathlib import Path

import pytest

from bateau.domain.workload import Resources
from bateau.runtimes.local.limits import ENFORCED, Cgroups, Leaf

HALF_GIB = 2**29


def test_limits_are_written_to_a_leaf_of_the_replica(tmp_path: Path) -> None:
    leaf = Cgroups(tmp_path).prepare("model.chat.0", Resources(cpu=1.5, memory=HALF_GIB))
    assert isinstance(leaf, Leaf)
    assert leaf.path == tmp_path / "bateau-model.chat.0"
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory +cpu"
    assert (leaf.path / "memory.max").read_text() == str(HALF_GIB)
    assert (leaf.path / "cpu.max").read_text() == "150000 100000"
    assert leaf.attach(4711) == ENFORCED
    assert (leaf.path / "cgroup.procs").read_text() == "4711"


def test_swap_is_closed_and_a_replica_dies_as_a_whole_where_the_kernel_can(tmp_path: Path) -> None:
    leaf = tmp_path / "bateau-a"
    leaf.mkdir()
    for file in ("memory.swap.max", "memory.oom.group"):
        (leaf / file).write_text("kernel default")
    Cgroups(tmp_path).prepare("a", Resources(memory=HALF_GIB))
    assert (leaf / "memory.swap.max").read_text() == "0"
    assert (leaf / "memory.oom.group").read_text() == "1"


def test_no_limits_need_no_leaf(tmp_path: Path) -> None:
    assert Cgroups(tmp_path).prepare("a", Resources()) is None
    assert list(tmp_path.iterdir()) == []


def test_kills_for_want_of_memory_are_counted(tmp_path: Path) -> None:
    leaf = Leaf(tmp_path)
    assert leaf.oom_kills() == 0
    (tmp_path / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    assert leaf.oom_kills() == 2


def test_an_empty_leaf_is_removed_and_a_busy_one_stays(tmp_path: Path) -> None:
    empty, busy = tmp_path / "empty", tmp_path / "busy"
    empty.mkdir()
    (busy / "below").mkdir(parents=True)
    Leaf(empty).remove()
    Leaf(busy).remove()
    assert (empty.exists(), busy.exists()) == (False, True)


@pytest.mark.parametrize(
    ("folders", "says"),
    [
        (["memory", "cpu"], "not enforced: this machine has cgroup v1, but Bateau needs cgroup v2"),
        ([], "not enforced: there is no cgroup v2 at {mount}"),
    ],
)
def test_without_cgroup_v2_it_is_said(tmp_path: Path, folders: list[str], says: str) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir()
    assert Cgroups(mount=tmp_path).prepare("a", Resources(cpu=1)) == says.format(mount=tmp_path)


def test_a_cgroup_that_is_not_ours_to_divide_is_named(tmp_path: Path) -> None:
    # As the kernel refuses: a folder in the place of the file cannot be written, and others' processes are in there.
    (tmp_path / "cgroup.subtree_control").mkdir()
    (tmp_path / "cgroup.procs").write_text(f"1\n{os.getpid()}\n")
    limits = Cgroups(tmp_path).prepare("a", Resources(memory=HALF_GIB))
    assert limits == f"not enforced: Bateau cannot divide the cgroup {tmp_path} (Is a directory)"
    assert not (tmp_path / "bateau-a").exists()


def test_a_cgroup_of_our_own_is_left_for_a_leaf_so_that_it_can_be_divided(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").mkdir()
    (tmp_path / "cgroup.procs").write_text(f"{os.getpid()}\n")
    Cgroups(tmp_path).prepare("a", Resources(memory=HALF_GIB))
    assert (tmp_path / "bateau-control" / "cgroup.procs").read_text() == str(os.getpid())


def test_a_process_that_cannot_be_moved_is_not_called_limited(tmp_path: Path) -> None:
    (tmp_path / "cgroup.procs").mkdir()
    says = f"not enforced: the process cannot be moved to {tmp_path}: Is a directory"
    assert Leaf(tmp_path).attach(4711) == says
