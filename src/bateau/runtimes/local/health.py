"""Turn the answers of probes into Starting, Ready, Unready, or the reason to restart.

Called by runtimes.local.supervisor. The supervisor owns the process, the prober and the clock.

Invariant: pure; time is an argument, in seconds of a monotonic clock. Held by tests/runtimes/test_health.py.
Invariant: a replica that does not answer while it uses a CPU is neither restarted nor taken out of traffic for
BUSY_S_MAX: its probe waits behind requests, and a restart would lose them all. Held by tests/runtimes/test_health.py.
Refused: separate readiness and liveness probes as in Kubernetes; they would ask the same question twice, and differ
only in the number of failures that they need.
"""

from bateau.domain.process import ProbePlan
from bateau.domain.replica import ReplicaState
from bateau.ports.probe import NO_ANSWER

STARTING_DELAY_S_MIN = 0.01
# The delay until a ready replica is noticed is at most this share of its start time.
STARTING_DELAY_SHARE = 0.03
STARTING_TIMEOUT_S_MIN = 0.05
# One missing answer may be due to a busy core; two in a row take a replica out of traffic.
SILENCES_UNTIL_UNREADY = 2
# From this share of one core on, a silent replica counts as working. Timers and heartbeats of an idle replica need far
# less; a busy replica gets far more, even on a machine that is short of CPUs.
BUSY_SHARE = 0.05
# After this time, an endless loop is more likely than work.
BUSY_S_MAX = 300.0


class Health:
    """The condition of one process, from its start or adoption to its end."""

    def __init__(self, plan: ProbePlan, *, started: float, was_ready: bool = False) -> None:
        self._plan = plan
        self._started = started
        self._failures = 0
        self._silent_since: float | None = None
        self._last_silence: tuple[float, float | None] | None = None  # its time, and the CPU seconds used until then
        self.state = ReplicaState.READY if was_ready else ReplicaState.STARTING
        self.reason: str | None = None
        self.restart_reason: str | None = None

    def delay_s(self, now: float) -> float:
        """Return the seconds until the next probe: a short delay while starting, then the interval of the plan."""
        if self.state is not ReplicaState.STARTING:
            return self._plan.interval_s
        waited = now - self._started
        left = max(0.0, self._plan.start_timeout_s - waited)
        return min(self._plan.interval_s, max(STARTING_DELAY_S_MIN, waited * STARTING_DELAY_SHARE), left)

    def timeout_s(self, now: float) -> float:
        """Return the timeout of the next probe in seconds. It never exceeds the rest of the start timeout."""
        if self.state is not ReplicaState.STARTING:
            return self._plan.timeout_s
        left = self._plan.start_timeout_s - (now - self._started)
        return min(self._plan.timeout_s, max(STARTING_TIMEOUT_S_MIN, left))

    def note(self, answer: str | None, now: float, *, cpu_s: float | None = None) -> None:
        """Apply an answer: None for a healthy one, else one line. `cpu_s` is the CPU time used until now, if known."""
        if answer is None:
            self.state, self.reason, self._failures = ReplicaState.READY, None, 0
            self._silent_since = self._last_silence = None
            return
        self.reason = answer
        if self.state is ReplicaState.STARTING:
            if now - self._started >= self._plan.start_timeout_s:
                self.restart_reason = f"not ready within {self._plan.start_timeout_s:g} s: {answer}"
            return
        if answer.startswith(NO_ANSWER):
            if self._works(now, cpu_s):
                self.reason = f"busy: {answer}"
                return
        else:
            self._silent_since = self._last_silence = None
        self._failures += 1
        if not answer.startswith(NO_ANSWER) or self._failures >= SILENCES_UNTIL_UNREADY:
            self.state = ReplicaState.UNREADY
        if self._failures >= self._plan.failure_threshold:
            times = "1 probe" if self._failures == 1 else f"{self._failures} probes in a row"
            self.state = ReplicaState.UNREADY
            self.restart_reason = f"failed {times}: {answer}"

    def _works(self, now: float, cpu_s: float | None) -> bool:
        """Whether a silent replica has used a CPU since its last missing answer, and is not silent for too long."""
        before, self._last_silence = self._last_silence, (now, cpu_s)
        if self._silent_since is None or before is None:
            self._silent_since = now
            return False
        if cpu_s is None or before[1] is None or now - self._silent_since > BUSY_S_MAX:
            return False
        return cpu_s - before[1] >= BUSY_SHARE * (now - before[0])
