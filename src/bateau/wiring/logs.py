"""Log files of replicas, for the faces."""

from bateau.engines.local.logs import follow, tail

__all__ = ["follow", "tail"]
