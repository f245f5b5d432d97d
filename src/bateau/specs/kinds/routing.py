"""Check the models that a Model names to answer its requests.

Called by specs.kinds.model.
"""

from collections.abc import Iterator
from typing import Final

from bateau.domain.problem import Problem
from bateau.domain.spec import Names, Spec
from bateau.kit.cel_text import OPEN
from bateau.kit.json_value import ReadObject, object_at
from bateau.kit.suggest import suggestion
from bateau.specs.kinds.wrong import at

_WHOLE: Final = 100
_PREFIX: Final = "model/"


def wrong_routing(spec: Spec, fields: ReadObject, names: Names) -> Iterator[Problem]:
    """Yield errors in `spec.fallback` and `spec.split`."""
    split = object_at(fields, "split")
    fallback = fields.get("fallback")
    named = {"spec.fallback": fallback} if fallback is not None else {}
    for path, name in (*named.items(), *((f"spec.split.{name}", name) for name in split)):
        if isinstance(name, str) and OPEN not in name:
            yield from _wrong_model(spec, path, name, names)
    parts = [part for part in split.values() if isinstance(part, int)]
    for name, part in split.items():
        if isinstance(part, int) and not 0 < part <= _WHOLE:
            says = f"{part} is not a part of the requests"
            yield at(spec, f"spec.split.{name}", says, "use 1 to 100 percent")
    if sum(parts) > _WHOLE:
        yield at(spec, "spec.split", f"the parts are {sum(parts)} percent together", "use at most 100")


def _wrong_model(spec: Spec, path: str, name: str, names: Names) -> Iterator[Problem]:
    if name == spec.name:
        yield at(spec, path, f"{name} is this model itself", "name another one")
    elif f"{_PREFIX}{name}" not in names.services and name not in names.doubtful:
        known = [
            key.removeprefix(_PREFIX)
            for key in names.services
            if key.startswith(_PREFIX) and key != f"{_PREFIX}{spec.name}"
        ]
        yield at(spec, path, f"there is no model {name}", suggestion(name, known, none="no other Model is defined"))
