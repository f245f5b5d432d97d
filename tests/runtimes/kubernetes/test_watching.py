"""A watch that breaks, in every way that it can, is resumed or starts again, and nothing is missed."""

import asyncio
import json
from collections.abc import Callable

import pytest

from bateau.kit.backoff import Backoff
from bateau.kit.json_value import JsonObject, text_at
from bateau.runtimes.kubernetes import watching
from bateau.runtimes.kubernetes.api import Resource
from bateau.runtimes.kubernetes.watching import Watched
from runtimes.kubernetes.rig import CONFIG_MAPS, Bench, eventually
from runtimes.kubernetes.servant import Answer, Servant, objects, served, status, stream

MAPS = Resource("/api/v1", "configmaps", namespaced=True)
REFUSED = status(422, "Invalid", "sendInitialEvents is forbidden")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_RETRY", Backoff(initial_s=0.01, ceiling_s=0.05))


def named(name: str, version: int = 1) -> JsonObject:
    return {"metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}, "data": {"x": "y" * 100}}


def event(kind: str, tree: JsonObject) -> bytes:
    return json.dumps({"type": kind, "object": tree}).encode() + b"\n"


def bookmark(version: int, *, initial: bool = False) -> bytes:
    notes: JsonObject = {"k8s.io/initial-events-end": "true"} if initial else {}
    return event("BOOKMARK", {"metadata": {"resourceVersion": str(version), "annotations": notes}})


async def _watched(
    answers: list[Answer], done: Callable[[Watched[str], Servant], bool]
) -> tuple[Watched[str], Servant]:
    """Watch until a state is reached."""
    async with served(*answers) as (api, servant):
        watched = Watched(api, MAPS, keep=lambda tree: text_at(tree, "metadata", "name"), changed=lambda: None)
        task = asyncio.create_task(watched.run())
        try:
            async with asyncio.timeout(10):
                while not done(watched, servant):  # noqa: ASYNC110 - the state is reached by a task of its own
                    await asyncio.sleep(0.005)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return watched, servant


def _versions(servant: Servant) -> list[str]:
    return [each.query.get("resourceVersion", "") for each in servant.asked]


async def test_a_watch_begins_with_all_objects_and_continues_from_its_last_version() -> None:
    first = stream(event("ADDED", named("a")), bookmark(7, initial=True), event("ADDED", named("b", 9)))
    watched, servant = await _watched([first, stream(hold=True)], lambda _, servant: len(servant.asked) == 2)
    assert set(watched.items.values()) == {"a", "b"}
    assert servant.asked[0].query["sendInitialEvents"] == "true"
    assert _versions(servant) == ["", "9"]


async def test_a_server_that_cannot_stream_lists_is_listed() -> None:
    answers = [REFUSED, objects(named("a")), stream(event("DELETED", named("a", 6)), hold=True)]
    watched, servant = await _watched(answers, lambda watched, servant: len(servant.asked) == 3 and not watched.items)
    assert _versions(servant) == ["", "", "5"]
    assert watched.unknown is None


async def test_a_bookmark_moves_the_version_without_an_object() -> None:
    first = stream(bookmark(3, initial=True), bookmark(40))
    _, servant = await _watched([first, stream(hold=True)], lambda _, servant: len(servant.asked) == 2)
    assert _versions(servant) == ["", "40"]


async def test_half_a_line_is_left_out_and_its_event_comes_again() -> None:
    whole = event("ADDED", named("b", 9))
    first = stream(event("ADDED", named("a")), bookmark(7, initial=True), whole[:20])
    answers = [first, stream(whole, hold=True)]
    watched, servant = await _watched(answers, lambda watched, _: len(watched.items) == 2)
    assert _versions(servant) == ["", "7"]
    assert set(watched.items.values()) == {"a", "b"}


@pytest.mark.parametrize("expired", ["answer", "event"])
async def test_a_version_that_is_gone_means_a_new_list_without_the_objects_that_were_deleted_meanwhile(
    expired: str,
) -> None:
    error = (
        json.dumps({"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}).encode() + b"\n"
    )
    gone = status(410, "Expired", "too old resource version") if expired == "answer" else stream(error)
    first = stream(event("ADDED", named("a")), bookmark(7, initial=True))
    second = stream(event("ADDED", named("b")), bookmark(70, initial=True), hold=True)
    answers = [first, gone, second]
    watched, servant = await _watched(answers, lambda watched, _: set(watched.items.values()) == {"b"})
    assert _versions(servant) == ["", "7", ""]
    assert watched.unknown is None


async def test_a_broken_server_leaves_the_last_state_and_says_so() -> None:
    first = stream(event("ADDED", named("a")), bookmark(7, initial=True))
    answers = [first, status(403, "Forbidden", 'User "x" cannot watch')]
    watched, _ = await _watched(answers, lambda watched, _: watched.unknown is not None)
    assert "cannot watch" in (watched.unknown or "")
    assert set(watched.items.values()) == {"a"}


async def test_a_watch_that_is_cut_continues() -> None:
    first = stream(event("ADDED", named("a")), bookmark(7, initial=True), cut=True)
    answers = [first, stream(event("ADDED", named("b", 8)), hold=True)]
    watched, servant = await _watched(answers, lambda watched, _: len(watched.items) == 2)
    assert _versions(servant) == ["", "7"]
    assert watched.unknown is None


async def test_only_what_is_kept_is_in_memory(cluster_bench: Bench) -> None:
    b = cluster_bench
    for number in range(5):
        await b.api.create(CONFIG_MAPS, b.config_map(f"a{number}", big="x" * 10_000))
    watched = Watched(
        b.api,
        CONFIG_MAPS,
        keep=lambda tree: text_at(tree, "metadata", "name"),
        changed=lambda: None,
        namespace=b.namespace,
    )
    task = asyncio.create_task(watched.run())
    await watched.told.wait()
    assert {f"a{number}" for number in range(5)} <= set(watched.items.values())
    await b.api.create(CONFIG_MAPS, b.config_map("later"))

    async def is_seen() -> bool:
        return "later" in watched.items.values()

    await eventually(is_seen)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
