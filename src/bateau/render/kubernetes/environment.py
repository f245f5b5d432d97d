"""The environment variables of a container: plain ones in a ConfigMap, what looks secret by reference only.

Called by render.kubernetes.pod and render.kubernetes.target.

Invariant: a value whose name says that it is secret never enters a manifest. Held by
tests/render/test_kubernetes.py::test_what_looks_secret_is_only_referred_to.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Final

from bateau.domain.workload import ModelServer
from bateau.kit.position import child
from bateau.render.kubernetes.shape import Door, Shape
from bateau.render.marks import From, MarkedObject, Rule, plain

_SECRET: Final = re.compile(
    r"(?:^|_)(?:PASSWORD|PASSWD|PASSPHRASE|PASS|PWD|SECRET|SECRET_?KEY|SECRET_?VALUE|TOKEN|CREDENTIALS?"
    r"|(?:API|PRIVATE|ACCESS|SIGNING)_?KEY)$"
)
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_KEY: Final = re.compile(r"(?!\.\.?$)[-._a-zA-Z0-9]{1,253}").fullmatch


@dataclass(frozen=True, slots=True)
class Variables:
    """Marked variables that stand in the ConfigMap, and names of those that a Secret must hold."""

    plain: MarkedObject
    secret: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Return a digest of the plain values: pods restart when it changes."""
        return hashlib.sha256(json.dumps(plain(self.plain), sort_keys=True).encode()).hexdigest()[:16]


def variables_of(shape: Shape, doors: list[Door]) -> Variables:
    """Return the variables that the spec sets and those that `uses` and `ports` give; the spec's win."""
    made: MarkedObject = {}
    secret: list[str] = []
    for name, value in shape.service.env.items():
        path = child("spec.env", name)
        if value and _SECRET.search(_HUMP.sub("_", name).upper()):
            secret.append(name)
            hint = f"put `{name}` into Secret {shape.service.name} of the cluster"
            shape.say(f"not rendered: {path} looks like a secret; {hint}", path)
        elif not _KEY(name):
            shape.say(f"{path}: a variable's name has letters, digits, `_`, `-` and `.` only", path, verdict="error")
        else:
            made[name] = From(shape.with_ports(value), path)
    given = {} if isinstance(shape.service.runs, ModelServer) else _given(shape, doors)
    return Variables({**given, **made}, tuple(secret))


def _given(shape: Shape, doors: list[Door]) -> MarkedObject:
    made: MarkedObject = {}
    for door in doors:
        made.setdefault("PORT", Rule(str(door.number.value), "number of the first port"))
        made[f"PORT_{_upper(door.key)}"] = Rule(str(door.number.value), f"number of port {door.key}")
    for index, used in enumerate(shape.service.uses):
        path = f"spec.uses[{index}]"
        address = shape.around.addresses.get(used)
        if address is None:
            shape.say(f"not rendered: {used} has no address to give in BATEAU_{_upper(used.name)}_URL", path)
            continue
        made[f"BATEAU_{_upper(used.name)}_URL"] = From(address.url, path, address.says)
        for port, url in address.ports:
            made[f"BATEAU_{_upper(used.name)}_URL_{_upper(port)}"] = From(url, path, f"{address.says}, port {port}")
        if address.model:
            made[f"BATEAU_{_upper(used.name)}_MODEL"] = From(address.model, path, "name of the model")
    return made


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")
