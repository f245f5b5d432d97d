"""Find a running instance.

Called by cli.
"""

import os
import time
from typing import Final

from bateau.api.client import ApiClient
from bateau.api.trees import StatusTree
from bateau.domain.errors import ControlError
from bateau.wiring.paths import Paths, lock_holder, paths

_ANSWER_TIMEOUT_S: Final = 15.0
_POLL_S: Final = 0.05


def instance_paths(name: str) -> Paths:
    """Return the directories of an instance."""
    return paths(name, os.environ)


def client(name: str) -> ApiClient:
    """Return a client of the instance's control plane."""
    return ApiClient(instance_paths(name).control_socket, instance=name)


def status_of(name: str) -> StatusTree | None:
    """Return the status, or None if no control plane is running. Waits for one that is starting.

    Raises ControlError if it is running but does not answer.
    """
    deadline = time.monotonic() + _ANSWER_TIMEOUT_S
    while True:
        try:
            return client(name).status()
        except ControlError:
            holder = lock_holder(instance_paths(name))
            if holder is None:
                return None
            if time.monotonic() > deadline:
                raise ControlError(
                    f"the control plane (pid {holder}) is running but does not answer",
                    hint=f"run `kill -9 {holder}`, then `bateau down`, which stops its replicas",
                ) from None
            time.sleep(_POLL_S)
