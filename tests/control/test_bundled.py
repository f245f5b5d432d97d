"""The units of a bundle are those of its texts; what must not be applied gives none."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from bateau.control.bundled import Origin, declared_by, origin_of
from bateau.control.declared import declare
from bateau.control.deliveries import Deliveries
from bateau.control.destinations import terms_of
from bateau.control.endpoints import endpoints
from bateau.control.holding import Held
from bateau.control.object_checks import Rules
from bateau.control.rollback import Hold
from bateau.domain.endpoint import Traffic
from bateau.domain.errors import ControlError
from bateau.domain.release import Release
from bateau.domain.unit import Objects, Unit
from bateau.kit.archive import archive, compressed, files_in, members
from bateau.kit.json_value import JsonObject
from bateau.specs import read
from bateau.wiring.packing import Packer
from bateau.wiring.question import Question
from bateau.wiring.schemas import load_schemas

HEAD = "apiVersion: bateau.dev/v1alpha1\n"
TEXTS = {
    "shop.yaml": f"{HEAD}kind: App\nmetadata: {{name: shop}}\n"
    "spec: {image: r.example/shop:1, ports: {http: {protocol: http}}}\n",
    "cart.yaml": f"{HEAD}kind: App\nmetadata: {{name: cart}}\nspec: {{image: r.example/cart:1, uses: [app/shop]}}\n",
    "prod.yaml": f"{HEAD}kind: Environment\nmetadata: {{name: prod}}\n"
    "spec:\n  namespace: shop\n  drift: report\n"
    "  healthCheckExprs: [{apiVersion: x.example/v1, kind: Thing, current: 'true', failed: 'false'}]\n",
}
POLICY = (
    f"{HEAD}kind: Policy\nmetadata: {{name: house}}\n"
    "spec: {match: {kinds: [Deployment], stage: manifest}, rules: [{name: no, check: 'false', message: \"'no'\"}]}\n"
)
Bundled = Callable[[Mapping[str, str]], bytes]


@pytest.fixture
def bundled(tmp_path: Path) -> Bundled:
    """Return the function that bundles the environment prod of texts."""

    def make(texts: Mapping[str, str]) -> bytes:
        folder = tmp_path / "specs"
        folder.mkdir(exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text)
        packer = Packer(Question(directory=folder, environment="prod"), cache=tmp_path)
        try:
            return packer.bundle(packer.pack("prod"), commit="c0ffee")
        finally:
            packer.close()

    return make


def changed(bundle: bytes, **fields: object) -> bytes:
    """Return a bundle with other fields in its bundle.json; None removes one."""
    files = files_in(bundle)
    about = {**json.loads(files["bundle.json"]), **fields}
    left = {name: value for name, value in about.items() if value is not None}
    return archive((compressed(members({**files, "bundle.json": json.dumps(left).encode()})),))


def first(bundle: bytes) -> Origin:
    return origin_of(bundle, "it", "prod")


def trees(unit: Unit) -> list[JsonObject]:
    assert isinstance(unit.body, Objects)
    return [json.loads(json.dumps(each.tree)) for each in unit.body.manifests]


def test_a_bundle_gives_the_units_the_digests_and_the_terms_of_its_texts(bundled: Bundled) -> None:
    data = bundled(TEXTS)
    rules = Rules(schemas=load_schemas("1.37"), today=date(2026, 1, 1))
    live = declare(TEXTS, "prod", rules, hold=lambda made: Held(made=made))
    found = declared_by(data, "it", Deliveries(), first(data))
    assert {each.key: trees(each) for each in found.units} == {each.key: trees(each) for each in live.units}
    assert (found.digests, found.wrong, found.refused, found.commit) == (live.digests, None, {}, "c0ffee")
    assert first(data).terms == terms_of(read(TEXTS), "prod")


def test_a_bundle_names_the_models_and_the_keys_that_a_gateway_serves(bundled: Bundled) -> None:
    chat = "source: 'hf://a/b/c.gguf', fallback: far, split: {far: 10}, timeout: 2m, servedNames: [gpt], env: {A: b}"
    key = "sha256: '%s', limits: {requestsPerMinute: 5, moneyPerDay: 5 EUR}, models: [chat], environments: [%s]"
    texts = {
        **TEXTS,
        "chat.yaml": f"{HEAD}kind: Model\nmetadata: {{name: chat}}\n"
        f"spec: {{{chat}, limits: {{requestsPerMinute: 7}}, scale: {{max: 2, queue: {{max: 3}}}}}}\n",
        "far.yaml": f"{HEAD}kind: Model\nmetadata: {{name: far}}\n"
        "spec: {engine: external, source: 'https://api.example.org/v1', external: {model: x, apiKeyEnv: KEY}}\n",
        "key.yaml": f"{HEAD}kind: Key\nmetadata: {{name: ci}}\nspec: {{{key % ('0' * 64, 'prod')}}}\n",
        "other.yaml": f"{HEAD}kind: Key\nmetadata: {{name: dev}}\nspec: {{{key % ('1' * 64, 'staging')}}}\n",
        "staging.yaml": f"{HEAD}kind: Environment\nmetadata: {{name: staging}}\n",
    }
    data = bundled(texts)
    found = declared_by(data, "it", Deliveries(), first(data))
    expected = declare(texts, "prod", Rules(schemas=load_schemas("1.37"), today=date(2026, 1, 1)))
    assert not expected.wrong
    assert [replace(each, declared_at=None) for each in found.keys] == [
        replace(each, declared_at=None) for each in expected.keys
    ]
    assert [each.name for each in found.keys] == ["ci"]
    assert gateway_sees(found.release) == gateway_sees(expected.release)
    assert len(gateway_sees(found.release)) == 2
    # One that was made by an older version names none, and no gateway is told that there are none.
    files = files_in(data)
    del files["gateway.json"]
    older = archive((compressed(members(files)),))
    assert not declared_by(older, "it", Deliveries(), first(older)).names_models


def gateway_sees(release: Release) -> list[object]:
    """Return the backends of the models of a release."""
    made, failed = endpoints(release, (), app_ports={}, api_keys={}, files={}, before=Traffic(), proxies=())
    assert not failed
    return [*(each for each in made.backends if each.protocol == "openai")]


def test_a_held_service_stays_as_it_is_until_its_spec_changes(bundled: Bundled) -> None:
    data = bundled(TEXTS)
    origin = first(data)
    over = declared_by(data, "it", Deliveries(), origin).digests["app/shop"]
    deliveries = Deliveries(holds={"app/shop": Hold(1, over), "app/cart": Hold(1, "of an earlier spec")})
    found = declared_by(data, "it", deliveries, origin)
    assert [each.key for each in found.units] == ["app/cart"]
    assert found.refused.keys() == found.pins.keys() == {"app/shop"}
    assert "app/shop" in found.digests, "so that the hold lasts in the history"
    later = bundled({**TEXTS, "shop.yaml": TEXTS["shop.yaml"].replace("shop:1", "shop:2")})
    assert declared_by(later, "it", deliveries, origin).refused == {}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"environment": "staging"}, "a bundle of staging in namespace shop, not of prod"),
        ({"namespace": "other"}, "a bundle of prod in namespace other, not of prod in shop"),
        (
            {"repository": "git.example/acme/cart"},
            "of the repository git.example/acme/cart, not of git.example/acme/shop",
        ),
        ({"apiVersion": "bateau.dev/bundle/v3"}, "has the bundle format bateau.dev/bundle/v3"),
        ({"digests": None}, "was made by an older Bateau: it does not have digests"),
        ({"services": ["app/none"]}, "is not a bundle, or is damaged"),
    ],
)
def test_a_bundle_with_another_owner_or_format_gives_no_units(
    bundled: Bundled, fields: dict[str, object], says: str
) -> None:
    data = bundled(TEXTS)
    origin = replace(first(data), repository="git.example/acme/shop")
    with pytest.raises(ControlError, match=says):
        declared_by(changed(data, **fields), "it", Deliveries(), origin)


def test_another_environment_than_the_wanted_one_is_refused_at_the_start(bundled: Bundled) -> None:
    with pytest.raises(ControlError, match="it is a bundle of prod, not of staging"):
        origin_of(bundled(TEXTS), "it", "staging")


def test_a_bundle_that_a_policy_forbids_gives_no_units(bundled: Bundled) -> None:
    data = bundled({**TEXTS, "policy.yaml": POLICY})
    found = declared_by(data, "it", Deliveries(), first(data))
    assert found.units == ()
    assert found.wrong is not None
    assert "no" in found.wrong
    assert "(and 1 more)" in found.wrong
