"""Find what does not fit together: references to nothing, ports that are not there, fields that exclude each other.

Called by reading, with all specs of a tree.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from bateau.domain.expression import paths_read
from bateau.domain.problem import Problem, Severity
from bateau.domain.spec import Spec
from bateau.kit.cel_text import expressions
from bateau.kit.position import child, leaves
from bateau.kit.suggest import closest, did_you_mean, listed

_WAYS_TO_RUN: Final = ("command", "image", "wasm", "vm", "manifests", "kustomization", "chart")
_USABLE: Final = {"model": "Model", "app": "App"}

Found = tuple[Spec, Problem]


@dataclass(frozen=True, slots=True)
class _Names:
    """What can be referred to. `doubtful` are words of documents that could not be read: no word on these."""

    usable: Mapping[str, Spec]  # "model/chat"
    environments: frozenset[str]
    doubtful: frozenset[str]


def reference_problems(specs: Sequence[Spec], *, doubtful: frozenset[str] = frozenset()) -> list[Found]:
    """Return what can only be seen with all specs side by side, or with several fields of one.

    References to `doubtful` names are passed over: what they name may stand in a document that could not be read.
    """
    prefixes = {kind: prefix for prefix, kind in _USABLE.items()}
    names = _Names(
        usable={f"{prefixes[spec.kind]}/{spec.name}": spec for spec in specs if spec.kind in prefixes},
        environments=frozenset(spec.name for spec in specs if spec.kind == "Environment"),
        doubtful=doubtful,
    )
    problems: list[Found] = []
    for spec in specs:
        body = spec.tree.get("spec")
        if not isinstance(body, dict):
            continue
        fields = cast("dict[str, Any]", body)
        if spec.kind == "App":
            problems += _app(spec, fields, names)
        elif spec.kind == "Model":
            problems += _model(spec, fields)
        elif spec.kind == "Environment":
            problems += _environment(spec, fields, names)
    return [*problems, *_ports_given_twice(specs)]


def _app(spec: Spec, fields: dict[str, Any], known: _Names) -> list[Found]:
    problems: list[Found] = []
    ways = [way for way in _WAYS_TO_RUN if fields.get(way) is not None]
    if not ways:
        hint = "add `command: [program, argument]`"
        problems.append(
            _at(spec, "spec", "an App needs one of command, image, wasm, vm, manifests, kustomization or chart", hint)
        )
    elif len(ways) > 1 and ways != ["command", "image"]:  # the command runs here, and in the image on a cluster
        says = f"{' and '.join(ways)} exclude each other"
        problems.append(_at(spec, f"spec.{ways[1]}", says, "keep one of them"))
    if fields.get("command") == []:
        problems.append(_at(spec, "spec.command", "command is empty", "write `command: [program, argument]`"))
    ports = fields.get("ports")
    names = list(cast("dict[str, Any]", ports)) if isinstance(ports, dict) else []
    for index, name in enumerate(names):
        for other in names[:index]:
            if _upper(name) == _upper(other):
                says = f"port `{name}` and port `{other}` have one variable, PORT_{_upper(name)}"
                problems.append(_at(spec, child("spec.ports", name), says, "rename one"))
    health = fields.get("health")
    probed = cast("dict[str, Any]", health).get("port") if isinstance(health, dict) else None
    if isinstance(probed, str) and probed not in names:
        problems.append(
            _at(
                spec,
                "spec.health.port",
                f"health.port is `{probed}`, but there is no such port",
                _ports_hint(probed, names),
            )
        )
    for path, text in _strings(fields.get("command"), "spec.command") + _strings(fields.get("env"), "spec.env"):
        problems += [
            _at(spec, path, f"`${{ ports.{used} }}` names a port that is not there", _ports_hint(used, names))
            for used in _ports_used(text)
            if used not in names
        ]
    uses = fields.get("uses")
    for index, used in enumerate(cast("list[Any]", uses) if isinstance(uses, list) else []):
        problems += _used(spec, f"spec.uses[{index}]", used, known)
    return problems


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")


def _ports_used(text: str) -> list[str]:
    """Return the names of the ports that the expressions of a text speak of.

    >>> _ports_used("${ ports.http } ${ ports['x-y'] } ${ 'ports.no' } $${ ports.no }")
    ['http', 'x-y']
    """
    if "ports" not in text:
        return []
    found = [path.steps[0] for path in paths_read(text) if path.name == "ports" and path.steps]
    return [step for step in found if isinstance(step, str)]


def _used(spec: Spec, path: str, used: Any, names: _Names) -> list[Found]:
    if not isinstance(used, str) or "${" in used:
        return []
    prefix, slash, name = used.partition("/")
    if used in names.usable and names.usable[used] is not spec:
        return []
    known = [key for key, other in names.usable.items() if other is not spec]
    if not slash or prefix not in _USABLE:
        near = next((one for one in known if one.partition("/")[2] == (name or used)), None)
        hint = f"did you mean `{near}`?" if near else "write `model/NAME` or `app/NAME`"
        return [_at(spec, path, f"uses `{used}`, which names no kind that can be used", hint)]
    if _USABLE[prefix] == spec.kind and name == spec.name:
        return [_at(spec, path, f"{spec.name} uses itself", "remove it")]
    if name not in names.doubtful:
        hint = did_you_mean(used, known) or f"there is: {listed(known) or 'no Model and no other App'}"
        return [_at(spec, path, f"uses `{used}`, but there is no such {_USABLE[prefix]}", hint)]
    return []


def _model(spec: Spec, fields: dict[str, Any]) -> list[Found]:
    problems: list[Found] = []
    source, engine = fields.get("source"), fields.get("engine")
    if engine == "external" and isinstance(source, str) and not source.startswith(("http://", "https://", "${")):
        hint = "write the URL of an OpenAI-compatible API, such as https://host/v1"
        problems.append(
            _at(spec, "spec.source", f'with engine external the source must be a URL, not "{source}"', hint)
        )
    if fields.get("external") is not None and engine != "external":
        problems.append(
            _at(spec, "spec.external", "external has no meaning without engine: external", "add `engine: external`")
        )
    if isinstance(source, str) and not source.strip():
        problems.append(_at(spec, "spec.source", "source is empty", "name a model, such as `smollm2`"))
    return problems


def _environment(spec: Spec, fields: dict[str, Any], known: _Names) -> list[Found]:
    names = sorted(known.environments - {spec.name})
    after = fields.get("after")
    hint = "write it where the value is used, or in a patch"
    plain = [
        _at(spec, path, f"`${{ }}` in {path} is plain text and not evaluated", hint, severity=Severity.WARNING)
        for path, value in leaves(fields.get("values"), "spec.values")
        if isinstance(value, str) and expressions(value)
    ]
    return plain + [
        _at(
            spec,
            f"spec.after[{index}]",
            f"after `{name}`, but there is no such Environment",
            did_you_mean(name, names) or f"there is: {listed(names) or 'no other Environment'}",
        )
        for index, name in enumerate(cast("list[Any]", after) if isinstance(after, list) else [])
        if isinstance(name, str) and "${" not in name and name not in names and name not in known.doubtful
    ]


def _ports_given_twice(specs: Sequence[Spec]) -> list[Found]:
    """Two Apps that fix the same port for their clients."""
    holders: dict[int, tuple[Spec, str]] = {}
    problems: list[Found] = []
    for spec in specs:
        body = spec.tree.get("spec")
        fields = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
        if fields.get("image") and not fields.get("command"):
            continue  # it runs on clusters only, where it has an address of its own
        ports = fields.get("ports")
        for name, port in (cast("dict[str, Any]", ports) if isinstance(ports, dict) else {}).items():
            number = cast("dict[str, Any]", port).get("port") if isinstance(port, dict) else None
            if not isinstance(number, int) or isinstance(number, bool):
                continue
            path = child(child("spec.ports", name), "port")
            holder = holders.setdefault(number, (spec, path))
            if holder != (spec, path):
                where = holder[0].positions.get(holder[1], holder[0].position)
                says = f"port {number} is given twice"
                problems.append(_at(spec, path, says, f"the other is at {where}; choose another number, or remove one"))
    return problems


def _strings(value: Any, path: str) -> list[tuple[str, str]]:
    if isinstance(value, list):
        return [(f"{path}[{i}]", v) for i, v in enumerate(cast("list[Any]", value)) if isinstance(v, str)]
    if isinstance(value, dict):
        return [(child(path, k), v) for k, v in cast("dict[str, Any]", value).items() if isinstance(v, str)]
    return []


def _ports_hint(name: str, names: Iterable[str]) -> str:
    listed_names = list(names)
    near = closest(name, listed_names)
    if near:
        return f"did you mean `{near}`?"
    return f"there is: {listed(listed_names)}" if listed_names else f"add `ports: {{{name}: {{protocol: http}}}}`"


def _at(spec: Spec, path: str, says: str, hint: str, *, severity: Severity = Severity.ERROR) -> Found:
    return spec, Problem(where=spec.positions.get(path, spec.position), says=says, hint=hint, severity=severity)
