"""The port of a cache of results, by a digest of their inputs. Satisfied by store.memo.MemoFile."""

from collections.abc import Iterable, Mapping
from typing import Protocol


class Memo(Protocol):
    """Bytes by key. A missing result is computed again, so no call ever fails."""

    def get(self, keys: Iterable[bytes]) -> Mapping[bytes, bytes]:
        """Return the stored values of `keys`."""
        ...

    def put(self, entries: Mapping[bytes, bytes]) -> None:
        """Store `entries`."""
        ...
