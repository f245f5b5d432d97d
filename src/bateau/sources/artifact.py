"""The result of resolving a reference: one file that can be downloaded.

Made by the resolvers (one module per scheme), read by download and models.

Invariant: `url` never contains credentials. They are in `headers`, which are never printed. Held by
tests/sources/test_faults.py::test_secrets_of_a_reference_show_nowhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One file on a server. `size_bytes` and `sha256` are None if the server does not promise them."""

    url: str
    file_name: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    size_bytes: int | None = None
    sha256: str | None = None
    is_wheel: bool = False  # the model is a member of this archive
