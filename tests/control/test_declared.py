"""Texts as units of a cluster: a commit is all or nothing; documents stand by themselves."""

import json
from datetime import date

from bateau.control.declared import declare, declare_each
from bateau.control.deliveries import Deliveries, digests_of
from bateau.control.delivery import Rendered
from bateau.control.holding import Held, with_holds
from bateau.control.object_checks import Rules
from bateau.control.rollback import Hold
from bateau.domain.errors import ControlError
from bateau.domain.unit import Objects
from bateau.kit.json_value import Json
from bateau.wiring.schemas import load_schemas

RULES = Rules(schemas=load_schemas(), today=date(2026, 11, 29))
MODEL: dict[str, Json] = {"source": "smollm2"}
EXTERNAL: dict[str, Json] = {"engine": "external", "source": "https://api.example.org/v1"}


def texts(**specs: dict[str, Json]) -> dict[str, str]:
    """Return documents by their keys: `app_web` is "app/web"."""
    made: dict[str, str] = {}
    for name, spec in specs.items():
        kind, _, short = name.partition("_")
        tree = {
            "apiVersion": "bateau.dev/v1alpha1",
            "kind": kind.capitalize(),
            "metadata": {"name": short},
            "spec": spec,
        }
        made[f"{kind}/{short}"] = json.dumps(tree)
    return made


def test_a_commit_with_an_error_gives_nothing():
    found = declare(texts(app_web={"image": "web:1"}, app_bad={"image": "x:1", "uses": ["model/nope"]}), None, RULES)
    assert found.units == ()
    assert found.wrong is not None
    assert "there is no such Model" in found.wrong


def test_a_commit_for_an_environment_that_does_not_exist_gives_nothing():
    assert declare(texts(app_web={"image": "web:1"}), "prod", RULES).wrong == "there is no Environment prod"


def test_a_hold_that_cannot_be_kept_leaves_its_service_as_it_is():
    def unread(_key: str, _commit: str) -> Rendered:
        raise ControlError("the clone is shallow")

    def hold(made: Rendered) -> Held:
        return with_holds(made, Deliveries(holds={"app/web": Hold(3, digests_of(made)["app/web"])}), unread)

    found = declare(texts(app_web={"image": "web:1"}, app_api={"image": "api:1"}), None, RULES, hold=hold)
    assert [each.key for each in found.units] == ["app/api"]
    assert "the clone is shallow" in found.refused["app/web"]
    assert found.wrong is None


def test_an_error_stays_with_its_document():
    found = declare_each(
        texts(
            app_web={"image": "web:1", "uses": ["model/chat"]},
            model_chat=MODEL,
            app_bad={"image": "x:1", "uses": ["model/nope"]},
            app_mute={"image": "x:1", "ports": {"http": {"port": "many"}}},
        ),
        RULES,
        namespace="shop",
    )
    assert [each.key for each in found.units] == ["app/web", "model/chat"]
    assert sorted(found.refused) == ["app/bad", "app/mute"]
    assert "there is no such Model" in found.refused["app/bad"]
    assert found.wrong is None


def test_who_needs_a_wrong_document_stays_as_it_is_and_nobody_else_does():
    found = declare_each(
        texts(app_web={"image": "web:1", "uses": ["model/chat"]}, model_chat={"source": 7}, app_other={"image": "x:1"}),
        RULES,
        namespace="shop",
    )
    assert [each.key for each in found.units] == ["app/other"]
    assert sorted(found.refused) == ["app/web", "model/chat"]


def test_what_has_no_objects_on_a_cluster_says_why():
    found = declare_each(texts(model_far=EXTERNAL, app_tool={"command": ["tool"]}), RULES, namespace="shop")
    assert found.units == ()
    assert "runs elsewhere" in found.elsewhere["model/far"]
    assert "spec.image" in found.elsewhere["app/tool"]


def test_the_namespace_is_that_of_the_documents():
    found = declare_each(texts(app_web={"image": "web:1"}), RULES, namespace="shop")
    body = found.units[0].body
    assert isinstance(body, Objects)
    assert {each.key[2] for each in body.manifests} == {"shop"}


POLICY: dict[str, Json] = {
    "match": {"kinds": ["App"]},
    "rules": [
        {
            "name": "owner",
            "check": "has(metadata.labels) && has(metadata.labels.owner)",
            "message": "'name an owner'",
            "severity": "error",
        }
    ],
}


def test_a_policy_forbids_a_document_and_no_other():
    wanted = texts(app_web={"image": "web:1"}, policy_house=POLICY)
    owned = json.loads(wanted["app/web"])
    owned["metadata"] = {"name": "owned", "labels": {"owner": "shop"}}
    found = declare_each({**wanted, "app/owned": json.dumps(owned)}, RULES, namespace="shop")
    assert [each.key for each in found.units] == ["app/owned"]
    assert "name an owner" in found.refused["app/web"]


def test_while_a_policy_cannot_be_read_nothing_is_applied():
    """Nobody knows what it would forbid."""
    rule: dict[str, Json] = {"name": "owner", "check": "has(", "message": "'name an owner'", "severity": "error"}
    broken: dict[str, Json] = {**POLICY, "rules": [rule]}
    found = declare_each(texts(app_web={"image": "web:1"}, policy_house=broken), RULES, namespace="shop")
    assert found.units == ()
    assert sorted(found.refused) == ["app/web", "policy/house"]
