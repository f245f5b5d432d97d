"""What keeps results by a digest of everything they follow from. Satisfied by store.memo.MemoFile."""

from collections.abc import Iterable, Mapping
from typing import Protocol


class Memo(Protocol):
    """Bytes by key. What is lost or was never kept is worked out again, so that nothing here is ever an error."""

    def get(self, keys: Iterable[bytes]) -> Mapping[bytes, bytes]:
        """Return what is kept of `keys`."""
        ...

    def put(self, entries: Mapping[bytes, bytes]) -> None:
        """Keep `entries`."""
        ...
