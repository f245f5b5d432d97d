"""Place the nodes of a graph in layers, so that edges go from left to right and cross each other rarely.

Called by ui.picture. Pure: the same graph gives the same places, whatever the order of its edges.

Source: Sugiyama, Tagawa, Toda, "Methods for visual understanding of hierarchical system structures" (1981): layers by
the longest path, then a few sweeps by the mean place of the neighbours.

Invariant: no two nodes have the same place, an edge that is in no cycle goes to a later layer, and an edge over several
layers has a place of its own in each of them, so that it crosses no node. Held by tests/ui/test_graph.py.
Refused: dagre or ELK in the browser: the picture of a few dozen services needs no 17 kB of script.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

Edge = tuple[str, str]
_SWEEPS: Final = 6
_BEND: Final = "\0"  # not part of any name


@dataclass(frozen=True, slots=True)
class Layers:
    """The layers from left to right, each with its nodes from top to bottom, and the bends of long edges among them.

    `routes` has the nodes and bends that each edge goes through. Edges that would close a cycle are not among them.
    """

    layers: Sequence[Sequence[str]]
    routes: Mapping[Edge, Sequence[str]]


def layered(edges: Iterable[Edge]) -> Layers:
    """Return the layers of a graph.

    >>> layered([("shop", "chat"), ("shop", "orders"), ("orders", "db")]).layers
    [['shop'], ['chat', 'orders'], ['db']]
    """
    kept = _without_cycles(sorted(set(edges)))
    depth = _depths(kept)
    routes = {(start, end): _route(start, end, depth[end] - depth[start]) for start, end in kept}
    short = [step for route in routes.values() for step in pairwise(route)]
    for (start, _), route in routes.items():
        depth |= {bend: depth[start] + index for index, bend in enumerate(route) if is_bend(bend)}
    return Layers(_ordered(short, depth), routes)


def is_bend(name: str) -> bool:
    """Whether this is a bend of an edge, and not a node."""
    return _BEND in name


def _route(start: str, end: str, length: int) -> list[str]:
    return [start, *(f"{start}{_BEND}{end}{_BEND}{step}" for step in range(1, length)), end]


def _depths(edges: Sequence[Edge]) -> dict[str, int]:
    """Return the layer of each node: the length of the longest path to it."""
    below: defaultdict[str, list[str]] = defaultdict(list)
    above: defaultdict[str, list[str]] = defaultdict(list)
    for start, end in edges:
        below[start].append(end)
        above[end].append(start)
    depth: dict[str, int] = {}
    for node in _by_dependency(below, above):
        depth[node] = max((depth[each] + 1 for each in above[node]), default=0)
    return depth


def _ordered(edges: Sequence[Edge], depth: Mapping[str, int]) -> list[list[str]]:
    """Return the layers, in each of which the order follows that of the neighbours."""
    below: defaultdict[str, list[str]] = defaultdict(list)
    above: defaultdict[str, list[str]] = defaultdict(list)
    for start, end in edges:
        below[start].append(end)
        above[end].append(start)
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for node in sorted(depth):
        layers[depth[node]].append(node)
    for sweep in range(_SWEEPS):
        neighbours = below if sweep % 2 else above
        places = {node: (index + 0.5) / len(layer) for layer in layers for index, node in enumerate(layer)}
        for layer in layers:
            layer.sort(key=lambda node: (_mean(places, neighbours[node], places[node]), node))
            places |= {node: (index + 0.5) / len(layer) for index, node in enumerate(layer)}
    return layers


def _mean(places: Mapping[str, float], neighbours: Sequence[str], own: float) -> float:
    return sum(places[each] for each in neighbours) / len(neighbours) if neighbours else own


def _without_cycles(edges: Sequence[Edge]) -> list[Edge]:
    """Return the edges but for those that would close a cycle, and those from a node to itself."""
    after: defaultdict[str, set[str]] = defaultdict(set)
    kept: list[Edge] = []
    for start, end in edges:
        if start != end and not _reaches(after, end, start):
            after[start].add(end)
            kept.append((start, end))
    return kept


def _reaches(after: Mapping[str, set[str]], start: str, end: str) -> bool:
    seen, waiting = {start}, [start]
    while waiting:
        node = waiting.pop()
        if node == end:
            return True
        more = after.get(node, set()) - seen
        seen |= more
        waiting += more
    return False


def _by_dependency(below: Mapping[str, Sequence[str]], above: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the nodes so that each comes after those that have an edge to it."""
    nodes = {*below, *(each for ends in below.values() for each in ends)}
    missing = {node: len(above.get(node, ())) for node in nodes}
    ready = sorted(node for node, count in missing.items() if not count)
    for node in ready:  # grows while it is read
        for each in below.get(node, ()):
            missing[each] -= 1
            if not missing[each]:
                ready.append(each)
    return ready
