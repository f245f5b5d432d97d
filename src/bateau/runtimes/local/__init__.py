"""The local runtime: replicas as processes of this machine."""

from bateau.runtimes.local.logs import follow, tail
from bateau.runtimes.local.runtime import LocalRuntime

__all__ = ["LocalRuntime", "follow", "tail"]
