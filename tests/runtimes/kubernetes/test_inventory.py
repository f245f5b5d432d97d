"""The list of created objects: in parts, shared by control planes that save at once, and not by two repositories."""

import pytest

from bateau.domain.errors import ClusterError
from bateau.kit.json_value import JsonObject, text_at
from bateau.runtimes.kubernetes import inventory
from bateau.runtimes.kubernetes.inventory import Inventory, Listed
from bateau.runtimes.kubernetes.live import Key
from runtimes.kubernetes.rig import CONFIG_MAPS, Bench


def _key(name: str) -> Key:
    return "", "ConfigMap", "shop", name


def _objects(*names: str, uid: str = "u") -> dict[Key, Listed]:
    return {_key(name): Listed("v1", f"{uid}-{name}", "app/shop") for name in names}


def _inventory(b: Bench, repository: str = "") -> Inventory:
    return Inventory(b.api, owner=b.namespace, namespace=b.namespace, repository=repository)


async def _parts(b: Bench) -> dict[str, str]:
    """Return the resource version of each part."""

    def kept(tree: JsonObject) -> tuple[str, str]:
        return text_at(tree, "metadata", "name"), text_at(tree, "metadata", "resourceVersion")

    found, _ = await b.api.list(CONFIG_MAPS, kept, namespace=b.namespace, selector="bateau.dev/inventory")
    return dict(found)


async def test_a_list_grows_and_shrinks_in_parts(cluster_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    b = cluster_bench
    monkeypatch.setattr(inventory, "_PART", 10)
    saving = _inventory(b)
    for count, parts in ((5, 1), (25, 4), (70, 8), (12, 2), (0, 1)):
        objects = _objects(*(f"a{number}" for number in range(count)))
        await saving.save(objects)
        assert len(await _parts(b)) == parts
        assert await _inventory(b).read() == objects


async def test_a_new_object_changes_one_part(cluster_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    b = cluster_bench
    monkeypatch.setattr(inventory, "_PART", 10)
    saving, objects = _inventory(b), _objects(*(f"a{number}" for number in range(50)))
    await saving.save(objects)
    before = await _parts(b)
    await saving.save(objects | _objects("new"))
    assert len(before.items() - (await _parts(b)).items()) == 1


async def test_two_control_planes_that_save_at_once_both_keep_their_lines(cluster_bench: Bench) -> None:
    b = cluster_bench
    first, second = _inventory(b), _inventory(b)
    await first.save(_objects("a", "b"))
    await second.read()
    await first.save(_objects("a", "b", "c"))
    await second.save(_objects("a", "d"))
    assert await _inventory(b).read() == _objects("a", "c", "d")
    await first.save(_objects("a", "b", "c", "e"))
    assert await _inventory(b).read() == _objects("a", "c", "d", "e")


async def test_a_list_that_was_deleted_is_written_again(cluster_bench: Bench) -> None:
    b = cluster_bench
    saving = _inventory(b)
    await saving.save(_objects("a"))
    found = await b.api.get(CONFIG_MAPS, b.namespace, f"bateau-inventory-{b.namespace}")
    await b.api.delete(
        CONFIG_MAPS, b.namespace, f"bateau-inventory-{b.namespace}", uid=text_at(found or {}, "metadata", "uid")
    )
    await saving.save(_objects("a"), whole=True)
    assert await _inventory(b).read() == _objects("a")


async def test_a_list_of_the_first_format_is_read(cluster_bench: Bench) -> None:
    b = cluster_bench
    tree = b.config_map(
        f"bateau-inventory-{b.namespace}", format="1", objects='["v1", "ConfigMap", "shop", "a", "u-a"]'
    )
    await b.api.apply(CONFIG_MAPS, tree)
    assert await _inventory(b).read() == {_key("a"): Listed("v1", "u-a", "")}


async def test_a_list_of_another_repository_is_refused_with_a_way_out(cluster_bench: Bench) -> None:
    b = cluster_bench
    await _inventory(b, "git.example/acme/shop").save(_objects("a"))
    assert await _inventory(b).read() == _objects("a"), "a reader that does not know its repository may read"
    with pytest.raises(ClusterError) as caught:
        await _inventory(b, "git.example/acme/cart").read()
    assert "belongs to the repository git.example/acme/shop" in caught.value.message
    assert "git.example/acme/cart" in caught.value.message
    assert "another name or namespace" in (caught.value.hint or "")
    words = (caught.value.hint or "").partition("kubectl ")[2].split()
    assert words[0] == "annotate"
