"""The native filter: one dynamic module of Envoy for what a dozen of Envoy's own filters do otherwise.

Called by wiring.filters and wiring.keys.

It is a library in Rust (`native/gate`), which Envoy loads. Its configuration is one file beside those of the filters
that check keys, and is read and replaced in the same way. It refuses with the same status and the same response code
details as Envoy's own filters, so that `replies` has the text of every refusal.

Invariant: a damaged file that replaces a good one has no effect. Held by
tests/traffic/test_native.py::test_a_damaged_file_keeps_the_old_table.
Refused: a configuration for each route. The routes would have to name the library, and they are the same for both
chains.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from bateau.domain.api_key import ApiKey
from bateau.kit.json_value import ReadJson, ReadObject, array_at, is_object, text_at
from bateau.traffic.envoy.api_paths import (
    EVENTS,
    HEALTH,
    HOME,
    MODEL_PATHS,
    PATHS,
    ROLES,
    TRANSLATED,
    TRANSLATED_ROOT,
    UI,
    WEBHOOK,
)
from bateau.traffic.envoy.dynamic_module import module_config, text_config
from bateau.traffic.envoy.key_filters import GATE, file_response
from bateau.traffic.envoy.listener import INVALID_BODY, MISSING_MODEL

_FORMAT: Final = 1
_TYPE: Final = "type.googleapis.com/"
# As the routes disable Envoy's own filters. A translated request is asked a second time, and checked then.
EXCEPTIONS: Final[Sequence[ReadObject]] = (
    {"path": HEALTH, "without": ["key", "limits"]},
    {"path": HOME, "without": ["key", "limits"]},
    *({"path": path, "without": ["key", "limits", "model"]} for path in (WEBHOOK, EVENTS, UI)),
    {"prefix": f"{UI}/", "without": ["key", "limits", "model"]},
    *({"prefix": prefix, "without": ["limits", "model"]} for prefix in TRANSLATED),
    {"path": TRANSLATED_ROOT, "without": ["limits", "model"]},
)
Refused = Mapping[str, Mapping[str, float]]
NONE_REFUSED: Final[Refused] = {}


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The library of the native filter, and the ledger that it writes.

    With `refuses_unwritten`, requests to models are refused while the ledger cannot be written.
    """

    library: PurePath
    ledger: PurePath | None
    refuses_unwritten: bool = False


def gate_filter(gate: Gate, keys: Sequence[ApiKey] | None, refused: Refused) -> str:
    """Return the content of the filter's file.

    `keys` is None where no key is needed. `refused` is as for `budget_filter`.
    """
    return file_response(GATE, gate_filter_config(gate, keys, refused))


def gate_filter_config(gate: Gate, keys: Sequence[ApiKey] | None = None, refused: Refused = NONE_REFUSED) -> ReadObject:
    """Return the DynamicModuleFilter: see `gate_filter`."""
    tree = {
        "format": _FORMAT,
        "required": keys is not None,
        "ledger": None if gate.ledger is None else str(gate.ledger),
        "refuses_unwritten": gate.refuses_unwritten,
        "missing": MISSING_MODEL,
        "invalid": INVALID_BODY,
        "model_paths": list(MODEL_PATHS),
        "prompt_paths": list(PATHS["generate"]),
        "roles": {path: list(roles) for path, roles in ROLES.items()},
        "exceptions": list(EXCEPTIONS),
        "keys": [_key(key) for key in keys or ()],
        "refused": {budget: dict(sorted(names.items())) for budget, names in sorted(refused.items())},
    }
    return {
        "@type": _TYPE + "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
        "dynamic_module_config": module_config(gate.library),
        "filter_name": GATE,
        "filter_config": text_config(tree),
    }


def refused_in(content: str) -> Refused:
    """Return what the content of the filter's file refuses; nothing if it is damaged."""
    try:
        found: object = json.loads(content)
        resources = array_at(found, "resources") if is_object(found) else ()
        config = text_at(resources[0], "typed_config", "filter_config", "value") if resources else ""
        tree: object = json.loads(config) if config else {}
    except ValueError:
        return {}
    refused = tree.get("refused") if is_object(tree) else None
    return {
        budget: {name: until for name, until in names.items() if isinstance(until, int | float)}
        for budget, names in (refused.items() if is_object(refused) else ())
        if is_object(names)
    }


def _key(key: ApiKey) -> ReadObject:
    found: dict[str, ReadJson] = {"name": key.name, "sha256": key.sha256, "models": list(key.models)}
    if key.expires_at is not None:
        found["expires"] = key.expires_at
    if key.requests_per_minute is not None:
        found["requests_per_minute"] = key.requests_per_minute
    if key.concurrent is not None:
        found["concurrent"] = key.concurrent
    return found
