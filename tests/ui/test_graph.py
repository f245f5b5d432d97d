"""The layers of a graph: edges go to later layers, and no two nodes share a place."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from bateau.ui.layered import is_bend, layered

NODES = st.sampled_from([f"app/{letter}" for letter in "abcdefgh"])
EDGES = st.lists(st.tuples(NODES, NODES), max_size=24)


@given(EDGES)
def test_every_node_has_one_place(edges: list[tuple[str, str]]) -> None:
    placed = [name for layer in layered(edges).layers for name in layer if not is_bend(name)]
    assert len(placed) == len(set(placed))
    assert set(placed) == {name for start, end in edges if start != end for name in (start, end)}


@given(EDGES, st.randoms())
def test_the_order_of_edges_does_not_matter(edges: list[tuple[str, str]], random: Random) -> None:
    shuffled = [*edges, *edges]
    random.shuffle(shuffled)
    assert layered(shuffled) == layered(edges)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)).filter(lambda edge: edge[0] < edge[1]), max_size=30))
def test_edges_without_a_cycle_go_to_later_layers(edges: list[tuple[int, int]]) -> None:
    named = [(f"app/{start:02}", f"app/{end:02}") for start, end in edges]
    depth = {name: index for index, layer in enumerate(layered(named).layers) for name in layer}
    assert all(depth[start] < depth[end] for start, end in named)
    places = [name for layer in layered(named).layers for name in layer]
    assert len(places) == len(set(places))
    for (start, end), route in layered(named).routes.items():
        assert (route[0], route[-1]) == (start, end)
        assert [depth[each] for each in route] == list(range(depth[start], depth[end] + 1)), "a place in every layer"


def test_a_cycle_is_drawn_too() -> None:
    assert layered([("app/a", "app/b"), ("app/b", "app/a")]).layers == [["app/a"], ["app/b"]]


def test_neighbours_are_side_by_side() -> None:
    edges = [("a1", "b1"), ("a2", "b2"), ("a3", "b3")]
    first, second = layered([("a1", "b3"), ("a3", "b1"), ("a2", "b2")]).layers
    assert [second.index(f"b{4 - int(name[1])}") for name in first] == [0, 1, 2]
    assert layered(edges).layers == [["a1", "a2", "a3"], ["b1", "b2", "b3"]]
