"""Answer a key with the models that it may use, and no others.

Called by traffic.envoy.key_filters and traffic.envoy.model_list.

The routes know the models, and a file the keys. So a new key has its own list while no control plane runs, and the
control API is not asked. The filter is off, but for the routes of these answers.

Invariant: a key learns from no list which models there are that it may not use. Held by
tests/traffic/test_listed.py::test_a_key_sees_the_models_that_it_may_use.
Refused: the answer of the control API. `/v1/models` is what clients ask first, and has to work without it.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Final

from bateau.domain.api_key import ALL_MODELS, ApiKey
from bateau.kit.json_value import ReadObject
from bateau.traffic.envoy.lua import quoted, script

LISTED: Final = "bateau.listed"
HERE: Final = "\0"  # where the models stand in a body: as an item of a list, or in a text
_ENABLED: Final[ReadObject] = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}}


def listing(keys: Iterable[ApiKey]) -> str:
    """Return the code of the filter in Lua, with the globs of each key."""
    lines = (f"{key.name} {ALL_MODELS if ALL_MODELS in key.models else ' '.join(key.models)}\n" for key in keys)
    code = "".join(lines)
    return f"local KEYS = {quoted(chr(10) + code)}\n{script('listed.lua')}"


def of_one(name: str, *, none: ReadObject) -> ReadObject:
    """Return the part of a route about one model: a key that may not use it is answered with `none`."""
    return _for_keys({"name": name, "none": _text(none)})


def of_all(items: Mapping[str, str], *, status: int, body: ReadObject, none: ReadObject) -> ReadObject:
    """Return the part of a route about all models: `items` has the text of each, which stand at HERE in `body`.

    A key that may use none of them is answered with `none`.
    """
    text, item = _text(body), _text(HERE)
    before, _, after = text.partition(item if item in text else item[1:-1])
    told = {"names": list(items), "items": list(items.values()), "before": before, "after": after, "none": _text(none)}
    return _for_keys({**told, "status": str(status)})


def _for_keys(told: ReadObject) -> ReadObject:
    return {"typed_per_filter_config": {LISTED: _ENABLED}, "metadata": {"filter_metadata": {LISTED: told}}}


def _text(body: object) -> str:
    return json.dumps(body, ensure_ascii=False)
