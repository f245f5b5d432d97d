"""The routes that list the models: to each key those that it may use.

Called by traffic.envoy.routes. Sources: "Models" of OpenAI's API reference; `meta` is llama.cpp's, with more about the
file.

Invariant: an unknown value of a file is left out, and is never 0. Held by
tests/traffic/test_routing.py::test_a_model_is_listed_with_its_file.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import quote

from bateau.domain.endpoint import Backend
from bateau.domain.model_file import ModelFile
from bateau.kit.json_value import ReadJson, ReadObject
from bateau.traffic.envoy.answers import answer, get, get_prefix
from bateau.traffic.envoy.api_paths import MODEL_LIST
from bateau.traffic.envoy.listed import HERE, of_all, of_one
from bateau.traffic.envoy.openai_errors import invalid_request

_NONE_HERE: Final = "The model does not exist. This key may use none of the models here."
_NOT_FOR_KEY: Final = "The model does not exist, or this key may not use it."


def model_list_routes(models: Mapping[str, Backend]) -> list[ReadObject]:
    """Return the Routes. `models` has every name by which a client may ask for a model."""
    entries = {name: _entry(name, model) for name, model in sorted(models.items())}
    texts = {name: json.dumps(entry, ensure_ascii=False) for name, entry in entries.items()}
    every = {
        **answer(get(MODEL_LIST), 200, _list([*entries.values()]), name="models"),
        **of_all(texts, status=200, body=_list([HERE]), none=_list([])),
    }
    named = {name: json.dumps(json.dumps(name))[1:-1] for name in entries}
    says = f"The model does not exist. Models here: {HERE}."
    unknown = {
        **answer(get_prefix(f"{MODEL_LIST}/"), 404, no_such_model(list(entries)), name="unknown"),
        **of_all(named, status=404, body=_absent(says), none=_absent(_NONE_HERE)),
    }
    return [every, *_each(entries), unknown]


def _each(entries: Mapping[str, ReadObject]) -> Iterator[ReadObject]:
    for name, entry in entries.items():
        for spelling in dict.fromkeys((name, quote(name))):  # some clients quote a colon, others do not
            found = answer(get(f"{MODEL_LIST}/{spelling}"), 200, entry, name="models")
            yield {**found, **of_one(name, none=_absent(_NOT_FOR_KEY))}


def no_such_model(names: Sequence[str]) -> ReadObject:
    """Return the error for a model that does not exist, with the names of those that do."""
    return _absent(f"The model does not exist. {there_is(names)}")


def there_is(names: Sequence[str]) -> str:
    """Return the names of the models as a sentence."""
    return f"Models here: {', '.join(json.dumps(name) for name in names)}." if names else "No model is served here."


def _absent(says: str) -> ReadObject:
    return invalid_request(says, code="model_not_found", param="model")


def _list(entries: Sequence[ReadJson]) -> ReadObject:
    return {"object": "list", "data": list(entries)}


def _entry(name: str, model: Backend) -> ReadObject:
    # Clients require this integer. OpenAI-compatible servers use 0 for an unknown time.
    entry: ReadObject = {"id": name, "object": "model", "created": model.created or 0, "owned_by": "bateau"}
    if model.task:
        entry = {**entry, "task": model.task}
    if model.file:
        entry = {**entry, "meta": _meta(model.file)}
    if model.generation is None:
        return entry
    # As in llama.cpp's own list of models that may sleep.
    if model.hold:
        return {**entry, "status": {"value": "sleeping", "says": model.hold.says}}
    ready = any(not endpoint.draining for endpoint in model.endpoints)
    status: ReadObject = {"value": "loaded" if ready else "loading"}
    if model.idle_after_s is not None:
        status = {**status, "idle_after": model.idle_after_s}
    return {**entry, "status": status}


def _meta(file: ModelFile) -> ReadObject:
    header = file.header
    known: Mapping[str, ReadJson] = {
        "size": file.size_bytes,
        "sha256": file.sha256,
        "format": "gguf",
        "architecture": header.architecture,
        "n_params": header.parameters,
        "ftype": header.quantization,
        "n_ctx_train": header.context_length_trained,
    }
    return {name: value for name, value in known.items() if value is not None}
