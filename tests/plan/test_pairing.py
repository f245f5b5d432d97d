"""Objects that a generator makes again under another hash are one object to the reader."""

from typing import Any

from bateau.api.plan_markdown import plan_markdown
from bateau.cli.plan_text import plan_text
from bateau.control.baseline import split_findings
from bateau.domain.change import Delivery
from bateau.domain.finding import Finding
from bateau.plan import compare
from plan.objects import container, deployment, manifest, thing

OLD, NEW = "conf-872fk48bdg", "conf-bfdc772m54"


def reader(name: str) -> dict[str, Any]:
    tree = deployment()
    container(tree)["envFrom"] = [{"configMapRef": {"name": name}}]
    return tree


def plan(desired: list[Any], observed: list[Any], **options: Any) -> Delivery:
    return compare([manifest(tree) for tree in desired], observed, **options)


def test_f10_an_edit_of_a_generated_config_map_is_a_change_and_not_a_removal() -> None:
    """F10: three edited literals were three removals, "removes 3 of 5 objects", and the job failed."""
    names = [("a", "872fk48bdg", "bfdc772m54"), ("b", "9972mt5g8k", "2mhk4c8bdt"), ("c", "t5g8k2mhk4", "c8bdtmt5g8")]
    observed = [thing(f"{name}-{old}", data={"A": "1", "B": "x"}) for name, old, _ in names]
    desired = [thing(f"{name}-{new}", data={"A": "2", "B": "x"}) for name, _, new in names]
    delivery = plan(desired, observed)
    assert [change.act for change in delivery.changes] == ["replace"] * 3
    assert [(f.shown, f.before, f.after) for f in delivery.changes[0].fields] == [("data.A", "1", "2")]
    assert (delivery.removals, delivery.needs_confirmation, delivery.wrong) == ((), None, False)
    assert plan_text(delivery).splitlines()[1:3] == [
        "~ ConfigMap a-bfdc772m54  replaces ConfigMap a-872fk48bdg",
        '~ ConfigMap a-bfdc772m54  data.A "1" -> "2"',
    ]
    assert "a-872fk48bdg" in plan_markdown(delivery)
    removed = [(step.key[3], step.reason) for step in delivery.steps if step.act == "remove"]
    assert ("a-872fk48bdg", "replaced by a-bfdc772m54") in removed, "it goes once nothing reads it"


def test_f10_who_reads_the_new_one_restarts() -> None:
    """F10: the plan did not report the changes in them, or the affected services."""
    delivery = plan([reader(NEW), thing(NEW, data={"A": "2"})], [reader(OLD), thing(OLD, data={"A": "1"})])
    changes = {change.key[1]: change for change in delivery.changes}
    assert changes["ConfigMap"].reasons == ("Deployment shop restarts and reads it",)
    assert changes["Deployment"].effect == "restart"


def test_f10_values_of_a_generated_secret_stay_hidden() -> None:
    """F10: secrets stay hidden."""
    before, after = thing(OLD, "Secret", data={"p": "b2xk"}), thing(NEW, "Secret", data={"p": "bmV3"})
    delivery = plan([after], [before])
    assert "data.p (secret changed)" in plan_text(delivery)
    assert not any(each in repr(delivery) for each in ("b2xk", "bmV3"))


def test_a_hash_of_a_chart_is_one_too() -> None:
    delivery = plan([thing("conf-1a2b3c4d", data={"A": "2"})], [thing("conf-99aabbcc", data={"A": "1"})])
    assert [change.act for change in delivery.changes] == ["replace"]


def test_where_several_could_be_meant_none_is_paired() -> None:
    observed = [thing(OLD, data={"A": "1"}), thing("conf-9972mt5g8k", data={"A": "0"})]
    delivery = plan([thing(NEW, data={"A": "2"})], observed)
    assert sorted(change.act for change in delivery.changes) == ["create", "remove", "remove"]


def test_other_kinds_and_plain_names_are_not_paired() -> None:
    for old, new in [
        (thing(OLD, "Service", spec={"a": 1}), thing(NEW, "Service", spec={"a": 2})),
        (thing("conf-one", data={"A": "1"}), thing("conf-two", data={"A": "2"})),
        (thing("conf", data={"A": "1"}), thing(NEW, data={"A": "2"})),
    ]:
        assert sorted(change.act for change in plan([new], [old]).changes) == ["create", "remove"]


def test_a_finding_about_a_generated_object_is_the_same_under_another_hash() -> None:
    """F10 and F26: an edit of a literal is not a new violation."""
    before, after = (
        Finding(rule="house/team", subject=f"ConfigMap prod/{name}", verdict="error", says=f"{name} has no team")
        for name in (OLD, NEW)
    )
    assert split_findings([after], [before]).new == ()


def test_of_equal_findings_only_the_surplus_is_new() -> None:
    at = [
        Finding(rule="house/tag", subject="Deployment a", verdict="error", says="no tag", path=f"spec.containers[{n}]")
        for n in range(3)
    ]
    split = split_findings(at, [at[2], at[0]])
    assert (split.new, split.both, split.gone) == ((at[1],), (at[0], at[2]), ())
    moved = split_findings(at[:2], [at[2]])
    assert (len(moved.new), len(moved.both)) == (1, 1)
    assert split_findings([], at[:1]).gone == (at[0],)
