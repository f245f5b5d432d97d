"""Find a running instance.

Called by the commands that ask one.
"""

import os

from bateau.api.client import ApiClient
from bateau.wiring.paths import Paths, paths


def instance_paths(name: str) -> Paths:
    """Return the directories of an instance."""
    return paths(name, os.environ)


def client(name: str) -> ApiClient:
    """Return a client of the instance's control plane."""
    return ApiClient(instance_paths(name).control_socket, instance=name)
