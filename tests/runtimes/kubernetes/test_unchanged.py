"""What a restarted control plane sends: nothing for objects that are as asked, and an apply for all others."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from bateau.domain.unit import Unit
from bateau.kit.json_value import JsonObject, object_at
from bateau.runtimes.kubernetes.live import asked, held_values
from runtimes.kubernetes.rig import CONFIG_MAPS, Bench, settled, unit

GOLDEN = Path(__file__).parents[2] / "golden/kubernetes"


async def sent(b: Bench, units: Sequence[Unit], *, force: bool = False) -> list[str]:
    """Start a control plane with these units, and return the names of what it applies, without its inventory."""
    async with b.runtime(force=force) as runtime:
        paths: list[str] = []
        send = runtime.api.send

        async def noted(path: str, body: bytes, **more: Any) -> tuple[JsonObject, bool]:
            paths.append(path)
            return await send(path, body, **more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(runtime.api, "send", noted)
            await settled(runtime, units)
        return sorted(each.rpartition("/")[2] for each in paths if "bateau-inventory" not in each)


async def test_unchanged_objects_are_not_applied_again(cluster_bench: Bench) -> None:
    b = cluster_bench
    units = [unit("shop", b.config_map("shop", a="1"), b.deployment("shop")), unit("cart", b.config_map("cart", a="1"))]
    assert await sent(b, units) == ["cart", "shop", "shop"]
    assert await sent(b, units) == []


async def test_what_differs_is_applied(cluster_bench: Bench) -> None:
    """The specs have changed, or someone has changed the object, while no control plane ran."""
    b = cluster_bench
    before = [unit(name, b.config_map(name, a="1", b="1")) for name in ("same", "specs", "fewer", "edited")]
    await sent(b, before)
    tree = object_at(await b.api.get(CONFIG_MAPS, b.namespace, "edited"))
    await b.api.update(CONFIG_MAPS, {**tree, "data": {"a": "2", "b": "1"}})
    after = [
        unit("same", b.config_map("same", a="1", b="1")),
        unit("specs", b.config_map("specs", a="2", b="1")),
        unit("fewer", b.config_map("fewer", a="1")),
        unit("edited", b.config_map("edited", a="1", b="1")),
    ]
    assert await sent(b, after, force=True) == ["edited", "fewer", "specs"]
    assert await b.data("fewer") == {"a": "1"}
    assert await b.data("specs") == {"a": "2", "b": "1"}


@pytest.mark.parametrize("name", sorted(each.stem for each in GOLDEN.glob("*.yaml")))
async def test_rendered_objects_are_recognised(name: str, cluster_bench: Bench) -> None:
    """Lists with keys, sets, ports, probes, quantities: as the API server returns them."""
    b = cluster_bench
    trees = [each for each in yaml.safe_load_all((GOLDEN / f"{name}.yaml").read_text()) if each]
    for tree in trees:
        tree["metadata"]["namespace"] = b.namespace
        if tree["kind"] == "Deployment":
            tree["spec"]["replicas"] = 0  # no node runs them
    units = [unit(name, *trees)]
    assert len(await sent(b, units)) == len(trees)
    assert await sent(b, units) == []


def test_the_digest_of_what_is_held_is_that_of_what_was_asked() -> None:
    body = (
        b'{"apiVersion":"v1","kind":"Service","metadata":{"name":"a","labels":{"x":"y"}},'
        b'"spec":{"ports":[{"port":80},{"port":81,"name":"b"}]}}'
    )
    fields: dict[str, Any] = {
        "f:metadata": {"f:labels": {"f:x": {}}},
        "f:spec": {
            "f:ports": {
                'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}},
                'k:{"port":81,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:name": {}},
            }
        },
    }
    entry: dict[str, Any] = {"manager": "bateau", "operation": "Apply", "apiVersion": "v1", "fieldsV1": fields}

    def tree(**port: object) -> Any:
        ports = [{"port": 80, "protocol": "TCP", "targetPort": 80}, {"port": 81, "name": "b", "protocol": "TCP"} | port]
        metadata: dict[str, Any] = {"name": "a", "labels": {"x": "y", "other": "z"}, "managedFields": [entry]}
        return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": ports}}

    assert held_values(tree()) == asked(body)
    assert held_values(tree(nodePort=30000)) == asked(body), "a field that Bateau does not hold"
    assert held_values(tree(name="c")) != asked(body)
