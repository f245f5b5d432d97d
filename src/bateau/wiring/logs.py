"""Log files of replicas, for the faces."""

from bateau.runtimes.local.logs import follow, tail

__all__ = ["follow", "tail"]
