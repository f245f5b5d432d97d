"""Properties of the plan between any two trees."""

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bateau.domain.change import ABSENT
from bateau.plan import compare
from bateau.plan.difference import canonical, field_changes
from bateau.plan.folding import fold
from plan.applying import apply
from plan.objects import deployment, manifest, thing

KEYS = st.sampled_from(["a", "b.c", "name", "x['y]", "é"])
SCALARS = st.one_of(st.integers(-2, 2), st.booleans(), st.sampled_from(["", "1", "on", "~", "a`b"]), st.just(0.5))


def named_lists(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    items = st.fixed_dictionaries({"name": st.sampled_from("pqrs")}, optional={"v": children})
    return st.lists(items, max_size=4, unique_by=lambda each: each["name"])


VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.dictionaries(KEYS, inner, max_size=4), st.lists(inner, max_size=3), named_lists(inner)),
    max_leaves=12,
)
TREES = st.dictionaries(KEYS, VALUES, max_size=5)
WIDGET = ("x.io", "Widget")


@given(TREES)
def test_a_tree_does_not_differ_from_itself(tree: dict[str, Any]) -> None:
    assert field_changes(tree, tree, group_kind=WIDGET) == ()


@given(TREES, TREES)
def test_the_edits_made_to_the_observed_tree_give_the_desired_one(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    edits = field_changes(before, after, group_kind=WIDGET)
    assert canonical(apply(edits, before)) == canonical(after)
    assert len({(e.path, e.after is ABSENT) for e in edits}) == len(edits)


@st.composite
def worlds(draw: st.DrawFn) -> list[dict[str, Any]]:
    names = draw(st.lists(st.sampled_from("abcdef"), unique=True, max_size=6))
    made: list[dict[str, Any]] = []
    for name in names:
        kind = draw(st.sampled_from(["ConfigMap", "Service", "Deployment", "Widget"]))
        if kind == "Deployment":
            made.append(deployment(name, image=draw(st.sampled_from(["i:1", "i:2"])), replicas=draw(st.integers(1, 2))))
        else:
            api = "x.io/v1" if kind == "Widget" else "v1"
            made.append(thing(name, kind, api, data=draw(st.dictionaries(st.sampled_from("kl"), SCALARS, max_size=2))))
    return made


@given(worlds(), worlds(), st.randoms(use_true_random=False))
def test_the_order_of_manifests_never_changes_the_plan(
    desired: list[dict[str, Any]], observed: list[dict[str, Any]], chance: random.Random
) -> None:
    first = compare(map(manifest, desired), observed)
    chance.shuffle(desired)
    chance.shuffle(observed)
    assert compare(map(manifest, desired), observed) == first


@given(worlds(), worlds())
def test_every_object_is_accounted_for_once(desired: list[dict[str, Any]], observed: list[dict[str, Any]]) -> None:
    delivery = compare(map(manifest, desired), observed)
    wanted, present = ({manifest(tree).key for tree in side} for side in (desired, observed))
    assert set(delivery.removals) == present - wanted
    assert len([c for c in delivery.changes if c.act != "remove"]) + delivery.objects_same == len(wanted)
    assert {step.key for step in delivery.steps if step.act == "remove"} == set(delivery.removals)


@given(worlds(), worlds())
def test_folding_loses_no_object_and_no_edit(desired: list[dict[str, Any]], observed: list[dict[str, Any]]) -> None:
    delivery = compare(map(manifest, desired), observed)
    folds = fold(delivery.changes)
    edits = sorted((c.key, e.shown) for c in delivery.changes for e in c.fields)
    assert sorted((key, f.edit.shown) for f in folds if f.edit for key in f.objects) == edits
    whole = sorted(c.key for c in delivery.changes if c.act != "change")
    assert sorted(key for f in folds if not f.edit for key in f.objects) == whole
    assert all(len(f.objects) == 1 for f in folds if f.act in ("remove", "rename", "recreate"))


@given(worlds())
def test_nothing_to_do_once_it_is_done(desired: list[dict[str, Any]]) -> None:
    assert not compare(map(manifest, desired), desired).pending
