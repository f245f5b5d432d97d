"""Every object that is removed, or may be, is named in every form of a plan, whatever the sizes."""

import json
import re
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bateau.api.plan_json import plan_json
from bateau.api.plan_markdown import plan_markdown, plan_pages
from bateau.api.sarif import RESULTS_MAX, sarif
from bateau.cli.plan_text import plan_text
from bateau.control.baseline import split_findings
from bateau.domain.change import Baseline, Delivery, ObjectKey, object_name
from bateau.domain.finding import Finding, Verdict
from bateau.domain.manifest import Manifest
from bateau.plan import Documents, Unrendered, compare
from plan.objects import manifest, thing

KINDS = [
    ("ConfigMap", "v1"), ("Secret", "v1"), ("Namespace", "v1"), ("PersistentVolumeClaim", "v1"),
    ("Certificate", "cert-manager.io/v1"), ("CustomResourceDefinition", "apiextensions.k8s.io/v1"),
]  # fmt: skip
NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?(-[2456789bcdfghkmt]{10})?", fullmatch=True)
RULES: list[tuple[str, Verdict]] = [("schema", "not checked"), ("house/a", "error"), ("house/b", "warning")]
SERVICES = ["app/a", "app/b", "app/c"]
# How many objects there are of each sort: some comments hold all of them, some only the removals, some not even these.
SIZES: st.SearchStrategy[int] = st.sampled_from([0, 1, 20, 60])
COMMENT_CHARACTERS = 4_000


@st.composite
def objects(draw: st.DrawFn) -> list[Manifest]:
    """Draw some objects of some services, each object once."""
    found: dict[ObjectKey, Manifest] = {}
    for _ in range(draw(st.integers(0, 12))):
        kind, api = draw(st.sampled_from(KINDS))
        tree = thing(draw(NAMES), kind, api, data={"k": draw(st.sampled_from(["1", "2"]))})
        if draw(st.booleans()):
            tree["metadata"] = {**tree["metadata"], "namespace": draw(st.sampled_from(["prod", "dev"]))}
        made = manifest(tree, service=draw(st.sampled_from([*SERVICES, None])))
        found[made.key] = made
    return list(found.values())


def many(count: int, prefix: str, *, tag: str = "1") -> list[Manifest]:
    names = [f"{prefix}{'x' * 60}{number}" for number in range(count)]
    return [manifest(thing(name, data={"k": f"{tag}-{name}"}), service="app/many") for name in names]


@dataclass(frozen=True)
class Case:
    """A plan to be made: some objects of any kind, and many that fill the forms."""

    desired: list[Manifest]
    observed: list[Manifest]
    broken: frozenset[str]
    findings: int
    gone: int
    changed: int
    known: int

    def plan(self) -> tuple[Delivery, set[ObjectKey]]:
        """Return the plan, and the keys of all objects that are observed and not desired."""
        observed = [*self.observed, *many(self.gone, "gone"), *many(self.changed, "kept", tag="0")]
        desired = [each for each in self.desired if each.service not in self.broken]
        desired += many(self.changed, "kept", tag="1")
        reasons = dict.fromkeys(sorted(self.broken), "a.yaml:1:1: no")
        missing = Unrendered(side="the working tree", reasons=reasons)
        findings = [
            Finding(rule=rule, subject=f"Widget w{number}", verdict=verdict, says="no schema of Widget")
            for rule, verdict in RULES
            for number in range(self.findings)
        ]
        split = split_findings(findings, findings[:: self.known])
        documents = Documents(desired_unrendered=missing)
        delivery = compare(desired, observed, environment="prod", documents=documents, findings=split.new)
        gone = {each.key for each in observed} - {each.key for each in desired}
        return replace(delivery, baseline=Baseline(side="commit abc", findings=split.both)), gone


CASES = st.builds(
    Case,
    desired=objects(),
    observed=objects(),
    broken=st.frozensets(st.sampled_from(SERVICES)),
    findings=SIZES,
    gone=SIZES,
    changed=SIZES,
    known=st.integers(1, 3),
)


def names_in(text: str) -> set[str]:
    return set(re.findall(r"[a-z][-a-z0-9]*", text))


def in_json(delivery: Delivery) -> set[str]:
    tree = json.loads(plan_json(delivery))
    keys: list[Any] = [*tree["removals"], *(key for gap in tree["gaps"] for key in gap["mayGo"])]
    keys += [change["renamedFrom"] for change in tree["changes"] if change["act"] == "replace"]
    return {key["shown"] for key in keys}


@settings(max_examples=60, deadline=None)
@given(CASES)
def test_a_plan_never_hides_a_removal(case: Case) -> None:
    delivery, missing = case.plan()
    shown = {object_name(key) for key in missing}
    assert in_json(delivery) == shown
    text, markdown = plan_text(delivery), plan_markdown(delivery, characters_max=COMMENT_CHARACTERS)
    lines = {
        line.split("  ")[0].removeprefix("- ").removeprefix("? ") for line in text.splitlines() if line[:1] in "-?"
    }
    paired = {object_name(change.renamed_from) for change in delivery.changes if change.renamed_from}
    assert shown - paired <= lines, "each removal has a line of its own"
    assert all(name in text for name in shown & paired)
    assert {key[3] for key in missing} <= names_in(markdown)
    pages = plan_pages(delivery, characters_max=COMMENT_CHARACTERS)
    assert all(len(page) <= COMMENT_CHARACTERS for page in pages)
    assert markdown == "\n".join(pages)
    log = json.loads(sarif(delivery, version="1"))
    assert len(log["runs"][0]["results"]) <= RESULTS_MAX
    says = " ".join(result["message"]["text"] for result in log["runs"][0]["results"])
    asked = {key for gap in delivery.gaps for key in gap.may_go} | set(
        delivery.removals if delivery.unconfirmed else ()
    )
    assert {key[3] for key in asked} <= names_in(says)


@pytest.mark.parametrize("count", [1, 400, 5_000])
def test_removals_are_named_at_any_number_and_in_front_of_everything_else(count: int) -> None:
    delivery = compare(many(count, "kept"), [*many(count, "gone"), *many(count, "kept", tag="0")], environment="prod")
    markdown = plan_markdown(delivery)
    lines = markdown.splitlines()
    first = next((number for number, line in enumerate(lines) if line.startswith("- `~`")), len(lines))
    assert {each.key[3] for each in many(count, "gone")} <= names_in("\n".join(lines[:first]))
    assert "**Left out for length:**" in markdown or count < 400
