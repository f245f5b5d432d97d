"""Say for each model of the catalogue if it is on this machine, and if it fits.

Called by wiring.changing.

Invariant: a model whose file is here fits if and only if the control plane would start it, by the same computation.
Held by tests/wiring/test_changing.py::test_a_model_fits_as_the_control_plane_places_it.
Invariant: nothing is fetched. Held by tests/sources/test_models.py.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Final

from bateau.control.path import understand
from bateau.domain.errors import BateauError
from bateau.domain.inventory import Machine
from bateau.domain.model_file import ModelFile
from bateau.domain.offered import Offered
from bateau.kit.quantity import approximate_bytes
from bateau.place import place
from bateau.place.capacity import OVERHEAD_BYTES, OVERHEAD_SHARE
from bateau.sources.catalogue import CatalogueEntry
from bateau.wiring.local import models

FRESH_S: Final = 4.0
_TEXT: Final = "apiVersion: bateau.dev/v1alpha1\nkind: Model\nmetadata: {name: model}\nspec: {source: %s}\n"


class OfferedModels:
    """The catalogue for one machine."""

    def __init__(self, directory: Path, environ: Mapping[str, str], machine: Callable[[], Machine]) -> None:
        self._models = models(directory, environ)
        self._machine = machine
        self._latest: tuple[Offered, ...] = ()
        self._looked_at = -FRESH_S

    async def now(self) -> Sequence[Offered]:
        """Return the models, in the order of the catalogue. They are looked for again after some seconds."""
        if time.monotonic() - self._looked_at >= FRESH_S:
            self._looked_at = time.monotonic()
            self._latest = await asyncio.to_thread(self._now)
        return self._latest

    def _now(self) -> tuple[Offered, ...]:
        machine = self._machine()
        return tuple(self._offered(each, machine) for each in self._models.catalogue())

    def _offered(self, entry: CatalogueEntry, machine: Machine) -> Offered:
        try:
            file = self._models.find(entry.name)
        except BateauError:
            file = None
        fits, says = _of_file(entry, file, machine) if file else _of_size(entry, machine)
        return Offered(
            name=entry.name,
            summary=entry.summary,
            licence=entry.licence,
            parameters=entry.parameters,
            context=entry.context,
            size_bytes=file.size_bytes if file else entry.size_bytes,
            here=file is not None,
            fits=fits,
            says=says,
        )


def _of_file(entry: CatalogueEntry, file: ModelFile, machine: Machine) -> tuple[bool | None, str]:
    release = understand({"model.yaml": _TEXT % entry.name}, today=date.max).release
    service = release.services[0]
    placed = place(release, {service.key: file}, machine)
    if refused := placed.refused.get(service.key):
        return False, f"{refused.says}; {refused.hint}" if refused.hint else refused.says
    needed = placed.capacities[service.key].memory_bytes
    if needed is None:
        return None, "its memory is not known: its file does not say the size of its cache"
    return True, f"needs about {approximate_bytes(needed)} of {approximate_bytes(machine.memory_bytes_total)}"


def _of_size(entry: CatalogueEntry, machine: Machine) -> tuple[bool | None, str]:
    if entry.size_bytes is None:
        return None, "its size is known once it is fetched"
    least = int(entry.size_bytes * (1 + OVERHEAD_SHARE) + OVERHEAD_BYTES)
    here = approximate_bytes(machine.memory_bytes_total)
    if least > machine.memory_bytes_total:
        return False, f"needs more than {approximate_bytes(least)}, but this machine has {here}"
    return None, f"needs {approximate_bytes(least)} and its context, of {here}; known once it is fetched"
