"""Make sure that a control plane can open enough files: sockets, logs, and one file for each replica that it watches.

Called by cli.detached and cli.up. Source: getrlimit(2), RLIMIT_NOFILE.

Refused: raising it without a bound; where it is a billion, some programs take minutes to close every possible file.
"""

import resource
from typing import Final

from bateau.domain.errors import ControlError

OPEN_FILES_MIN: Final = 256  # the control channel alone crashes the process below 64
OPEN_FILES_WANTED: Final = 65_536


def raise_limit() -> None:
    """Raise the soft limit of open files towards the hard limit; replicas inherit it.

    Raises ControlError if the hard limit is too small.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES_WANTED)
    if most < OPEN_FILES_MIN:
        raise ControlError(
            f"this process may open {most} files only, and a control plane needs {OPEN_FILES_MIN}",
            hint=f"raise the hard limit: `ulimit -n {OPEN_FILES_WANTED}`, or LimitNOFILE= in a systemd unit",
        )
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
