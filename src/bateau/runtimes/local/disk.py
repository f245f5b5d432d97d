"""Report the disks that are full, or nearly so, among those that hold the files of an instance.

Called by runtimes.local.upkeep.

Invariant: a disk that cannot be measured is not reported as full. Held by tests/runtimes/test_full_disk.py.
"""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from bateau.kit.quantity import approximate_bytes

# Room for the rotation of one log, with some to spare: below this, logs grow until the disk is full.
FREE_BYTES_MIN = 16 * 2**20


def shortages(folders: Iterable[Path]) -> tuple[str, ...]:
    """Return one sentence for each disk with less than `FREE_BYTES_MIN` free, or without a free inode."""
    found: dict[Path, str] = {}
    for folder in folders:
        with contextlib.suppress(OSError):
            disk = _mount_point(folder)
            if disk not in found and (says := _shortage(disk, folder)):
                found[disk] = says
    return tuple(found.values())


def _shortage(disk: Path, folder: Path) -> str | None:
    space = os.statvfs(folder)
    free, size = space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize
    where = f"the disk at {disk}, which holds {folder},"
    # A file system without inodes of its own, such as btrfs, reports 0 of 0.
    if space.f_files and not space.f_favail:
        return f"{where} has no free inode: no file can be created"
    if not size or free >= FREE_BYTES_MIN:
        return None
    whole = free // 2**20 * 2**20  # in steps, so that a disk that fills up is not reported with every byte
    full, left = ("is full", "0 B") if free < space.f_frsize else ("is almost full", approximate_bytes(whole or free))
    return f"{where} {full}: {left} of {approximate_bytes(size)} are free"


def _mount_point(folder: Path) -> Path:
    path = folder.resolve()
    device = path.stat().st_dev
    while path != path.parent and path.parent.stat().st_dev == device:
        path = path.parent
    return path
