"""How many more replicas fit: the same answer as that of `place`."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bateau.domain.inventory import Machine
from bateau.domain.model_file import ModelFile
from bateau.domain.release import Release
from bateau.domain.workload import Resources, Workload
from bateau.place import place, rooms
from bateau.testing import model_file
from place.test_capacity import GIB, MACHINE, service

MIB = 2**20


def fits(services: list[Workload], files: dict[str, ModelFile], machine: Machine, key: str, more: int) -> bool:
    """Whether place has nothing to say against that many more replicas."""
    changed = [replace(each, replicas=each.replicas + more) if each.key == key else each for each in services]
    found = place(Release(services=tuple(changed)), files, machine)
    return not found.refused and not [each for each in found.problems if "all models together" in each.says]


@settings(max_examples=200, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=4),
    replicas=st.lists(st.integers(0, 3), min_size=4, max_size=4),
    total=st.integers(256, 16 * 1024),
)
def test_room_is_the_answer_of_place(sizes: list[int], replicas: list[int], total: int) -> None:
    machine = Machine(cores=8, memory_bytes_total=total * MIB)
    services = [service(f"m{at}", replicas=replicas[at]) for at in range(len(sizes))]
    files: dict[str, ModelFile] = {
        f"model/m{at}": model_file("m", size_bytes=size * MIB) for at, size in enumerate(sizes)
    }
    now = place(Release(services=tuple(services)), files, machine)
    found = rooms(Release(services=tuple(services)), files, machine)
    assert set(found) == set(files)
    for key, room in found.items():
        if now.refused or room.more is None:
            continue
        if room.more:
            assert fits(services, files, machine, key, room.more)
        assert not fits(services, files, machine, key, room.more + 1)


def test_a_refused_model_has_no_room_and_says_why() -> None:
    small = replace(MACHINE, memory_bytes_total=GIB)
    found = rooms(Release(services=(service(),)), {"model/chat": model_file("m", size_bytes=4 * GIB)}, small)
    assert found["model/chat"].more == 0
    assert "a replica of chat needs about" in found["model/chat"].says


def test_a_model_whose_needs_are_not_known_has_unknown_room() -> None:
    found = rooms(Release(services=(service(),)), {"model/chat": model_file("m", kv_bytes_per_token=None)}, MACHINE)
    assert found["model/chat"].more is None


@pytest.mark.parametrize("limit", [None, 2 * GIB])
def test_services_without_a_file_here_have_no_answer(limit: int | None) -> None:
    assert rooms(Release(services=(service(resources=Resources(memory=limit)),)), {}, MACHINE) == {}
