"""The clocks that this process reads, and the user that runs it.

Called by cli.controller and wiring. Apart from the modules that put control planes together, so that a controller of a
cluster loads nothing of those of a machine.
"""

import getpass
import os
import time


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since the epoch."""
        return time.time()


def user() -> str:
    """Return the name of the user; in a container the user ID may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
