"""A plan as text, JSON, Markdown and SARIF; whole outputs stand in tests/golden/plan."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bateau.api.plan_json import plan_json
from bateau.api.plan_markdown import CHARACTERS_MAX, plan_markdown, plan_pages
from bateau.api.sarif import sarif
from bateau.cli.plan_text import plan_text
from bateau.domain.change import Baseline, Delivery
from bateau.domain.chart import Chart
from bateau.domain.finding import Finding
from bateau.domain.manifest import Manifest
from bateau.domain.origin import Origin, Origins
from bateau.domain.workload import Documents as DocumentsOf
from bateau.domain.workload import ModelServer, ServiceKey, Workload
from bateau.kit.position import Position
from bateau.plan import Documents, compare
from plan.objects import container, deployment, manifest, thing, written

GOLDEN = Path(__file__).parent.parent / "golden/plan"
IMAGE = "spec.template.spec.containers[0].image"
FINDINGS = (
    Finding(
        rule="house-rules/owner",
        subject="app/cart",
        verdict="warning",
        says="no team",
        where=Position("a b.yaml", 3, 1),
    ),
    Finding(rule="schema", subject="Widget w", verdict="not checked", says="no schema of Widget"),
    Finding(rule="pss/root", subject="app/old", verdict="excepted", says="owner: ops, until 2027-01-01"),
)


def chat(maximum: int, origins: Origins | None = None) -> Workload:
    return Workload(
        key=ServiceKey("model/chat"),
        runs=ModelServer(source="smollm2"),
        position=Position("chat.yaml", 1, 1),
        positions={},
        tree={"kind": "Model", "spec": {"source": "smollm2", "scale": {"max": maximum}}},
        origins=origins or {},
    )


def acme() -> Delivery:
    apps = [(name, f"app/{name}") for name in ("cart", "shop")]
    desired = [
        manifest(
            deployment(name, image="acme:1.4.2"),
            service=service,
            origins={IMAGE: written(f"services/{name}.yaml", 6, "acme:1.4.2")},
        )
        for name, service in apps
    ]
    desired += [
        manifest(
            thing("chat", "HorizontalPodAutoscaler", "autoscaling/v2", spec={"maxReplicas": 6}), service="model/chat"
        ),
        manifest(thing("db", "Service", spec={"clusterIP": "None"}), service="app/db"),
        manifest(thing("new", data={"k": "v"}), service="app/shop"),
        manifest(thing("keys", "Secret", data={"k": "bmV3"}), service="app/shop"),
        manifest(thing("calm"), service="app/calm"),
    ]
    observed = [manifest(deployment(name, image="acme:1.4.1"), service=service) for name, service in apps]
    observed += [
        manifest(
            thing("chat", "HorizontalPodAutoscaler", "autoscaling/v2", spec={"maxReplicas": 4}), service="model/chat"
        ),
        manifest(thing("db", "Service", spec={"clusterIP": "10.0.0.7"}), service="app/db"),
        manifest(thing("keys", "Secret", data={"k": "b2xk"}), service="app/shop"),
        manifest(thing("calm"), service="app/calm"),
        manifest(thing("volume", "PersistentVolumeClaim", spec={"size": 1}), service="app/db"),
        manifest(thing("legacy", data={"a": "b"})),
    ]
    chain = (
        Origin("written", Position("services/chat.yaml", 9, 24), 4),
        Origin("value", Position("environments/prod.yaml", 9, 41), 6, "values.chat.replicas"),
    )
    return compare(
        desired,
        observed,
        environment="prod",
        documents=Documents(desired=[chat(6, {"spec.scale.max": chain})], observed=[chat(4)]),
        findings=FINDINGS,
    )


def as_sarif(delivery: Delivery) -> str:
    return sarif(delivery, version="1.2.3")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("acme.txt", plan_text),
        ("acme.json", plan_json),
        ("acme.md", plan_markdown),
        ("acme.sarif", as_sarif),
    ],
)
def test_a_plan_is_shown_as_in_its_golden_file(name: str, shown: Any, request: pytest.FixtureRequest) -> None:
    text = shown(acme()).rstrip() + "\n"
    golden = GOLDEN / name
    if request.config.getoption("--accept"):
        golden.write_text(text)
    assert golden.read_text() == text


def test_a_thousand_equal_edits_are_one_line() -> None:
    names = [f"s{n}" for n in range(1000)]
    desired = [manifest(deployment(name, image="i:2"), service=f"app/{name}") for name in names]
    lines = plan_text(compare(desired, [deployment(name, image="i:1") for name in names])).splitlines()
    assert lines[0] == "1,000 services change, 0 do not"
    assert [line for line in lines if line.startswith("~")] == [
        (
            "~ Deployment s0, Deployment s1, Deployment s10 and 997 more  "
            "template.spec.containers[0].image i:1 -> i:2  (restart)"
        )
    ]


def chart(other: int) -> Workload:
    tree = {"kind": "App", "spec": {"chart": {"source": "c", "values": {"other": other}}}}
    origins = {"spec.chart.values.other": written("app.yaml", 4, other)}
    key, runs = ServiceKey("app/shop"), DocumentsOf(chart=Chart(source="c"))
    return Workload(key=key, runs=runs, position=Position("app.yaml", 1, 1), tree=tree, origins=origins)


def test_edits_of_objects_with_another_cause_than_those_of_their_service_are_shown() -> None:
    """F25: a chart's own default changed together with a value of the spec, and only the value was shown."""

    def side(default: int, other: int) -> Manifest:
        values = {"default": default, "other": other}
        origins = {
            "data.default": written("c/values.yaml", 1, default),
            "data.other": written("app.yaml", 4, other),
        }
        return manifest(thing("x", data=values), service="app/shop", origins=origins)

    delivery = compare(
        [side(5, 4)],
        [side(1, 3)],
        documents=Documents(desired=[chart(4)], observed=[chart(3)]),
    )
    lines = plan_text(delivery).splitlines()
    assert lines[1:] == [
        "~ app/shop     chart.values.other 3 -> 4   app.yaml:4",
        "~ ConfigMap x  data.default 1 -> 5         c/values.yaml:1",
        "  in place: 1 object",
        "  objects: edits that follow from the services above are summed up; --objects lists them",
    ]


def test_every_removal_is_on_a_line_however_many() -> None:
    observed = [thing(f"c{n}", data={"n": str(n)}) for n in range(300)]
    lines = plan_text(compare([], observed)).splitlines()
    assert sum(line.startswith("- ConfigMap c") for line in lines) == 300
    assert "  removes 300 of 300 objects; confirm with --yes-remove 300" in lines


def test_nothing_to_do_is_said() -> None:
    assert plan_text(compare([manifest(thing("a"))], [thing("a")], environment="prod")) == (
        "prod: nothing changes, 1 object is up to date"
    )


def test_a_comment_stays_under_its_limit_and_counts_what_it_leaves_out() -> None:
    observed = [thing(f"c{n}", data={"n": "x" * 50 + str(n)}) for n in range(3000)]
    observed += [thing(f"d{n}", data={"n": "x" * 50}) for n in range(3000)]
    desired = [manifest(thing(f"d{n}", data={"n": f"y{n}" * 9})) for n in range(3000)]
    text = plan_markdown(compare(desired, observed))
    assert len(text) < CHARACTERS_MAX
    assert all(f"`c{n}`" in text for n in range(3000))
    assert re.search(r"\*\*Left out for length:\*\* [0-9,]+ changed\. ", text)
    assert text.index("Removes 3,000 of 6,000 objects") < 200


def test_f1_removals_come_first_and_remarks_are_one_line_per_kind() -> None:
    """F1: 420 Certificates without a schema filled the comment, and the two removals were left out of it."""
    certificates = [thing(f"c{n}", "Certificate", "cert-manager.io/v1") for n in range(420)]
    findings = [
        Finding(rule="schema", subject=f"Certificate c{n}", verdict="not checked", says="no schema of Certificate")
        for n in range(420)
    ]
    gone = [thing("old", "Namespace"), thing("data", "PersistentVolumeClaim")]
    desired = [manifest(each) for each in certificates]
    known = compare(desired, [*certificates, *gone], environment="prod")
    delivery = replace(known, baseline=Baseline(side="commit abc", findings=tuple(findings)))
    lines = plan_markdown(delivery).splitlines()
    assert len(lines) < 15
    assert [line[:19] for line in lines if line.startswith("- ")] == [
        "- `-` `Namespace ol",
        "- `-` `PersistentVo",
        "- ❔ not checked: `s",
    ]
    assert "Certificate c0, Certificate c1, Certificate c10 and 417 more` (420 remarks)" in lines[-1]
    text = plan_text(delivery).splitlines()
    assert text[1].startswith("- Namespace old")
    assert "  not caused by this change: 420 not checked (schema, Certificate)" in text


def test_f1_new_remarks_come_after_the_changes() -> None:
    """F1: everything that is not a change stood before the changes."""
    findings = [
        Finding(rule="schema", subject=f"Certificate c{n}", verdict="not checked", says="no schema of Certificate")
        for n in range(3000)
    ]
    text = plan_markdown(compare([manifest(thing("new"))], [thing("old", data={"k": "1"})], findings=findings))
    lines = [line for line in text.splitlines() if line.startswith("- ")]
    assert [line[:6] for line in lines] == ["- `-` ", "- `+` ", "- ❔ no"]
    errors = [replace(finding, verdict="error") for finding in findings]
    text = plan_markdown(compare([manifest(thing("new"))], [thing("old", data={"k": "1"})], findings=errors))
    lines = [line for line in text.splitlines() if line.startswith("- ")]
    assert [line[:6] for line in lines] == ["- `-` ", "- ❌ er", "- `+` "]


def test_removals_that_do_not_fit_one_comment_fill_several() -> None:
    observed = [thing(f"{'n' * 50}{n}") for n in range(3000)]
    pages = plan_pages(compare([], observed, environment="prod"))
    assert len(pages) > 1
    assert all(len(page) <= CHARACTERS_MAX for page in pages)
    assert all(f"{'n' * 50}{n}`" in "".join(pages) for n in range(3000))
    assert plan_markdown(compare([], observed, environment="prod")) == "\n".join(pages)


def test_values_cannot_break_out_of_a_comment() -> None:
    before, after = deployment(), deployment()
    container(after)["env"][0]["value"] = "`` @everyone <img src=x> [a](b) ``` \n# big"
    text = plan_markdown(compare([manifest(after)], [before]))
    (line,) = [line for line in text.splitlines() if "@everyone" in line]
    assert "```` " in line
    assert "\n# big" not in text


def test_no_secret_is_in_any_form() -> None:
    delivery = compare(
        [manifest(thing("s", "Secret", stringData={"k": "hunter2"}))], [thing("s", "Secret", data={"k": "b2xk"})]
    )
    for text in (plan_text(delivery), plan_json(delivery), plan_markdown(delivery)):
        assert "hunter2" not in text and "b2xk" not in text and "aHVudGVyMg" not in text
    assert "data.k (secret changed)" in plan_text(delivery)


def test_strings_that_look_like_something_else_keep_their_quotes() -> None:
    text = plan_text(compare([manifest(thing("a", data={"k": "on"}))], [thing("a", data={"k": "1e3"})]))
    assert 'data.k "1e3" -> "on"' in text


def test_json_leaves_out_what_is_absent_and_keeps_null() -> None:
    delivery = compare([manifest(thing("a", data={"k": "1", "n": None}))], [thing("a", data={"n": "x"})])
    fields = {f["path"]: f for f in json.loads(plan_json(delivery))["changes"][0]["fields"]}
    assert "before" not in fields["data.k"] and fields["data.k"]["after"] == "1"
    assert fields["data.n"]["after"] is None
