"""The picture of who uses whom, as SVG.

Called by ui.pages.overview.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import htpy as h

from bateau.domain.status import ServiceStatus
from bateau.ui.layered import is_bend, layered
from bateau.ui.page import View
from bateau.ui.words import tone

_WIDTH: Final = 172
_HEIGHT: Final = 40
_GAP_X: Final = 72
_GAP_Y: Final = 16
_EDGE: Final = 8
_LETTERS_MAX: Final = 18
NODES_MAX: Final = 200


def graph(view: View) -> h.Element:
    """Return the section with the picture, and the same as text for those who do not see it."""
    edges = sorted({(each.key, used) for each in view.release.services for used in each.uses if each.key != used})
    nodes = {name for edge in edges for name in edge}
    return h.section("#graph.panel", aria_labelledby="graph-title", hidden=not edges)[
        h.div(".bar")[h.h2("#graph-title")["Who uses whom"]],
        h.ul(".sr")[(h.li[f"{start} uses {end}"] for start, end in edges)],
        h.p(".empty")[f"{len(nodes)} services are too many for a picture; the page of each has its neighbours."]
        if len(nodes) > NODES_MAX
        else edges
        and h.div(".scroll.canvas", tabindex="0", role="region", aria_label="Graph of services")[_picture(view, edges)],
    ]


def _picture(view: View, edges: Sequence[tuple[str, str]]) -> h.Element:
    found = layered(edges)
    layers = found.layers
    tallest = max((len(layer) for layer in layers), default=0)
    height = tallest * (_HEIGHT + _GAP_Y) - _GAP_Y + 2 * _EDGE
    places: dict[str, tuple[int, int]] = {}
    for column, layer in enumerate(layers):
        free = (tallest - len(layer)) * (_HEIGHT + _GAP_Y) // 2
        for row, name in enumerate(layer):
            places[name] = (_EDGE + column * (_WIDTH + _GAP_X), _EDGE + free + row * (_HEIGHT + _GAP_Y))
    width = len(layers) * (_WIDTH + _GAP_X) - _GAP_X + 2 * _EDGE
    return h.svg(".graph", viewBox=f"0 0 {width} {height}", width=str(width), height=str(height))[
        h.defs[
            h.marker("#arrow", viewBox="0 0 8 8", refX="7", refY="4", markerWidth="7", markerHeight="7", orient="auto")[
                h.path(d="M0 0.5 L7.5 4 L0 7.5 z")
            ]
        ],
        (_edge([places[each] for each in found.routes.get(edge, edge)]) for edge in edges),
        (_node(name, place, view.services.get(name)) for name, place in places.items() if not is_bend(name)),
    ]


def _edge(route: Sequence[tuple[int, int]]) -> h.Element:
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


def _node(name: str, place: tuple[int, int], service: ServiceStatus | None) -> h.Element:
    kind, _, short = name.partition("/")
    cut = short if len(short) <= _LETTERS_MAX else f"{short[: _LETTERS_MAX - 1]}…"
    state = str(service.state) if service else "not there"
    x, y = place
    return h.a(class_=["node", tone(state)], href=f"/ui/services/{name}")[
        h.rect(x=str(x), y=str(y), width=str(_WIDTH), height=str(_HEIGHT), rx="8"),
        h.circle(cx=str(x + 16), cy=str(y + _HEIGHT // 2), r="4"),
        h.text(".name", x=str(x + 30), y=str(y + 17))[cut, cut != short and h.title[short]],
        h.text(".kind", x=str(x + 30), y=str(y + 31))[f"{kind} · {state}"],
    ]
