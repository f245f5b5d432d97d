"""Turn the form for a new service into the text of its spec, with the reason for each field.

Called by ui.change_routes.

Invariant: the text has no field that the form did not ask for or that has no reason, and reads as it was entered.
Held by tests/ui/test_new_service.py.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Final

from bateau.domain.errors import ControlError
from bateau.kit.yaml_scalar import written

_NAME: Final = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_REASON_COLUMN_MAX: Final = 40
_HEAD: Final = "apiVersion: bateau.dev/v1alpha1\n"
CHARACTERS_MAX: Final = 4000


def spec_text(form: Mapping[str, str]) -> tuple[str, str]:
    """Return the name of a file and its text. Raises ControlError if a field of the form is wrong."""
    kind, name = form.get("kind", ""), form.get("name", "").strip()
    if not _NAME.fullmatch(name):
        hint = "use lowercase letters, digits and -, beginning with a letter: it becomes a part of URLs"
        raise ControlError(f"`{name}` cannot be the name of a service", hint=hint)
    if kind not in {"Model", "App"}:
        raise ControlError("choose a model or an app")
    lines = [*(_model(form) if kind == "Model" else _app(form))]
    column = max((len(text) for text, reason in lines if reason and len(text) <= _REASON_COLUMN_MAX), default=0)
    purpose = "A model" if kind == "Model" else "An app"
    head = f"# {purpose}, made with the dashboard. `bateau explain {kind}.spec` lists all fields with their defaults.\n"
    body = "".join(f"  {_line(text, reason, column)}\n" for text, reason in lines)
    return f"{name}.yaml", f"{head}{_HEAD}kind: {kind}\nmetadata:\n  name: {name}\nspec:\n{body}"


def _line(text: str, reason: str | None, column: int) -> str:
    return f"{text.ljust(column)}  # {reason}" if reason else text


def _model(form: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    source = _text(form, "other") or _text(form, "source")
    if not source:
        raise ControlError("a model needs a source", hint="choose one of the catalogue, or enter another")
    yield f"source: {written(source)}", "a name in the catalogue, or where its file comes from"
    least, most = _number(form, "min", 0, 1000), _number(form, "max", 1, 1000)
    replicas = _number(form, "replicas", 0, 1000)
    if most is not None:
        if (least or 0) > most:
            raise ControlError(f"the smallest number of replicas, {least}, is above the largest, {most}")
        yield f"scale: {{min: {1 if least is None else least}, max: {most}}}", "more replicas while requests wait"
    elif replicas is not None:
        yield f"replicas: {replicas}", _replicas_reason(replicas)
    if (context := _number(form, "contextLength", 16, 10_000_000)) is not None:
        yield f"contextLength: {context}", "tokens of each slot; more need more memory"
    if (parallel := _number(form, "parallel", 1, 1000)) is not None:
        yield f"parallel: {parallel}", "requests that a replica answers at once"


def _app(form: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    try:
        command = shlex.split(_text(form, "command"))
    except ValueError as error:
        raise ControlError(f"the command cannot be read: {error}", hint="close each quote") from error
    if not command:
        raise ControlError("an app needs a command", hint="write it as in a shell, such as: python3 app.py")
    port = _text(form, "port") or "http"
    if not _NAME.fullmatch(port):
        raise ControlError(f"`{port}` cannot be the name of a port", hint="use lowercase letters, digits and -")
    number = _number(form, "number", 1, 65535)
    yield f"command: [{', '.join(written(each) for each in command)}]", None
    yield "ports:", None
    fixed = f", port: {number}" if number is not None else ""
    says = "clients connect to it" if number is not None else "a free port is chosen for clients"
    yield f"  {port}: {{protocol: http{fixed}}}", f"{says}; each replica listens on the port in $PORT"
    if health := _text(form, "health"):
        if not health.startswith("/"):
            raise ControlError(f"`{health}` is not a path", hint="begin it with /")
        yield f"health: {{path: {written(health)}}}", "a replica gets requests once this answers with 200"
    uses = _text(form, "uses").replace(",", " ").split()
    if uses:
        yield f"uses: [{', '.join(written(each) for each in uses)}]", "their URLs are in its environment"
    if (replicas := _number(form, "replicas", 0, 1000)) is not None:
        yield f"replicas: {replicas}", _replicas_reason(replicas)


def _replicas_reason(replicas: int) -> str:
    return "processes that share the requests" if replicas else "stopped"


def _text(form: Mapping[str, str], name: str) -> str:
    found = form.get(name, "").strip()
    if len(found) > CHARACTERS_MAX or not found.isprintable():
        raise ControlError(f"{name} is too long, or has characters that a spec cannot have")
    return found


def _number(form: Mapping[str, str], name: str, least: int, most: int) -> int | None:
    given = form.get(name, "").strip()
    if not given:
        return None
    if not given.isdecimal() or not least <= int(given) <= most:
        raise ControlError(f"{name} must be a whole number from {least} to {most:,}")
    return int(given)
