"""The documents of one namespace of a cluster, as the texts that a reconciler reads.

Called by wiring.controller.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from bateau.runtimes.kubernetes.documents import Documents


@dataclass(frozen=True, slots=True)
class StoredTexts:
    """The documents of one namespace; satisfies `bateau.ports.texts.Texts`."""

    documents: Documents
    namespace: str

    @property
    def place(self) -> str:
        """The namespace."""
        return f"namespace {self.namespace}"

    @property
    def commit_id(self) -> None:
        """None: documents in a cluster have no commit."""
        return

    def read(self) -> Mapping[str, str]:
        """Return the text of each document. Raises ControlError if some may be missing."""
        return self.documents.texts(self.namespace)

    def changes(self) -> AsyncIterator[None]:
        """Yield whenever a text may have changed."""
        return self.documents.changes(self.namespace)
