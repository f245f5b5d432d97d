"""Routes are encoded one by one, and Envoy gets what it would get if they were encoded as a whole.

Nothing that did not change is encoded again.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from google.protobuf.json_format import MessageToDict, ParseError

from bateau.domain.endpoint import Backend, Hold, Traffic
from bateau.kit.json_value import ReadObject
from bateau.traffic.envoy import resources
from bateau.traffic.envoy.api import EnvoyApi
from bateau.traffic.envoy.listener import FrontSettings
from bateau.traffic.envoy.resources import ResourceBuilder
from bateau.traffic.envoy.route_encoding import RouteEncoder
from bateau.traffic.envoy.routes import front_routes
from bateau.wiring.envoy import envoy_binary

_TYPE = "envoy.config.route.v3.RouteConfiguration"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> EnvoyApi:
    return EnvoyApi(envoy_binary(os.environ), tmp_path_factory.mktemp("cache"))


def _model(name: str, *, says: str = "") -> Backend:
    hold = Hold(requests_max=64, wait_s=60.0, says=says) if says else None
    return Backend(service=f"model/{name}", name=name, protocol="openai", aliases=(f"{name}-too",), hold=hold)


MODELS = [_model("chat", says="it sleeps"), _model("code"), _model("embed")]


def test_routes_encoded_one_by_one_are_those_of_the_whole(api: EnvoyApi) -> None:
    encoder = RouteEncoder(api)
    for models in (MODELS, [_model("chat", says="it starts"), *MODELS[1:]], MODELS[1:], [], MODELS):
        for on_machine in (True, False):
            routes = front_routes(models, on_machine=on_machine)
            assert _tree(api, encoder.encode(routes)) == _tree(api, api.encode(_TYPE, routes))


def test_an_unchanged_route_is_not_encoded_again(api: EnvoyApi, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, encoded = RouteEncoder(api), list[ReadObject]()
    encoder.encode(front_routes(MODELS))
    encode = api.encode

    def counted(type_name: str, value: ReadObject) -> bytes:
        encoded.append(value)
        return encode(type_name, value)

    monkeypatch.setattr(api, "encode", counted)
    first = encoder.encode(front_routes(MODELS))
    assert not encoded
    assert encoder.encode(front_routes([replace(MODELS[0], hold=None), *MODELS[1:]])) != first
    # By its name and by its alias, and what the lists of models say about it.
    assert 2 <= len(encoded) <= 8, [str(each)[:200] for each in encoded]
    assert encoder.encode(front_routes(MODELS)) == first


def test_an_unchanged_filter_is_not_encoded_again(api: EnvoyApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if its keys are in another order: the encoder moves `@type` in the values that it gets."""
    builder = ResourceBuilder(api, ("127.0.0.1", 8080), Path("/run/control.sock"), "gateway/envoy")
    encoded: list[str] = []
    first = builder.build(Traffic(backends=(*MODELS,)))
    encode, filters = api.encode, resources.front_filters

    def counted(type_name: str, value: ReadObject) -> bytes:
        encoded.append(type_name)
        return encode(type_name, value)

    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(each) for key, each in reversed(cast("dict[str, Any]", value).items())}
        return [turned(each) for each in cast("list[Any]", value)] if isinstance(value, list) else value

    def in_another_order(front: FrontSettings, models: list[Backend]) -> Iterator[ReadObject]:
        return map(turned, filters(front, models))

    monkeypatch.setattr(api, "encode", counted)
    monkeypatch.setattr(resources, "front_filters", in_another_order)
    assert builder.build(Traffic(backends=(*MODELS,))) == first
    assert encoded == []


def test_a_route_that_this_envoy_does_not_have_is_refused(api: EnvoyApi) -> None:
    with pytest.raises(ParseError):
        RouteEncoder(api).routes([{"name": "chat", "nothing": 1}])


def _tree(api: EnvoyApi, body: bytes) -> object:
    message: Any = api.message(_TYPE, {})
    message.ParseFromString(body)
    return MessageToDict(message, descriptor_pool=message.DESCRIPTOR.file.pool)
