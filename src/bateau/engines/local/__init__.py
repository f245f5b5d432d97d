"""The local engine: replicas as processes of this machine."""

from bateau.engines.local.engine import LocalEngine
from bateau.engines.local.logs import follow, tail

__all__ = ["LocalEngine", "follow", "tail"]
