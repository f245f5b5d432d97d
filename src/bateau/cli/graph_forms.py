"""Who uses whom as text, as DOT and as SVG.

Called by cli.graph.
Source: "The DOT Language", graphviz.org: in a quoted string the quote is escaped, and a label has escapes of its own
that begin with a backslash.

Invariant: names and states are text in each form, whatever they contain. Held by
tests/cli/test_graph.py::test_odd_names_stay_text_in_every_form.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from bateau.domain.service_graph import MISSING, ServiceGraph
from bateau.kit.visible import visible_line

_COLOURS: Final[Mapping[str, str]] = {
    "good": "#2a9d5c",
    "busy": "#3b7cf0",
    "warn": "#d98e04",
    "bad": "#d93a30",
    "idle": "#9aa1ae",
}
# The colours of the dashboard, for a picture that stands by itself.
_STYLE: Final = """
.graph { --raised: #ffffff; --line: #e4e6ea; --text: #16181d; --quiet: #5a6170; --mark: #9aa1ae; background: #fbfbfc;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
@media (prefers-color-scheme: dark) {
  .graph { --raised: #1b1f26; --line: #272c35; --text: #e7e9ee; --quiet: #9aa3b2; --mark: #5f6878;
    background: #0e1014; }
}
.edge { fill: none; stroke: var(--mark); stroke-width: 1.25; }
marker path { fill: var(--mark); }
rect { fill: var(--raised); stroke: var(--line); }
text { font-size: 13px; fill: var(--text); }
.name { font-weight: 550; }
text.kind { font-size: 11.5px; fill: var(--quiet); }
circle { fill: var(--mark); }
.good circle { fill: #2a9d5c; } .warn circle { fill: #d98e04; } .bad circle { fill: #d93a30; }
.busy circle { fill: none; stroke: #3b7cf0; stroke-width: 2; } .bad rect { stroke: #d93a30; }
"""


def as_text(graph: ServiceGraph) -> str:
    """Return a tree for each service that no other one uses; a service that is shown above is not followed again.

    >>> print(as_text(ServiceGraph({"app/shop": ("model/chat",), "model/chat": ()})))
    app/shop
    └── model/chat
    """
    lines: list[tuple[str, str]] = []
    shown: set[str] = set()
    # After those that nobody uses, services remain only in cycles.
    roots = (*(name for name in graph.uses if name not in graph.used), *graph.uses)
    for root in roots:
        if root not in shown:
            lines += _tree(graph, root, shown)
    width = max((len(name) for name, _ in lines), default=0)
    return "\n".join(f"{name.ljust(width)}  {says}".rstrip() for name, says in lines)


def _tree(graph: ServiceGraph, root: str, shown: set[str]) -> Iterator[tuple[str, str]]:
    """Yield the lines of a tree, each with the state beside it. Not recursive: a chain may have a thousand services."""
    waiting = [(root, "", "", False)]
    while waiting:
        name, lead, below, is_again = waiting.pop()
        again = is_again or name in shown
        says = "(above)" if again and graph.uses[name] else _says(graph, name, "  ")
        yield f"{lead}{visible_line(name)}", says
        if again:
            continue
        shown.add(name)
        used = graph.uses[name]
        for index, each in reversed(list(enumerate(used))):
            is_last = index == len(used) - 1
            branch, more = ("└── ", "    ") if is_last else ("├── ", "│   ")
            waiting.append((each, f"{below}{branch}", f"{below}{more}", each == name))


def as_dot(graph: ServiceGraph) -> str:
    """Return the graph for Graphviz."""
    lines = [
        "digraph bateau {",
        "  rankdir=LR;",
        '  node [shape=box, style=rounded, fontname="Helvetica,Arial,sans-serif", fontsize=11];',
        '  edge [color="#9aa1ae", arrowsize=0.7];',
    ]
    from bateau.ui.words import tone

    for name in graph.uses:
        label = "\n".join(filter(None, (visible_line(name), _says(graph, name, " · "))))
        colour = _COLOURS[tone(_state(graph, name) or "")]
        lines.append(f"  {_quoted(name)} [label={_label(label)}, color={_quoted(colour)}];")
    lines += [f"  {_quoted(start)} -> {_quoted(end)};" for start, end in graph.edges]
    return "\n".join((*lines, "}"))


def as_svg(graph: ServiceGraph) -> str:
    """Return the picture of the dashboard as a document of its own."""
    from bateau.ui.picture import Node, picture

    edges = [edge for edge in graph.edges if edge[0] != edge[1]]
    nodes = {
        name: Node(
            state=_state(graph, name) or "",
            says=" · ".join(filter(None, (visible_line(name.partition("/")[0]), _says(graph, name, " · ", unit="/s")))),
        )
        for name in graph.uses
    }
    joined = {name for edge in edges for name in edge}
    return str(picture(edges, nodes, alone=graph.uses.keys() - joined, style=_STYLE))


FORMS: Final[Mapping[str, Callable[[ServiceGraph], str]]] = {"text": as_text, "dot": as_dot, "svg": as_svg}


def _state(graph: ServiceGraph, name: str) -> str | None:
    if name in graph.missing:
        return MISSING
    return graph.live[name].state if name in graph.live else None


def _says(graph: ServiceGraph, name: str, between: str, *, unit: str = " req/s") -> str:
    """Return the state of a service and its requests; nothing where they are not known."""
    from bateau.ui.words import number

    found = graph.live.get(name)
    requests = found.requests_per_s if found else None
    parts = (_state(graph, name), None if requests is None else f"{number(requests)}{unit}")
    return visible_line(between.join(part for part in parts if part))


def _quoted(text: str) -> str:
    r"""Return a string of DOT, whose labels have HTML's entities, too. An escaped backslash escapes no quote.

    >>> _quoted('a"b'), _quoted("a\\"), _quoted("a&lt;")
    ('"a\\"b"', '"a\\\\"', '"a&amp;lt;"')
    """
    escaped = visible_line(text).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _label(text: str) -> str:
    return "\\n".join(_quoted(line)[1:-1] for line in text.splitlines()).join('""')
