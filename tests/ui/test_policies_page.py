"""The page of policies: rules in force, findings, and exceptions, in the words of `bateau check`."""

import re
from dataclasses import replace
from datetime import date

from bateau.control.path import understand
from bateau.ui.page import View
from ui.reports import POLICIES, TODAY
from ui.test_pages import parts_of


def rows(html: str) -> list[str]:
    body = html.partition("<tbody")[2]
    found = [re.sub(r"<[^>]+>", " ", each) for each in re.findall(r"<tr>.*?</tr>", body, re.DOTALL)]
    return [re.sub(r"\s+", " ", each).strip() for each in found]


def test_rules_are_shown_with_their_place_and_fix(view: View) -> None:
    html = parts_of(view, "/policies")["rules"]
    owner, few = rows(html)
    assert owner.startswith(
        "house-rules/owner error App and Model has(metadata.labels) &amp;&amp; has(metadata.labels.team)"
    )
    assert "every service names its team: add metadata.labels.team" in owner
    assert owner.endswith("policies/house.yaml:7:13")
    assert few.startswith("house-rules/few warning")
    assert "&#39;at most eight replicas, and not &#39; + string(spec.replicas)" in few


def test_findings_are_those_of_check_with_their_place(view: View) -> None:
    found = rows(parts_of(view, "/policies")["findings"])
    assert view.reports.written is not None
    assert len(found) == len(view.reports.written.findings) == 4
    assert [each.split()[1] for each in found] == ["error", "warning", "excepted", "excepted"]
    assert "app/bare error every service names its team" in found[0]
    assert found[0].endswith("house-rules/owner app.yaml:8:18")
    assert (
        "policy/house-rules warning the exception of ada ended on 2026-11-01 (old); the rule applies again" in found[1]
    )
    assert "excepted by team-payments until 2026-12-04" in found[3]


def test_an_exception_that_ends_soon_is_marked(view: View) -> None:

    def exceptions(today: date) -> list[str]:
        return rows(parts_of(replace(view, reports=replace(view.reports, today=today)), "/policies")["exceptions"])

    ended, soon, far = exceptions(TODAY)
    assert ended.startswith("2026-11-01 ended: the rule applies again every object house-rules/few old ada")
    assert soon.startswith("2026-12-04 ends in 4 days names shop house-rules/owner it moves")
    assert "team-payments policies/house.yaml:" in soon
    assert far.startswith("2099-01-01 every object")
    assert "ends today" in exceptions(date(2026, 12, 4))[1]
    assert "ends in 1 day " in exceptions(date(2026, 12, 3))[1]
    assert "ends" not in exceptions(date(2026, 11, 1))[1]


def test_text_of_policies_is_text(view: View) -> None:
    parts = parts_of(view, "/policies")
    assert "&lt;script&gt;" in parts["rules"] and "&lt;script&gt;" in parts["exceptions"]
    assert not any("<script>" in each for each in parts.values())


def test_without_policies_the_page_says_how_to_judge(view: View) -> None:
    written = understand({"app.yaml": POLICIES["app.yaml"]}, today=TODAY)
    parts = parts_of(replace(view, reports=replace(view.reports, written=written)), "/policies")
    assert "bateau check --starter" in parts["summary"]
    assert all("hidden" in parts[name].partition(">")[0] for name in ("findings", "exceptions", "rules"))


def test_rules_that_this_instance_cannot_judge_are_named(view: View) -> None:
    policy = """\
apiVersion: bateau.dev/v1alpha1
kind: Policy
metadata: {name: pods}
spec:
  match: {kinds: [Deployment]}
  rules: [{name: limits, check: "true", message: fine}]
"""
    written = understand({"p.yaml": policy}, today=TODAY)
    parts = parts_of(replace(view, reports=replace(view.reports, written=written)), "/policies")
    assert "makes no Kubernetes objects" in parts["summary"]
    assert "Deployment, not judged by this instance" in rows(parts["rules"])[0]
