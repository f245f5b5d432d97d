"""How many more replicas of each model fit on a machine, and why not one more.

Called by ui.pages.machines_page and wiring.machine_reports.

Invariant: it is the answer of `place`: that many more get no error and no warning there, and one more does. Held by
tests/place/test_room.py::test_room_is_the_answer_of_place.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bateau.domain.inventory import Machine
from bateau.domain.model_file import ModelFile
from bateau.domain.release import Release
from bateau.kit.quantity import approximate_bytes
from bateau.place.capacity import place


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How many `more` replicas of a model fit; None if that is not known. `says` is why not one more."""

    more: int | None
    says: str


def rooms(release: Release, files: Mapping[str, ModelFile], machine: Machine) -> Mapping[str, Room]:
    """Return the room for each llama.cpp model whose file is on this machine, by service key."""
    placement, total = place(release, files, machine), machine.memory_bytes_total
    sizes = {key: each.memory_bytes for key, each in placement.capacities.items()}
    replicas = {str(service.key): service.replicas for service in release.services}
    needed = sum((size or 0) * replicas[key] for key, size in sizes.items() if key not in placement.refused)
    free = max(0, total - needed)
    found: dict[str, Room] = {}
    for key, size in sizes.items():
        if refused := placement.refused.get(key):
            found[key] = Room(more=0, says=refused.says)
        elif size is None:
            found[key] = Room(more=None, says="the header of its file does not say how much memory it needs")
        else:
            says = f"the next one needs about {approximate_bytes(size)}, and {approximate_bytes(free)} are free"
            found[key] = Room(more=free // size, says=says)
    return found
