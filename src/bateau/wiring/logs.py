"""The logs of an instance, for the faces: they outlive its control plane.

Called by cli.logs and ui.dashboard.
"""

from bateau.ports.logs import Logs
from bateau.runtimes.local import LogFolder
from bateau.wiring.paths import Paths


def logs_of(where: Paths) -> Logs:
    """Return the logs of an instance."""
    return LogFolder(where.logs)


def control_log_of(where: Paths) -> Logs:
    """Return the log of the control plane itself; its id is "control"."""
    return LogFolder(where.control_log.parent)
