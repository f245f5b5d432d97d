"""An object with defaults, as rules see it, against the same object from a real API server."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from bateau.kit.json_value import ReadJson, is_array, is_object
from bateau.wiring.schemas import load_schemas
from policy.api_server import judging

GOLDEN: Final = Path(__file__).parents[1] / "golden/kubernetes"
SENT: Final[list[dict[str, Any]]] = [
    tree
    for path in (Path(__file__).parent / "served_form.yaml", *sorted(GOLDEN.rglob("*.yaml")))
    for tree in yaml.safe_load_all(path.read_text())
    if tree
]
SYSTEM: Final = "creationTimestamp finalizers generation managedFields namespace resourceVersion uid"
# What controllers, allocators and admission plugins add by themselves. None of it can be known without the server.
ADDED: Final = {
    "metadata": set(SYSTEM.split()),
    "": {"status"},
    "spec": {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "tolerations", "metrics", "behavior"},
}
GENERATED: Final = {"Job": {".metadata.labels", ".spec.selector", ".spec.template.metadata.labels"}}
LIMITS: Final = {"LimitRange": {".spec.limits[0].defaultRequest"}}


@pytest.fixture(scope="module")
def stored(control_plane: Path) -> list[Mapping[str, Any]]:
    async def ask() -> list[Mapping[str, Any]]:
        async with judging(control_plane, []) as server:
            answers = await server.each(SENT)
        assert [answer.refused for answer in answers if answer.refused] == []
        return [answer.tree for answer in answers]

    return asyncio.run(ask())


def _differences(ours: ReadJson, theirs: ReadJson, path: str = "") -> Iterator[str]:
    if is_object(ours) and is_object(theirs):
        for key in sorted((ours.keys() | theirs.keys()) - ADDED.get(path.removeprefix("."), set())):
            if key in ours and key in theirs:
                yield from _differences(ours[key], theirs[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif is_array(ours) and is_array(theirs) and len(ours) == len(theirs):
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif ours != theirs:
        yield path


@pytest.mark.parametrize("index", range(len(SENT)), ids=lambda i: f"{SENT[i]['kind']}-{SENT[i]['metadata']['name']}")
def test_rules_see_the_object_that_the_server_stores(stored: list[Mapping[str, Any]], index: int) -> None:
    tree = SENT[index]
    expected = GENERATED.get(tree["kind"], set()) | LIMITS.get(tree["kind"], set())
    found = set(_differences(load_schemas().with_defaults(tree), stored[index]))
    assert found == expected
