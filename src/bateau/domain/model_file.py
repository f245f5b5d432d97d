"""A model file on disk, and the properties in its header.

Made by sources; read by place (does it fit?), by render.process (how to start it) and by traffic (what clients learn).
"""

from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

ModelTask = Literal["generate", "embed", "rerank"]
"""The task of a model: generate text, turn text into a vector, or score documents for a query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelHeader:
    """The properties of a GGUF header that serving needs. Lengths are in tokens; the KV cache is sized for f16.

    `parameters` is the number of weights; `quantization` is its name, such as "Q4_K_M". None: not known.
    """

    architecture: str
    name: str | None
    context_length_trained: int | None
    kv_bytes_per_token: int | None
    chat_template: bool
    task: ModelTask
    parameters: int | None = None
    quantization: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """A GGUF file, in the cache or at a path of the user; `sha256` identifies its content."""

    reference: str
    path: PurePath
    size_bytes: int
    sha256: str | None
    header: ModelHeader


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a fetch has come. `bytes_total` is None if the server does not announce it."""

    reference: str
    bytes_done: int
    bytes_total: int | None
