"""The CPU cores that each service uses, from two looks at the CPU time of its processes.

Called by wiring.figures.

Invariant: CPU time that goes back, or that nobody can read, gives no figure. Held by
tests/wiring/test_cpu_use.py::test_cpu_time_that_goes_back_gives_no_figure.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from bateau.domain.replica import Replica

# By pid: its service, and its seconds of CPU time, None where they are not known.
Times = Mapping[int, tuple[str, float | None]]
_PLACES: Final = 2  # a hundredth of a core, so that a page is not made again for less


class CpuUse:
    """The latest looks, as many as fit into a window."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._seen: deque[tuple[float, Times]] = deque()

    def add(self, now: float, replicas: Sequence[Replica], seconds: Mapping[int, float | None]) -> None:
        """Add a look at the CPU time of replicas, by pid."""
        if self._seen and now - self._seen[-1][0] > self._window_s:
            self._seen.clear()  # nobody has watched meanwhile
        self._seen.append((now, {each.pid: (each.service, seconds.get(each.pid)) for each in replicas if each.pid}))
        while len(self._seen) > 2 and now - self._seen[1][0] >= self._window_s:  # noqa: PLR2004 - the first, the last
            self._seen.popleft()

    def cores(self) -> Mapping[str, float | None]:
        """Return the cores that each service has used on average in the window; None where that is not known."""
        if len(self._seen) < 2:  # noqa: PLR2004 - two looks
            return {}
        (began, before), (ended, after) = self._seen[0], self._seen[-1]
        found: dict[str, float | None] = {}
        for pid, (service, seconds) in after.items():
            # A process that was not there before has used all of its time since.
            _, earlier = before.get(pid, (service, 0.0))
            total = found.get(service, 0.0)
            is_known = None not in (total, seconds, earlier) and (seconds or 0) >= (earlier or 0)
            found[service] = (total or 0) + (seconds or 0) - (earlier or 0) if is_known else None
        return {
            service: None if used is None else round(used / (ended - began), _PLACES) for service, used in found.items()
        }
