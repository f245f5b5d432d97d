"""The local runtime: replicas as processes of this machine."""

from bateau.runtimes.local.instance import Instance
from bateau.runtimes.local.keeper import LocalKeeper
from bateau.runtimes.local.logs import LogFolder
from bateau.runtimes.local.runtime import LocalRuntime

__all__ = ["Instance", "LocalKeeper", "LocalRuntime", "LogFolder"]
