"""Sums of usage for people and programs: costs have a place where they are known, and unknown ones are not 0."""

import csv
import json

from bateau.api.encoding import encode
from bateau.api.usage_json import usage_csv, usage_json, usage_rows
from bateau.domain.costs import Costs, Energy, Price, Rate, Rates
from bateau.domain.used import Summary, Used, summary

PRICED = Costs(money=Price(currency="EUR", input=0.15, output=0.6))
METERED = Costs(money=Price(currency="USD", input=0.0, output=0.0), energy=Energy(input=0.5, output=0.5))


def used(model: str) -> Used:
    return Used(at=1.0, id="r", path="/v1", status=200, model=model, tokens_in=1234, tokens_out=10)


def found(**models: Costs) -> Summary:
    rates = Rates({name: (Rate(since=0.0, costs=costs),) for name, costs in models.items()})
    return summary([used("chat"), used("chat"), used("embed"), used("none")], "model", owners={}, rates=rates)


def test_a_table_has_costs_only_where_some_are_known() -> None:
    assert usage_rows(found(), "model")[0][-1] == "ESTIMATED"
    header, *rows = usage_rows(found(chat=PRICED, embed=METERED), "model")
    assert header[8:] == ("EUR", "USD", "PRICE UNKNOWN", "KWH", "ENERGY UNKNOWN")
    assert {row[0]: row[8:] for row in rows} == {
        "chat": ("0.00038", "-", "0", "-", "2"),
        "embed": ("-", "0.00", "0", "0.00062", "0"),
        "none": ("-", "-", "1", "-", "1"),
        "total": ("0.00038", "0.00", "1", "0.00062", "3"),
    }


def test_csv_has_exact_costs_and_empty_cells() -> None:
    rows = list(csv.DictReader(usage_csv(found(chat=PRICED, embed=METERED), "model").splitlines()))
    names = ("EUR", "USD", "requestsWithoutPrice", "kWh", "requestsWithoutEnergy")
    assert [[row[name] for name in names] for row in rows] == [
        ["0.0003822", "", "0", "", "2"],
        ["", "0", "0", "0.000622", "0"],
        ["", "", "1", "", "1"],
    ]
    assert "kWh" not in usage_csv(found(chat=PRICED), "model")


def test_json_has_the_same_shape_whether_costs_are_known_or_not() -> None:
    tree = json.loads(encode(usage_json(found(chat=PRICED), "model", since="", until="", damaged=0)))
    chat, _, none = tree["groups"]
    assert (chat["money"], chat["requestsWithoutPrice"], chat["kWh"]) == ({"EUR": 0.0003822}, 0, None)
    assert (none["money"], none["requestsWithoutPrice"], none["kWh"], none["requestsWithoutEnergy"]) == ({}, 1, None, 1)
    assert chat.keys() == none.keys()
