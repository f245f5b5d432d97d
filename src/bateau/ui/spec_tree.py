"""A spec as lines, each field with the steps that led to its value, as `bateau explain` has them.

Called by ui.pages.service_page.

Invariant: every field of the spec is shown with its origin. Held by
tests/ui/test_pages.py::test_every_field_of_a_spec_has_its_origin.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import htpy as h

from bateau.control.explained import without_secrets
from bateau.domain.origin import Origin, Origins
from bateau.domain.port_word import with_port_names
from bateau.domain.secrecy import without_logins
from bateau.domain.workload import Workload
from bateau.kit.json_value import ReadJson, is_object
from bateau.kit.position import around, child, item
from bateau.ui.words import DASH, safe

_DEPTH_MAX = 9


@dataclass(frozen=True, slots=True)
class _Line:
    """A line: a field or an item with a value, or the beginning of others (`value` is None then)."""

    depth: int
    label: str
    path: str
    value: str | None = None


def spec_tree(service: Workload) -> h.Element:
    """Return the spec of a service."""
    tree, origins = without_secrets(service.tree, service.origins)
    written = {each for path, chain in origins.items() if not _is_default(chain) for each in _around(path)}
    return h.div(".spec")[
        (_shown(index, line, _chain(service, origins, line), written) for index, line in enumerate(_lines(tree, "", 0)))
    ]


def _chain(service: Workload, origins: Origins, line: _Line) -> Sequence[Origin]:
    """Return the steps that led to a value. Fields without any are those that every document has, and empty ones."""
    if (chain := origins.get(line.path)) or line.value is None:
        return chain or ()
    at = service.positions.get(line.path) or (None if line.path.startswith("spec") else service.position)
    return (Origin("written" if at else "default", at, line.value),)


def _is_default(chain: Sequence[Origin]) -> bool:
    return bool(chain) and chain[-1].how == "default"


def _around(path: str) -> Iterator[str]:
    yield path
    yield from around(path)


def _lines(tree: ReadJson, path: str, depth: int) -> Iterator[_Line]:
    if is_object(tree):
        for key, value in tree.items():
            yield from _part(f"{key}:", value, child(path, str(key)), depth)
    elif isinstance(tree, list | tuple):
        for index, value in enumerate(tree):
            yield from _part("-", value, item(path, index), depth)


def _part(label: str, value: ReadJson, path: str, depth: int) -> Iterator[_Line]:
    if value and (is_object(value) or isinstance(value, list | tuple)):
        yield _Line(depth, label, path)
        yield from _lines(value, path, depth + 1)
    else:
        yield _Line(depth, label, path, _text(value))


def _shown(index: int, line: _Line, chain: Sequence[Origin], written: Collection[str]) -> h.Element:
    depth = f"in{min(line.depth, _DEPTH_MAX)}"
    if line.value is None:
        return h.div(class_=["line", depth, {"default": line.path not in written}])[h.span(".key")[safe(line.label)]]
    last = chain[-1] if chain else None
    name = f"origin-{index}"
    return h.div(class_=["line", "field", depth, {"default": _is_default(chain)}], data_path=line.path)[
        h.button(".leaf", type="button", aria_expanded="false", aria_controls=name, data_keep="aria-expanded")[
            h.span(".key")[safe(line.label)], " ", h.span(".value")[safe(line.value)]
        ],
        h.span(".from", aria_hidden="true")[_whence(last)],
        h.div(".origin", id=name, data_keep="class")[_steps(line.path, chain)],
    ]


def _whence(last: Origin | None) -> str:
    if last is None:
        return "unknown"
    return str(last.at or last.how)


def _steps(path: str, chain: Sequence[Origin]) -> h.Node:
    return [
        h.code(".path")[path],
        h.ol[(_step(each) for each in chain)] if chain else h.p["Where it comes from is not known."],
    ]


def _step(each: Origin) -> h.Element:
    says = each.how if each.says is None or each.how == "default" else f"{each.how}: {each.says}"
    return h.li[
        h.span(".at")[safe(str(each.at)) if each.at else each.how if each.how == "default" else DASH],
        h.code[safe(_text(each.value))],
        h.span(".how")[safe(without_logins(says))],
    ]


def _text(value: ReadJson) -> str:
    if value is None:
        return "not set"
    if isinstance(value, str):
        return without_logins(str(with_port_names(value))) or '""'
    return without_logins(json.dumps(value, ensure_ascii=False, default=str))
