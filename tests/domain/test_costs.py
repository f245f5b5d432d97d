"""Costs of requests: those of the model that answered, at the time of the request; unknown ones are not 0."""

from decimal import Decimal
from typing import Any

from bateau.domain.costs import Costs, CostSum, Energy, Price, Rate, Rates, Tokens, amount_of
from bateau.domain.used import Group, Used, summary

EUR = Costs(money=Price(currency="EUR", input=1.0, cached=0.25, output=4.0))
DEAR = Costs(money=Price(currency="EUR", input=100.0, output=400.0))
USD = Costs(money=Price(currency="USD", input=2.0, output=2.0), energy=Energy(input=0.5, output=1.0))


def used(at: float = 0.0, model: str | None = "chat", **more: Any) -> Used:
    fields: dict[str, Any] = {"status": 200, "tokens_in": 500_000, "tokens_out": 250_000, **more}
    return Used(at=at, id="r", path="/v1", model=model, **fields)


def costs(rates: Rates, *requests: Used) -> CostSum:
    found = Group()
    for each in requests:
        found.add(each, rates)
    return found.costs


def history(**models: Costs | None) -> Rates:
    return Rates({name.replace("_", "-"): (Rate(since=0.0, costs=found),) for name, found in models.items()})


def test_cached_tokens_have_a_price_of_their_own_or_that_of_the_input() -> None:
    assert EUR.money and DEAR.money
    tokens = Tokens(input=1_000_000, cached=400_000, output=500_000)
    assert amount_of(EUR.money, tokens) == Decimal("2.7")
    assert amount_of(DEAR.money, tokens) == 300
    # More cached tokens than tokens: the answer contradicts itself, and no price becomes negative.
    assert amount_of(EUR.money, Tokens(input=1_000_000, cached=5_000_000)) == Decimal("0.25")


def test_a_request_has_the_price_of_its_time() -> None:
    rates = Rates().followed_by({"chat": EUR}, began=10.0, now=12.0)
    rates = rates.followed_by({"chat": DEAR}, began=10.0, now=20.0)
    rates = rates.followed_by({"chat": None}, began=10.0, now=30.0)
    assert [rates.of("chat", at) for at in (9.9, 10.0, 19.9, 20.0, 29.9, 30.0)] == [None, EUR, EUR, DEAR, DEAR, None]
    found = costs(rates, used(15.0), used(25.0), used(35.0), used(5.0))
    assert (found.money, found.money_unknown) == ({"EUR": Decimal("151.5")}, 2)


def test_a_request_has_the_price_of_the_model_that_answered() -> None:
    rates = history(chat=None, gpt_mini=EUR, next=USD)
    here, away = used(replica="model.chat.0"), used(replica="model.gpt-mini@api.example.org:8443")
    assert costs(rates, here).money == {}
    assert costs(rates, away).money == {"EUR": Decimal("1.5")}
    assert costs(rates, used(replica="model.next.12")).money == {"USD": Decimal("1.5")}
    # A line of an earlier version has only the host.
    assert used(replica="api.example.org").answered_by == "chat"
    assert used(None, None, replica=None).answered_by is None  # pyright: ignore[reportArgumentType]


def test_costs_that_are_not_known_are_not_zero() -> None:
    rates = history(chat=EUR, free=Costs(money=Price(currency="EUR", input=0.0, output=0.0)), none=None)
    silent = used(tokens_in=None, tokens_out=None)
    found = costs(rates, used(), silent, used(model="none"), used(model="other"), used(model=None))
    assert (found.money, found.money_unknown) == ({"EUR": Decimal("1.5")}, 4)
    assert (found.kwh, found.energy_unknown) == (None, 5)
    # A model that costs nothing is known to cost nothing, and so is a request that used nothing.
    assert costs(rates, used(model="free")).money == {"EUR": Decimal()}
    nothing = costs(rates, used(status=429, tokens_in=None, tokens_out=None), used(tokens_in=0, tokens_out=0))
    assert (nothing.money, nothing.money_unknown, nothing.energy_unknown) == ({}, 0, 0)


def test_currencies_are_not_added_up() -> None:
    found = summary([used(), used(model="next")], "model", owners={}, rates=history(chat=EUR, next=USD))
    assert found.total.costs.money == {"EUR": Decimal("1.5"), "USD": Decimal("1.5")}
    assert (found.by["chat"].costs.kwh, found.by["next"].costs.kwh) == (None, Decimal("0.5"))
    assert found.total.costs.energy_unknown == 1


def test_costs_that_were_declared_by_a_clock_that_was_ahead_count_from_now_on() -> None:
    ahead = Rates().followed_by({"chat": EUR}, began=10.0, now=10.0).followed_by({"chat": DEAR}, began=10.0, now=9e6)
    rates = ahead.followed_by({"chat": DEAR}, began=20.0, now=20.0)
    assert [rates.of("chat", at) for at in (19.0, 20.0, 9e6)] == [EUR, DEAR, DEAR]
    rates = rates.followed_by({"chat": USD}, began=20.0, now=30.0)
    assert [rates.of("chat", at) for at in (19.0, 29.0, 30.0)] == [EUR, DEAR, USD]
    # The model was not known before, and the control plane began in the future.
    assert Rates().followed_by({"chat": EUR}, began=9e6, now=20.0).of("chat", 20.0) == EUR


def test_a_history_is_the_same_while_no_costs_change() -> None:
    rates = Rates().followed_by({"chat": EUR, "other": None}, began=1.0, now=2.0)
    assert rates.followed_by({"chat": EUR, "other": None}, began=5.0, now=6.0) is rates
    # A model that is gone for a while keeps its costs; a clock that was set back changes nothing that was written.
    assert rates.followed_by({}, began=5.0, now=6.0) is rates
    back = rates.followed_by({"chat": DEAR}, began=5.0, now=0.5)
    assert (back.of("chat", 0.7), back.of("chat", 9.0)) == (DEAR, DEAR)


def test_costs_of_a_time_that_is_over_are_forgotten_but_not_the_current_ones() -> None:
    rates = Rates()
    for at, each in ((1.0, EUR), (2.0, DEAR), (3.0, USD)):
        rates = rates.followed_by({"chat": each}, began=at, now=at)
    kept = rates.without(before=2.5)
    assert [rate.since for rate in kept.by_model["chat"]] == [2.0, 3.0]
    assert (kept.of("chat", 2.6), kept.of("chat", 9.0)) == (DEAR, USD)
    assert [rate.since for rate in rates.without(before=99.0).by_model["chat"]] == [3.0]
