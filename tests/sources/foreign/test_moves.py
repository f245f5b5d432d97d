"""Values that differ between two builds of an object."""

from typing import Any

from bateau.sources.foreign.moves import aligned, moved


def pod(*containers: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"containers": list(containers)}}


def test_an_additional_item_is_no_change_of_the_others() -> None:
    web, side = {"name": "web", "image": "w:1"}, {"name": "side", "image": "s:1"}
    before, after = aligned(pod(web)), aligned(pod(side, web))
    assert moved(before, after) == set()
    assert moved(after, before) == {"spec.containers[name=side].name", "spec.containers[name=side].image"}


def test_a_changed_value_is_found_at_its_name() -> None:
    before = aligned(pod({"name": "web", "image": "w:1"}, {"name": "side", "image": "s:1"}))
    after = aligned(pod({"name": "side", "image": "s:2"}, {"name": "web", "image": "w:1"}))
    assert moved(before, after) == {"spec.containers[name=side].image"}
