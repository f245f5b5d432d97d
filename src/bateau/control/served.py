"""Name in a bundle the models and the keys that the gateway of its cluster serves, and read them again. Pure.

Called by control.bundle, control.bundled and wiring.packing.

They are documents of one environment, with the fields of models that a gateway acts on, and no others.

Invariant: a gateway serves the same from a bundle as from the repository that it was made of. Held by
tests/control/test_bundled.py::test_a_bundle_names_the_models_and_the_keys_that_a_gateway_serves.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Final

import orjson

from bateau.control.path import understand
from bateau.domain.api_key import ApiKey
from bateau.domain.release import Release
from bateau.domain.spec import API_VERSION, Spec
from bateau.hydrate import Hydration
from bateau.kit.json_value import JsonObject, ReadObject, array_at, is_object, object_at, text_at
from bateau.specs.kinds.key import key_document, keys_of

FILE: Final = "gateway.json"
_FORMAT: Final = 1
_FIELDS: Final = (
    "affinity",
    "engine",
    "external",
    "fallback",
    "limits",
    "parallel",
    "scale",
    "servedNames",
    "source",
    "split",
    "timeout",
)


def served(
    specs: Sequence[Spec], environment: str | None, variables: Mapping[str, str] | None, *, namespace: str | None
) -> ReadObject:
    """Return the content of the file. Models with errors are left out: such a bundle is refused anyway."""
    hydration = Hydration(specs, environment, variables, namespace=namespace)
    models = [*_models(hydration, specs)]
    return {"format": _FORMAT, "documents": [*models, *map(key_document, keys_of(specs, environment))]}


def _models(hydration: Hydration, specs: Sequence[Spec]) -> Iterator[JsonObject]:
    for spec in specs:
        service = hydration.service(spec).service if spec.kind == "Model" else None
        if service:
            fields = {name: each for name, each in object_at(service.tree, "spec").items() if name in _FIELDS}
            yield {
                "apiVersion": API_VERSION,
                "kind": spec.kind,
                "metadata": {"name": spec.name},
                "spec": fields,
            }


def served_in(data: bytes) -> tuple[Release, tuple[ApiKey, ...]]:
    """Return the models and the keys of a file. Raises ValueError if it is damaged, or of another format."""
    tree: object = json.loads(data)
    if not is_object(tree) or tree.get("format") != _FORMAT:
        raise ValueError(f"{FILE} has another format than {_FORMAT}")
    texts = {
        f"{text_at(each, 'kind').lower()}/{text_at(each, 'metadata', 'name')}": orjson.dumps(each).decode()
        for each in array_at(tree, "documents")
    }
    # It has no policies, so the date does not matter.
    written = understand(texts, today=date.min)
    if written.wrong:
        raise ValueError(f"{FILE} has errors: {written.problems[0].says}")
    return written.release, written.keys
