"""Define the directories and files of an instance.

Called by cli and wiring.
Source: XDG Base Directory Specification 0.8.

Invariant: sockets are in a directory that only its user can enter. Held by
tests/wiring/test_instance.py::test_sockets_lie_where_only_their_user_can_go.
"""

import fcntl
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bateau.domain.errors import ControlError

# A socket's path has at most 107 bytes, and the id of a replica up to 40 of them in practice.
_RUNTIME_BYTES_MAX = 60


@dataclass(frozen=True, slots=True)
class Paths:
    """The directories of one instance. `state` outlives a reboot, `runtime` need not, `cache` may be deleted."""

    state: Path
    runtime: Path
    cache: Path

    @property
    def control_socket(self) -> Path:
        """Socket of the control API."""
        return self.runtime / "control.sock"

    @property
    def control_lock(self) -> Path:
        """Lock that one control plane holds."""
        return self.runtime / "control.lock"

    @property
    def control_log(self) -> Path:
        """The log of the control plane."""
        return self.state / "control.log"

    @property
    def records(self) -> Path:
        """The directory with a record of each replica, which is removed when the replica has ended."""
        return self.state / "replicas"

    @property
    def logs(self) -> Path:
        """The directory with the output of the replicas."""
        return self.state / "logs"


def paths(instance: str, environ: Mapping[str, str]) -> Paths:
    """Return the directories of `instance`; none is created yet.

    Sockets and locks are kept beside the state and not in XDG_RUNTIME_DIR, which is removed when its user logs out
    while the instance may run on. Where that path is too long for a socket, and for an instance that an earlier release
    has left there, the runtime directory is used.
    """
    home = Path(environ.get("HOME") or Path.home())
    state = Path(environ.get("XDG_STATE_HOME") or home / ".local/state") / "bateau" / instance
    cache = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
    runtime_dir = environ.get("XDG_RUNTIME_DIR")
    # Without a session manager there is no runtime directory; a private one below the temporary directory does.
    base = Path(runtime_dir) / "bateau" if runtime_dir else Path(tempfile.gettempdir()) / f"bateau-{os.getuid()}"
    lasting, passing = state / "run", base / instance
    fits = len(os.fsencode(lasting)) <= _RUNTIME_BYTES_MAX and not (passing / "control.lock").exists()
    return Paths(state=state, runtime=lasting if fits else passing, cache=cache / "bateau")


def make(found: Paths) -> None:
    """Create the directories of an instance. Raises ControlError if that fails."""
    for path, variable in (
        (found.runtime.parent, "XDG_RUNTIME_DIR"),
        (found.runtime, "XDG_RUNTIME_DIR"),
        (found.state, "XDG_STATE_HOME"),
        (found.cache, "XDG_CACHE_HOME"),
    ):
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            probe = path / f".writable-{os.getpid()}"
            probe.touch()
            probe.unlink(missing_ok=True)
        except OSError as error:
            raise ControlError(
                f"cannot write to {path}: {error.strerror}",
                hint=f"set {variable} to a writable directory",
            ) from error
    owner = found.runtime.parent.stat()
    if owner.st_uid != os.getuid() or stat.S_IMODE(owner.st_mode) & 0o077:
        if owner.st_uid == os.getuid():
            found.runtime.parent.chmod(0o700)
            return
        raise ControlError(
            f"{found.runtime.parent} belongs to another user, so sockets in it are not safe",
            hint="set XDG_RUNTIME_DIR to a directory of your own",
        )


def lock_holder(found: Paths) -> int | None:
    """Return the pid of the control plane that holds the instance's lock, or None."""
    try:
        with found.control_lock.open("r", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                words = lock.read().replace(",", " ").split()
                return int(words[1]) if len(words) > 1 and words[1].isdecimal() else 0
    except OSError:
        return None
    return None
