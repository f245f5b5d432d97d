"""The plans of several clusters in one comment, one status and one SARIF log."""

import json
from dataclasses import replace

from bateau.api.plan_markdown import plan_pages
from bateau.api.plan_status import plan_status
from bateau.api.sarif import sarif
from bateau.domain.change import Delivery
from bateau.domain.finding import Finding
from bateau.domain.problem import Problem
from bateau.plan import compare
from plan.objects import thing


def _on(cluster: str, delivery: Delivery) -> Delivery:
    return replace(delivery, environment="prod", cluster=cluster)


PARIS = Delivery(
    environment="prod", cluster="paris", unreachable=Problem(where=None, says="cannot reach paris", hint="use the VPN")
)


def test_small_plans_share_a_comment_and_large_ones_have_pages() -> None:
    berlin = _on("berlin", compare([], [thing("a")]))
    (page,) = plan_pages(berlin, PARIS)
    assert page.startswith("<!-- bateau plan prod -->\n### berlin: prod: ")
    assert "### paris: not compared: cannot reach paris" in page
    assert "use the VPN" in page
    large = _on("berlin", compare([], [thing(f"object-{number}") for number in range(400)]))
    pages = plan_pages(large, replace(large, cluster="paris"), PARIS, characters_max=9000)
    assert all(len(each) <= 9000 for each in pages)
    assert sum(each.count("<!--") for each in pages) == 1
    assert all(f"`object-{number}`" in "".join(pages) for number in range(400))


def test_the_status_is_the_worst_one_and_tells_it_first() -> None:
    berlin = _on("berlin", compare([], []))
    assert plan_status(berlin, PARIS) == (
        "error",
        "paris: not compared: cannot reach paris; berlin: no changes",
    )
    assert plan_status(berlin, replace(berlin, cluster="rome"))[0] == "success"


def test_a_finding_on_several_clusters_is_one_result() -> None:
    finding = Finding(rule="house/owner", subject="app/cart", verdict="warning", says="no team")
    berlin = _on("berlin", compare([], [], findings=[finding]))
    log = json.loads(sarif(berlin, replace(berlin, cluster="rome"), PARIS, version="1"))
    (run,) = log["runs"]
    assert [each["ruleId"] for each in run["results"]] == ["bateau/not-compared", "house/owner"]
