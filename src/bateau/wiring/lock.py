"""The lock of an instance, by which it has one control plane.

Called by wiring.cluster_alerts and wiring.local.

Invariant: two control planes never look after the same instance: a lock that the kernel releases stands between them.
Where the file of the lock was removed, it is created again, or the control plane that finds another in its place exits.
Held by tests/wiring/test_instance.py::test_an_instance_has_one_control_plane and
tests/wiring/test_instance.py::test_a_removed_lock_is_noticed_and_so_is_a_control_plane_that_has_taken_it.
"""

import fcntl
import os
from typing import IO

from bateau.domain.errors import ControlError
from bateau.wiring.listen import free_port
from bateau.wiring.paths import Paths, make


def take_lock(where: Paths, *, instance: str, says: str) -> IO[str]:
    """Become the control plane of the instance. Raises ControlError if it already has one.

    `says` is added to the process id, for whoever finds it locked.
    """
    make(where)
    lock = where.control_lock.open("a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        who = lock.read().strip()
        lock.close()
        raise ControlError(
            f"{instance} is up already{f' ({who})' if who else ''}",
            hint="see `bateau status`, stop it with `bateau down`, or start another instance: "
            f"bateau up --name other --listen 127.0.0.1:{free_port()}",
        ) from None
    lock.seek(0)
    lock.truncate()
    lock.write(f"pid {os.getpid()}, {says}")
    lock.flush()
    return lock


def is_removed(lock: IO[str], where: Paths) -> bool:
    """Whether the file of a lock was removed, so that another control plane could take a new one."""
    try:
        return not os.path.samestat(os.fstat(lock.fileno()), where.control_lock.stat())
    except OSError:
        return True
