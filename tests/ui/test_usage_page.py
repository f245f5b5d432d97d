"""The pages of usage: the sums of the ledger with what they lack, and the keys that are gone."""

import re
from dataclasses import replace
from decimal import Decimal

import pytest

from bateau.control.budgets import Spent
from bateau.control.key_report import KeysReport, KeyUse
from bateau.domain.api_key import TOKENS, ApiKey, Budget, Period
from bateau.domain.usage_report import LASTS, UsageReport
from bateau.domain.used import Used
from bateau.ui.page import View
from bateau.ui.pages import usage_page
from bateau.ui.words import DASH
from ui.reports import NOW, SCRIPT, usage
from ui.test_pages import parts_of


def shown(report: UsageReport | None, view: View, path: str = "/usage") -> dict[str, str]:
    return parts_of(replace(view, reports=replace(view.reports, usage=report)), path)


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def row(html: str, name: str) -> list[str]:
    (found,) = [each for each in re.findall(r"<tr.*?</tr>", html, re.DOTALL) if f">{name}</" in each]
    return [re.sub(r"<[^>]+>", "", each) for each in re.findall(r"<td.*?</td>", found)]


def test_the_sums_are_shown_by_key_owner_model_day_and_hour(view: View) -> None:
    by_key = shown(usage(), view)["usage"]
    assert row(by_key, "ci")[:7] == ["4", "0", "3,000", "0", "1,500", "1", "0"]
    assert row(by_key, "total")[0] == "7"
    assert 'href="/ui/usage/keys/ci"' in by_key and 'href="/ui/services/app/shop"' in by_key
    assert row(shown(usage(), view, "/usage/24h/owner")["usage"], "ada")[0] == "4"
    by_model = shown(usage(), view, "/usage/24h/model")["usage"]
    assert row(by_model, "chat")[0] == "5"
    assert 'href="/ui/services/model/chat"' in by_model
    hours = re.findall(r'<th scope="row">([^<]+)', shown(usage(), view, "/usage/24h/hour")["usage"])
    assert hours[:2] == sorted(hours[:2], reverse=True), "the latest first"


def test_sums_that_lack_requests_are_lower_bounds(view: View) -> None:
    parts = shown(usage(), view)
    assert "≥ 3,017" in parts["summary"]
    says = text_of(parts["summary"])
    assert "1 request did not say the tokens, which are not in the sums." in says
    assert "The price of 1 request is unknown." in says
    assert "The energy of 1 request is unknown; energy is declared, not measured." in says
    assert row(parts["usage"], "ci")[7:] == ["≥ 0.60", "≥ 0.022"]
    assert row(parts["usage"], r"(no key)")[7:] == [f"{DASH}unknown"] * 2
    whole = usage(Used(at=NOW - 1, id="a", path="/v1", status=200, key="ci", model="chat", tokens_in=1, tokens_out=1))
    assert "≥" not in shown(whole, view)["summary"] + shown(whole, view)["usage"]


def test_without_sums_the_page_says_why(view: View) -> None:
    assert "are being summed" in shown(None, view)["summary"]
    trouble = UsageReport(last="30d", since=0, until=NOW, trouble=f"it is too large {SCRIPT}")
    parts = shown(trouble, view, "/usage/30d/key")
    assert "it is too large &lt;script&gt;" in parts["summary"]
    assert "hidden" in parts["usage"].partition(">")[0]


def test_keys_that_were_used_and_no_longer_exist_are_revoked(view: View) -> None:
    keys = view.reports.keys
    assert keys is not None
    assert usage_page.revoked(keys, usage()) == ["gone"]
    assert usage_page.revoked(keys, replace(usage(), tokens=frozenset({"gone"}))) == []
    assert usage_page.revoked(keys, None) == ()
    assert usage_page.revoked(KeysReport(trouble="damaged"), usage()) == ()
    html = shown(usage(), view)["keys"]
    assert "revoked" in text_of(html)


def spent(unit: str, period: Period, *, used: int, of: int, unknown: int = 0) -> tuple[Spent]:
    budget = Budget(name=period, unit=unit, period=period, amount=Decimal(of))
    return (Spent(budget=budget, used=Decimal(used), requests=2, unknown=unknown),)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (None, "being summed"),
        (spent(TOKENS, "day", used=40, of=100), "40 of 100 tokens this day"),
        (spent("EUR", "month", used=5, of=5, unknown=1), "≥ 5.00 of 5.00 EUR this month"),
    ],
)
def test_budgets_are_shown_with_how_much_is_used(view: View, found: tuple[Spent, ...] | None, says: str) -> None:
    key = ApiKey(name="ci", owner=SCRIPT, note=SCRIPT, tokens_per_day=100)
    keys = KeysReport(keys=(KeyUse(key=key, state="used up", spent=found, until=NOW),), required=True)
    changed = replace(view, reports=replace(view.reports, keys=keys))
    for path, part in (("/usage", "keys"), ("/usage/keys/ci", "summary")):
        html = parts_of(changed, path)[part]
        assert says in text_of(html)
        assert "used up" in html
        assert "<script>" not in html


def test_an_unknown_window_or_sum_is_no_page(view: View) -> None:
    for last, by in (("1d", "key"), ("24h", "secret"), ("", "key")):
        assert usage_page.make(view, {"last": last, "by": by}) is None
    assert all(usage_page.make(view, {"last": last, "by": "key"}) for last in LASTS)


def test_the_page_of_a_service_has_its_usage(view: View) -> None:
    model = parts_of(view, "/services/model/chat")["usage"]
    assert (row(model, "ci")[0], row(model, "gone")[0], row(model, "total")[0]) == ("3", "1", "5")
    app = parts_of(view, "/services/app/shop")["usage"]
    assert row(app, "chat")[:5] == ["1", "0", "7", "0", "8"]
    assert "are being summed" in shown(None, view, "/services/model/chat")["usage"]


def test_who_needs_a_key_is_said(view: View) -> None:
    for keys, says in (
        (KeysReport(), "so nobody needs one"),
        (KeysReport(open_to_all=True, required=False), "nobody needs a key"),
        (KeysReport(required=True), "every request is refused"),
        (KeysReport(required=True, has_issuers=True), "only the tokens of issuers get in"),
        (KeysReport(trouble=f"damaged {SCRIPT}"), "damaged &lt;script&gt;"),
    ):
        html = parts_of(replace(view, reports=replace(view.reports, keys=keys)), "/usage")["keys"]
        assert says in html
