"""A plan as SARIF: what code scanning reads, and what it rejects."""

import json
from typing import Any

from bateau.api.sarif import RESULTS_MAX, sarif
from bateau.domain.change import Baseline, Delivery, Gap
from bateau.domain.finding import Finding, Verdict
from bateau.domain.problem import Problem, Severity
from bateau.kit.position import Position
from bateau.plan import Limits, compare
from plan.objects import manifest, thing, written


def results(delivery: Delivery, **options: Any) -> list[dict[str, Any]]:
    """Return the results of the one run, which code scanning would take."""
    log = json.loads(sarif(delivery, version="1.0.0", **options))
    (run,) = log["runs"]
    assert (log["version"], run["tool"]["driver"]["name"]) == ("2.1.0", "bateau")
    found: list[dict[str, Any]] = run["results"]
    assert len(found) <= RESULTS_MAX
    for result in found:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    return found


def finding(number: int, verdict: Verdict = "not checked", *, kind: str = "Widget", rule: str = "schema") -> Finding:
    return Finding(rule=rule, subject=f"{kind} w{number}", verdict=verdict, says=f"no schema of {kind}")


def test_results_have_places_levels_and_steady_fingerprints() -> None:
    problem = Problem(where=Position("x/ä.yaml", 4, 2), says="wrong", hint="fix it", severity=Severity.ERROR)
    findings = (
        Finding(
            rule="house/owner", subject="app/cart", verdict="warning", says="no team", where=Position("b.yaml", 3, 1)
        ),
        finding(1),
        Finding(rule="pss/root", subject="app/old", verdict="excepted", says="owner: ops, until 2027-01-01"),
    )
    found = {each["ruleId"]: each for each in results(Delivery(findings=findings, problems=(problem,)))}
    assert {rule: (each["level"], each.get("kind")) for rule, each in found.items()} == {
        "bateau/specs": ("error", None),
        "house/owner": ("warning", "fail"),
        "schema": ("none", "open"),
        "pss/root": ("note", "fail"),
    }
    assert found["bateau/specs"]["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "x/%C3%A4.yaml", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 4, "startColumn": 2},
    }
    assert found["pss/root"]["suppressions"][0]["justification"].startswith("owner: ops")
    (moved,) = results(Delivery(problems=(Problem(where=Position("x/ä.yaml", 9, 2), says="wrong"),)))
    assert moved["partialFingerprints"] == found["bateau/specs"]["partialFingerprints"]


def test_f28_findings_that_nothing_was_checked_are_one_result_per_kind() -> None:
    """F28: 26,000 objects without a schema gave 26,000 results; GitHub rejects more than 25,000."""
    found = results(Delivery(findings=(*map(finding, range(26_000)), finding(1, kind="Gadget"))))
    assert {each["message"]["text"] for each in found} == {
        "26,000 findings about Widget w0, Widget w1, Widget w10 and 25,997 more: no schema of Widget",
        "Gadget w1: no schema of Gadget",
    }


def test_f28_the_most_severe_results_are_kept_and_the_others_counted() -> None:
    """F28: most severe first; the number of those that are left out is a result of its own."""
    findings = [finding(n, "warning", rule="house/a") for n in range(20_000)]
    findings += [finding(n, "error", rule="house/b") for n in range(10_000)]
    found = results(Delivery(findings=tuple(findings)))
    assert len(found) == RESULTS_MAX
    assert [each["level"] for each in found] == ["error"] * 10_000 + ["warning"] * 14_999 + ["note"]
    assert found[-1]["message"]["text"] == (
        "5,001 results left out, as code scanning takes 25,000: 5,001 of level warning"
    )


def test_a_result_without_a_place_gets_the_file_of_another() -> None:
    """F28: GitHub rejects the whole file for one result without a file, too."""
    problems = (
        Problem(where=None, says="there is no Environment prd"),
        Problem(where=Position("a.yaml", 1, 1), says="x"),
    )
    uris = {
        each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for each in results(Delivery(problems=problems), prefix="deploy/")
    }
    assert uris == {"deploy/a.yaml"}
    assert results(Delivery(problems=problems[:1]))


def test_f26_results_say_whether_they_are_new() -> None:
    """F26: SARIF follows the rule of the baseline."""
    known = Baseline(side="commit abc", findings=(finding(1, "error", rule="house/a"),))
    found = results(Delivery(findings=(finding(2, "error", rule="house/a"),), baseline=known))
    assert [(each["message"]["text"][:9], each["baselineState"]) for each in found] == [
        ("Widget w2", "new"),
        ("Widget w1", "unchanged"),
    ]


def test_every_removal_that_nobody_has_confirmed_is_a_result() -> None:
    chain = {"metadata.name": written("k/a.yaml", 4, "a")}
    observed = [manifest(thing("a", "Namespace"), origins=chain), manifest(thing("b", data={"k": "1"}))]
    found = results(compare([], observed))
    says = [each["message"]["text"] for each in found]
    assert [each["ruleId"] for each in found] == ["bateau/removal"] * 3
    assert any(each.startswith("Namespace a would be removed: ") and "deleted with it" in each for each in says)
    assert any(each.startswith("ConfigMap b would be removed") for each in says)
    assert results(compare([], observed, limits=Limits(removals_confirmed=2))) == []


def test_very_many_removals_are_named_in_few_results() -> None:
    found = results(compare([], [thing(f"c{n}", data={"n": str(n)}) for n in range(30_000)]))
    assert len(found) < 2_000
    text = ", ".join(each["message"]["text"].removeprefix("would be removed: ") for each in found)
    assert {f"ConfigMap c{n}" for n in range(30_000)} <= set(text.split(", "))


def test_objects_that_may_be_removed_are_named() -> None:
    gap = Gap(
        service="app/k", side="the working tree", reason="k/a.yaml:1:1: no", may_go=(("", "ConfigMap", "p", "a"),)
    )
    says = [each["message"]["text"] for each in results(Delivery(gaps=(gap,)))]
    assert "may be removed: ConfigMap p/a" in says
    assert "app/k: the working tree could not be rendered: k/a.yaml:1:1: no" in says
