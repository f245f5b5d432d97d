"""Find where the spec of a service names its foreign documents.

Called by sources.foreign.
"""

from pathlib import PurePosixPath

from bateau.domain.workload import Workload
from bateau.kit.position import Position, nearest


def named_at(service: Workload, path: str) -> Position:
    """Return the place that gave a field its value: that of a patch if one did, else the nearest in the document."""
    chain = service.origins.get(path, ())
    patched = next((origin.at for origin in reversed(chain) if origin.at), None)
    return patched or nearest(service.positions, path, service.position)


def directory_of(service: Workload) -> str:
    """Return the directory of the file of the spec; its paths are relative to it."""
    return str(PurePosixPath(service.position.file).parent)
