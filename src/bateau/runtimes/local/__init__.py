"""The local runtime: replicas as processes of this machine."""

from bateau.runtimes.local.keeper import ProcessKeeper
from bateau.runtimes.local.logs import LogFolder
from bateau.runtimes.local.runtime import LocalRuntime

__all__ = ["LocalRuntime", "LogFolder", "ProcessKeeper"]
