"""Enforce the memory and CPU limits of replicas by cgroup v2, or report why they are not enforced.

Called by runtimes.local.launch and runtimes.local.process_runner.
Source: Documentation/admin-guide/cgroup-v2.rst of the kernel.

Invariant: a limit is reported as enforced only if the kernel has accepted it for this replica. Held by
tests/runtimes/test_limits.py.
Refused: setrlimit instead; RLIMIT_AS counts address space, which a server that maps its model exceeds at once.
"""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bateau.domain.workload import Resources

MOUNT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
ENFORCED = "enforced by cgroup"
OWN_LEAF = "bateau-control"


@dataclass(frozen=True, slots=True)
class Leaf:
    """The cgroup of one replica."""

    path: Path

    def attach(self, pid: int) -> str:
        """Move a process into the cgroup. Return the text for the status: enforced, or the reason why not."""
        try:
            (self.path / "cgroup.procs").write_text(str(pid), encoding="ascii")
        except OSError as error:
            return f"not enforced: the process cannot be moved to {self.path}: {error.strerror}"
        return ENFORCED

    def oom_kills(self) -> int:
        """Return how many processes of this cgroup the kernel has killed because it was out of memory."""
        with contextlib.suppress(OSError, ValueError):
            for line in (self.path / "memory.events").read_text(encoding="ascii").splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
        return 0

    def remove(self) -> None:
        """Remove the cgroup of a replica that has ended. A cgroup that the kernel still uses stays."""
        with contextlib.suppress(OSError):
            self.path.rmdir()


class Cgroups:
    """The part of the cgroup tree in which this control plane may create leaves."""

    def __init__(self, root: Path | None = None, *, mount: Path = MOUNT) -> None:
        self._mount = mount
        self._root = root or _own_cgroup(mount)

    def prepare(self, name: str, resources: Resources) -> Leaf | str | None:
        """Return a leaf with the limits set, a line that says why there is no leaf, or None if no limit is wanted."""
        wanted = _settings(resources)
        if not wanted:
            return None
        if self._root is None:
            return f"not enforced: {_why_no_root(self._mount)}"
        leaf = self._root / f"bateau-{name}"
        try:
            self._enable([controller for controller, _, _ in wanted])
            leaf.mkdir(exist_ok=True)
            for _, file, value in wanted:
                (leaf / file).write_text(value, encoding="ascii")
        except OSError as error:
            with contextlib.suppress(OSError):
                leaf.rmdir()
            return f"not enforced: Bateau cannot divide the cgroup {self._root} ({error.strerror})"
        self._make_strict(leaf)
        return Leaf(leaf)

    def _enable(self, controllers: Sequence[str]) -> None:
        assert self._root is not None  # noqa: S101 - prepare has checked
        control = self._root / "cgroup.subtree_control"
        words = " ".join(f"+{controller}" for controller in dict.fromkeys(controllers))
        try:
            control.write_text(words, encoding="ascii")
        except OSError:
            # A cgroup with processes of its own cannot be divided. If this process is the only one, it moves to a leaf.
            if (self._root / "cgroup.procs").read_text(encoding="ascii").split() != [str(os.getpid())]:
                raise
            own = self._root / OWN_LEAF
            own.mkdir(exist_ok=True)
            (own / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
            control.write_text(words, encoding="ascii")

    def _make_strict(self, leaf: Path) -> None:
        """Set what Kubernetes sets, if the kernel has it: no extra swap, and out of memory ends the whole replica."""
        for file, value in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
            if (leaf / file).exists():
                with contextlib.suppress(OSError):
                    (leaf / file).write_text(value, encoding="ascii")


def _settings(resources: Resources) -> list[tuple[str, str, str]]:
    """Return (controller, file, value) for each limit."""
    settings: list[tuple[str, str, str]] = []
    if resources.memory is not None:
        settings.append(("memory", "memory.max", str(resources.memory)))
    if resources.cpu is not None:
        settings.append(("cpu", "cpu.max", f"{max(1000, round(resources.cpu * PERIOD_US))} {PERIOD_US}"))
    return settings


def _own_cgroup(mount: Path) -> Path | None:
    """Return the cgroup v2 directory of this process, or None without cgroup v2."""
    if not (mount / "cgroup.controllers").exists():
        return None
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            if line.startswith("0::"):
                own = mount / line.removeprefix("0::").lstrip("/")
                # A control plane that has moved to its own leaf must not nest deeper when it restarts there.
                return own.parent if own.name == OWN_LEAF else own
    return None


def _why_no_root(mount: Path) -> str:
    if (mount / "memory").is_dir() or (mount / "cpu").is_dir():
        return "this machine has cgroup v1, but Bateau needs cgroup v2"
    return f"there is no cgroup v2 at {mount}"
