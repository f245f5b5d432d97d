"""A model on disk, and what its header says.

Made by sources; read by place (does it fit?) and by render.process (how to start it).
"""

from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

ModelTask = Literal["generate", "embed", "rerank"]
"""What a model does: generate text, turn a text into a vector, or score documents for a query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelHeader:
    """What a GGUF header says that serving needs. Lengths in tokens; the KV cache figure in bytes a token, f16."""

    architecture: str
    name: str | None
    context_length_trained: int | None
    kv_bytes_per_token: int | None
    chat_template: bool
    task: ModelTask


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """A GGUF file in the cache (or where the user has it), by content."""

    reference: str
    path: PurePath
    size_bytes: int
    sha256: str | None
    header: ModelHeader


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a fetch has come. `bytes_total` is None where the other side does not say."""

    reference: str
    bytes_done: int
    bytes_total: int | None
