"""Hold replicas to their limits of memory and CPU by cgroup v2, or say honestly why they are not held.

Called by runtimes.local.launch and runtimes.local.process_runner.
Source: Documentation/admin-guide/cgroup-v2.rst of the kernel.

Invariant: what is reported as enforced was accepted by the kernel for this very replica.
Refused: setrlimit in its place; RLIMIT_AS counts address space, which a server that maps its model exceeds at once.
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
        """Move a process in; return what to report: enforced, or why not."""
        try:
            (self.path / "cgroup.procs").write_text(str(pid), encoding="ascii")
        except OSError as error:
            return f"not enforced: the process cannot be moved to {self.path}: {error.strerror}"
        return ENFORCED

    def oom_kills(self) -> int:
        """Return how many times the kernel has killed for want of memory in here."""
        with contextlib.suppress(OSError, ValueError):
            for line in (self.path / "memory.events").read_text(encoding="ascii").splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
        return 0

    def remove(self) -> None:
        """Remove the cgroup of a replica of which nothing runs; one that the kernel still counts in stays."""
        with contextlib.suppress(OSError):
            self.path.rmdir()


class Cgroups:
    """The part of the cgroup tree in which this control plane may make leaves."""

    def __init__(self, root: Path | None = None, *, mount: Path = MOUNT) -> None:
        self._mount = mount
        self._root = root or _own_cgroup(mount)

    def prepare(self, name: str, resources: Resources) -> Leaf | str | None:
        """Return a leaf with the limits written, a line that says why there is none, or None for no limits."""
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
            return f"not enforced: cgroup {self._root} is not ours to divide ({error.strerror})"
        self._make_strict(leaf)
        return Leaf(leaf)

    def _enable(self, controllers: Sequence[str]) -> None:
        assert self._root is not None  # noqa: S101 - prepare has looked
        control = self._root / "cgroup.subtree_control"
        words = " ".join(f"+{controller}" for controller in dict.fromkeys(controllers))
        try:
            control.write_text(words, encoding="ascii")
        except OSError:
            # A cgroup that has processes of its own cannot be divided: if they are only we, we step aside.
            if (self._root / "cgroup.procs").read_text(encoding="ascii").split() != [str(os.getpid())]:
                raise
            own = self._root / OWN_LEAF
            own.mkdir(exist_ok=True)
            (own / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
            control.write_text(words, encoding="ascii")

    def _make_strict(self, leaf: Path) -> None:
        """As Kubernetes: no swap beyond the limit, and a replica out of memory dies as a whole. Not on every kernel."""
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
    """Return the cgroup v2 directory that we run in, or None without cgroup v2."""
    if not (mount / "cgroup.controllers").exists():
        return None
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            if line.startswith("0::"):
                own = mount / line.removeprefix("0::").lstrip("/")
                # After a step aside, a restart in the same place must not go one deeper.
                return own.parent if own.name == OWN_LEAF else own
    return None


def _why_no_root(mount: Path) -> str:
    if (mount / "memory").is_dir() or (mount / "cpu").is_dir():
        return "this machine has cgroup v1, Bateau uses cgroup v2"
    return f"there is no cgroup v2 at {mount}"
