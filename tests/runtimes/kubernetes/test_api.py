"""Bad days of an API server: overload, errors, expired versions, credentials that end. Conflicts at the real one."""

import pytest

from bateau.domain.errors import ClusterDenied, ClusterUnreachable, ObjectRefused
from bateau.kit.json_value import JsonObject, text_at
from bateau.runtimes.kubernetes import requests
from bateau.runtimes.kubernetes.api import Resource
from bateau.runtimes.kubernetes.requests import Gone
from runtimes.kubernetes.rig import CONFIG_MAPS, Bench
from runtimes.kubernetes.servant import objects, served, status

MAPS = Resource("/api/v1", "configmaps", namespaced=True)


def named(name: str) -> JsonObject:
    return {"metadata": {"name": name, "uid": name, "resourceVersion": "1"}}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_FIRST_PAUSE_S", 0.001)


def _name(tree: JsonObject) -> str:
    return text_at(tree, "metadata", "name")


@pytest.mark.parametrize(
    "bad",
    [
        status(429, "TooManyRequests", "slow down", **{"Retry-After": "0"}),
        status(503, "ServiceUnavailable", "leader changed"),
        status(500, "InternalError", "etcd is away"),
        status(504, "Timeout", "too slow"),
    ],
)
async def test_an_overloaded_server_is_asked_again(bad: object) -> None:
    async with served(bad, bad, objects(named("a"))) as (api, servant):  # pyright: ignore[reportArgumentType]
        assert await api.list(MAPS, _name) == (["a"], "5")
        assert len(servant.asked) == 3


async def test_a_server_that_stays_overloaded_is_unreachable_after_five_tries() -> None:
    async with served(status(503, "ServiceUnavailable", "leader changed")) as (api, servant):
        with pytest.raises(ClusterUnreachable, match="leader changed"):
            await api.list(MAPS, _name)
        assert len(servant.asked) == 5


async def test_a_field_outside_the_schema_is_refused_at_once_although_the_server_answers_500() -> None:
    says = "failed to create typed patch object (a/b; /v1, Kind=ConfigMap): .dat: field not declared in schema"
    async with served(status(500, "", says)) as (api, servant):
        with pytest.raises(ObjectRefused, match="field not declared"):
            await api.apply(MAPS, named("a"))
        assert len(servant.asked) == 1


async def test_a_webhook_that_fails_refuses_the_object_and_not_the_cluster() -> None:
    async with served(status(500, "InternalError", "failed calling webhook")) as (api, _):
        with pytest.raises(ObjectRefused, match="failed calling webhook"):
            await api.apply(MAPS, named("a"))


async def test_a_list_in_pages_starts_again_when_its_version_is_gone() -> None:
    gone = status(410, "Expired", "the provided continue parameter is too old")
    async with served(objects(named("a"), more="x"), gone, objects(named("a"), more="y"), objects(named("b"))) as (
        api,
        _,
    ):
        assert await api.list(MAPS, _name) == (["a", "b"], "5")


async def test_an_old_version_of_a_watch_is_gone() -> None:
    async with served(status(410, "Expired", "too old resource version")) as (api, _):
        with pytest.raises(Gone):
            _ = [event async for event in api.watch(MAPS, "1")]


@pytest.mark.parametrize(("code", "hint"), [(401, "log in"), (403, "role")])
async def test_a_denied_request_names_the_right_and_no_token(code: int, hint: str) -> None:
    says = 'configmaps is forbidden: User "ci" cannot list resource "configmaps"'
    async with served(status(code, "Forbidden", says), token="s3cret") as (api, _):
        with pytest.raises(ClusterDenied) as caught:
            await api.list(MAPS, _name)
        assert hint in (caught.value.hint or "")
        assert "s3cret" not in caught.value.message


async def test_a_quota_refuses_the_object_and_is_not_a_matter_of_rights() -> None:
    async with served(status(403, "Forbidden", 'pods "a" is forbidden: exceeded quota: small')) as (api, _):
        with pytest.raises(ObjectRefused, match="exceeded quota"):
            await api.apply(MAPS, named("a"))


async def test_fields_of_another_manager_are_taken_by_force_only(cluster_bench: Bench) -> None:
    b = cluster_bench
    await b.api.create(CONFIG_MAPS, b.config_map("shop", a="theirs"))
    theirs = {**b.config_map("shop", a="theirs")}
    path = CONFIG_MAPS.path(b.namespace, "shop")
    query = {"fieldManager": "other", "force": "true"}
    await b.api.requests.json("PATCH", path, query=query, body=theirs, form="application/apply-patch+yaml")
    with pytest.raises(ObjectRefused) as caught:
        await b.api.apply(CONFIG_MAPS, b.config_map("shop", a="ours"))
    assert caught.value.reason == "Conflict"
    assert '"other"' in caught.value.message
    assert await b.data("shop") == {"a": "theirs"}
    await b.api.apply(CONFIG_MAPS, b.config_map("shop", a="ours"), force=True)
    assert await b.data("shop") == {"a": "ours"}
