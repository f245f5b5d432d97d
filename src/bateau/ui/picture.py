"""Draw services and who uses whom as SVG.

Called by cli.graph_forms and ui.graph. Pure: the same services give the same picture.

Services that neither use any other nor are used stand below the others, in rows.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import htpy as h

from bateau.kit.visible import visible_line
from bateau.ui.layered import Edge, is_bend, layered
from bateau.ui.words import tone

_WIDTH: Final = 172
_HEIGHT: Final = 40
_GAP_X: Final = 72
_GAP_Y: Final = 16
_EDGE: Final = 8
_LETTERS_MAX: Final = 18
_IN_A_ROW: Final = 4

Place = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Node:
    """A service in the picture: its state, the line below its name, and the page that it leads to."""

    state: str
    says: str
    href: str | None = None


def picture(
    edges: Sequence[Edge], nodes: Mapping[str, Node], *, alone: Collection[str] = (), style: str | None = None
) -> h.Element:
    """Return the picture of all `nodes`; those of `alone` have no edge. With `style`, it stands by itself."""
    found = layered(edges)
    places, width, bottom = _places(found.layers)
    rows, columns = sorted(alone), max(_IN_A_ROW, len(found.layers)) if alone else 0
    top = bottom + _GAP_Y if bottom > _EDGE else _EDGE
    for index, name in enumerate(rows):
        row, column = divmod(index, columns)
        places[name] = (_EDGE + column * (_WIDTH + _GAP_X), top + row * (_HEIGHT + _GAP_Y))
    if rows:
        bottom = places[rows[-1]][1] + _HEIGHT
        width = max(width, _EDGE + min(columns, len(rows)) * (_WIDTH + _GAP_X) - _GAP_X)
    size = {"width": str(width + _EDGE), "height": str(bottom + _EDGE)}
    own = {"xmlns": "http://www.w3.org/2000/svg"} if style else {}
    return h.svg(".graph", own, viewBox=f"0 0 {size['width']} {size['height']}", **size)[
        style and h.style[style],
        h.defs[
            h.marker("#arrow", viewBox="0 0 8 8", refX="7", refY="4", markerWidth="7", markerHeight="7", orient="auto")[
                h.path(d="M0 0.5 L7.5 4 L0 7.5 z")
            ]
        ],
        (_edge([places[each] for each in found.routes.get(edge, edge)]) for edge in edges),
        (_node(name, place, nodes[name]) for name, place in places.items() if not is_bend(name)),
    ]


def _places(layers: Sequence[Sequence[str]]) -> tuple[dict[str, Place], int, int]:
    """Return the places of nodes and bends, and where the last column and the last row end."""
    tallest = max((len(layer) for layer in layers), default=0)
    places: dict[str, Place] = {}
    for column, layer in enumerate(layers):
        free = (tallest - len(layer)) * (_HEIGHT + _GAP_Y) // 2
        for row, name in enumerate(layer):
            places[name] = (_EDGE + column * (_WIDTH + _GAP_X), _EDGE + free + row * (_HEIGHT + _GAP_Y))
    if not layers:
        return places, _EDGE, _EDGE
    return places, _EDGE + len(layers) * (_WIDTH + _GAP_X) - _GAP_X, _EDGE + tallest * (_HEIGHT + _GAP_Y) - _GAP_Y


def _edge(route: Sequence[Place]) -> h.Element:
    """Return an edge that leaves one node on the right, passes its bends, and reaches the other node on the left."""
    curve = [f"M{route[0][0] + _WIDTH} {route[0][1] + _HEIGHT // 2}"]
    for (left, top), (right, bottom) in pairwise(route):
        y1, y2, is_last = top + _HEIGHT // 2, bottom + _HEIGHT // 2, (right, bottom) == route[-1]
        x1, x2 = left + _WIDTH, right - 3 if is_last else right
        bend = max(_GAP_X, x2 - x1) // 2
        curve.append(f"C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}")
        if not is_last:
            curve.append(f"H{right + _WIDTH}")
    return h.path(".edge", d=" ".join(curve), marker_end="url(#arrow)")


def _node(name: str, place: Place, node: Node) -> h.Element:
    short = visible_line(name.partition("/")[2])
    cut = short if len(short) <= _LETTERS_MAX else f"{short[: _LETTERS_MAX - 1]}…"
    x, y = place
    parts = [
        h.rect(x=str(x), y=str(y), width=str(_WIDTH), height=str(_HEIGHT), rx="8"),
        h.circle(cx=str(x + 16), cy=str(y + _HEIGHT // 2), r="4"),
        h.text(".name", x=str(x + 30), y=str(y + 17))[cut, cut != short and h.title[short]],
        h.text(".kind", x=str(x + 30), y=str(y + 31))[node.says],
    ]
    classes = ["node", tone(node.state)]
    return h.a(class_=classes, href=node.href)[parts] if node.href else h.g(class_=classes)[parts]
