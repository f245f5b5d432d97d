"""Cores from two looks at the CPU time of processes."""

from bateau.domain.replica import Replica, ReplicaState
from bateau.wiring.cpu_use import CpuUse

WINDOW_S = 30.0


def replica(service: str, number: int, pid: int | None) -> Replica:
    identity = f"{service.replace('/', '.')}.{number}"
    return Replica(id=identity, service=service, revision="1", state=ReplicaState.READY, pid=pid, restarts=0)


def test_cores_are_the_mean_between_two_looks() -> None:
    use, replicas = CpuUse(WINDOW_S), [replica("app/a", 0, 1), replica("app/a", 1, 2), replica("app/b", 0, 3)]
    use.add(100.0, replicas, {1: 5.0, 2: 7.0, 3: 1.0})
    assert use.cores() == {}, "one look says nothing"
    use.add(110.0, replicas, {1: 10.0, 2: 12.0, 3: 1.0})
    assert use.cores() == {"app/a": 1.0, "app/b": 0.0}


def test_a_process_that_has_started_counts_in_whole_and_one_that_ended_no_longer() -> None:
    use = CpuUse(WINDOW_S)
    use.add(100.0, [replica("app/a", 0, 1), replica("app/b", 0, 9)], {1: 500.0, 9: 3.0})
    use.add(110.0, [replica("app/a", 0, 2)], {2: 5.0})
    assert use.cores() == {"app/a": 0.5}


def test_cpu_time_that_goes_back_gives_no_figure() -> None:
    use, replicas = CpuUse(WINDOW_S), [replica("app/a", 0, 1), replica("app/a", 1, 2)]
    use.add(100.0, replicas, {1: 5.0, 2: 5.0})
    use.add(110.0, replicas, {1: 2.0, 2: 6.0})
    assert use.cores() == {"app/a": None}
    use.add(111.0, replicas, {1: 8.0, 2: None})
    assert use.cores() == {"app/a": None}


def test_the_window_moves_and_begins_again_after_a_pause() -> None:
    use, replicas = CpuUse(WINDOW_S), [replica("app/a", 0, 1)]
    for second in range(0, 60, 2):
        use.add(float(second), replicas, {1: 10.0 if second < 10 else 10.0 + (second - 10)})
    assert use.cores() == {"app/a": 1.0}
    use.add(1000.0, replicas, {1: 60.0})
    assert use.cores() == {}
