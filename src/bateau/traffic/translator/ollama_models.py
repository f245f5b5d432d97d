"""What Ollama's API says about models: their files, and whether they are loaded.

Called by traffic.translator.ollama. Pure. Source: Ollama's API reference; `format.HumanNumber` of its source.

Invariant: an unknown value is left out, and is never 0. Held by
tests/traffic/test_translator.py::test_models_are_described_by_their_files.
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any, Final

from bateau.kit.json_value import Json, JsonObject, object_at, text_at

# A model that does not sleep stays loaded.
_FOREVER: Final = "2999-12-31T23:59:59Z"
_UNITS: Final = ((1_000_000_000, "B", 1), (1_000_000, "M", 2), (1_000, "K", 0))


def shown_name(name: str) -> str:
    """Return the name of a model with a tag, which Ollama's always have.

    >>> shown_name("chat"), shown_name("llama3.2:1b")
    ('chat:latest', 'llama3.2:1b')
    """
    return name if ":" in name else f"{name}:latest"


def listed(entry: Json) -> JsonObject:
    """Return a model of a list, by its entry in the list of the gateway."""
    name = shown_name(text_at(entry, "id"))
    found: JsonObject = {"name": name, "model": name, **modified(entry), "digest": _digest(entry)}
    size = object_at(entry, "meta").get("size")
    return {**found, **({} if size is None else {"size": size}), "details": details(entry)}


def is_loaded(entry: Json) -> bool:
    """Return whether a model is ready. Those that may not sleep do not say it."""
    return text_at(entry, "status", "value") in ("", "loaded")


def running(entry: Json, now: float) -> JsonObject:
    """Return a model of the list of those that are loaded. `now` is in seconds since the epoch."""
    idle = object_at(entry, "status").get("idle_after")
    may_sleep = isinstance(idle, int | float)
    ends = _stamp(now + idle) if may_sleep else _FOREVER
    return {**listed(entry), "expires_at": ends}


def details(entry: Json) -> JsonObject:
    """Return the details of a model, as far as they are known."""
    meta = object_at(entry, "meta")
    found: JsonObject = {"parent_model": ""}
    if form := text_at(meta, "format"):
        found["format"] = form
    if family := text_at(meta, "architecture"):
        found |= {"family": family, "families": [family]}
    if isinstance(count := meta.get("n_params"), int):
        found["parameter_size"] = short(count)
    if kind := text_at(meta, "ftype"):
        found["quantization_level"] = kind
    return found


def information(entry: Json) -> dict[str, Any]:
    """Return the values of the header of the file that are known, by their names in it."""
    meta = object_at(entry, "meta")
    family = text_at(meta, "architecture")
    named = {
        "general.architecture": family or None,
        "general.parameter_count": meta.get("n_params"),
        f"{family}.context_length": meta.get("n_ctx_train"),
    }
    return {name: value for name, value in named.items() if value is not None}


def modified(entry: Json) -> JsonObject:
    """Return the part that says when a model was made. OpenAI's lists have 0 where that is not known."""
    found = entry.get("created") if isinstance(entry, dict) else None
    return {"modified_at": _stamp(found)} if isinstance(found, int) and found else {}


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat().replace("+00:00", "Z")


def short(count: int) -> str:
    """Return a number of parameters as Ollama writes it.

    >>> short(134_515_008), short(8_000_000_000), short(7_241_732_096), short(136_384), short(7)
    ('134.52M', '8B', '7.2B', '136K', '7')
    """
    for unit, name, digits in _UNITS:
        if count >= unit:
            return f"{count / unit:.{0 if count % unit == 0 else digits}f}{name}"
    return str(count)


def _digest(entry: Json) -> str:
    """Return the SHA-256 of the file, or of all known values: Ollama's command needs the first twelve characters."""
    known = text_at(entry, "meta", "sha256")
    return known or hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()
