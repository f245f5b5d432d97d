"""Short names of models that are known to work.

Called by sources.models and wiring.offered_models. The names are in catalogue.yaml next to this file.

An entry promises no digest. The digest that its source promises is checked when the model is fetched.
"""

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """One short name. `size_bytes` is None if it was not measured; `context` is in tokens."""

    name: str
    source: str
    licence: str
    parameters: str
    size_bytes: int | None
    context: int
    summary: str


@cache
def catalogue() -> tuple[CatalogueEntry, ...]:
    """Return every entry, in the order of the file: the default model is first."""
    import yaml

    text = resources.files("bateau.sources").joinpath("catalogue.yaml").read_text(encoding="utf-8")
    entries: list[dict[str, Any]] = yaml.safe_load(text)
    return tuple(CatalogueEntry(**entry) for entry in entries)
