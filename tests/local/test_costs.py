"""Budgets in money and energy bind at the gateway within seconds, and outlive every process and every price."""

import json
import os
import signal
import urllib.error
import urllib.request
from typing import Any

from local.stack import CHAT, Stack, chat_body, wait_for
from local.test_keys import create, status

AWAY = """\
apiVersion: bateau.dev/v1alpha1
kind: Model
metadata: {name: away}
spec:
  source: http://127.0.0.1:PORT/v1
  engine: external
  external: {model: chat, apiKeyEnv: AWAY_KEY}
  costs: {money: {currency: EUR, input: 1000, output: 1000}}
"""
# Each request has about 30 tokens.
CHEAP = CHAT + "  costs: {money: {currency: EUR, input: 1000, output: 1000}, energy: {input: 10, output: 10}}\n"
DEAR = CHEAP.replace("1000", "1000000")


def refusal(stack: Stack, secret: str) -> dict[str, Any]:
    headers = {"content-type": "application/json", "authorization": f"Bearer {secret}"}
    body = json.dumps(chat_body(max_tokens=1)).encode()
    try:
        urllib.request.urlopen(urllib.request.Request(f"{stack.url}/v1/chat/completions", body, headers), timeout=30)
    except urllib.error.HTTPError as error:
        return json.load(error)["error"]
    raise AssertionError("the request was not refused")


def usage(stack: Stack, by: str) -> dict[str, dict[str, Any]]:
    tree = json.loads(stack.bateau("usage", "--by", by, "--json").out)
    return {group[by]: group for group in tree["groups"]}


def by_key(stack: Stack) -> dict[str, dict[str, Any]]:
    return usage(stack, "key")


def budget(stack: Stack, key: str) -> dict[str, Any]:
    (found,) = json.loads(stack.bateau("keys", "show", key, "--json").out)["budgets"]
    return found


def test_a_key_that_has_spent_its_money_is_refused_also_after_a_restart_and_another_price(stack: Stack) -> None:
    stack.write(CHEAP)
    rich, free = create(stack, "rich", "--money-per-day", "5 EUR"), create(stack, "free")
    assert stack.up().code == 0
    assert [status(stack, rich), status(stack, rich), status(stack, free)] == [200] * 3
    wait_for(lambda: by_key(stack).get("rich", {}).get("requests") == 2, timeout_s=10)
    cheap = by_key(stack)["rich"]
    assert cheap["money"] == {"EUR": (cheap["tokensIn"] + cheap["tokensOut"]) / 1000}
    assert cheap["kWh"] == (cheap["tokensIn"] + cheap["tokensOut"]) / 100_000
    # Another price counts for the requests that come from then on, and replaces no replica.
    pids = stack.pids()
    stack.write(DEAR)
    (rates,) = stack.base.glob("state/bateau/*/rates.json")
    wait_for(lambda: "1000000" in rates.read_text(), timeout_s=20)
    assert by_key(stack)["rich"]["money"] == cheap["money"]
    wait_for(lambda: status(stack, rich) == 429, timeout_s=20)
    assert stack.pids() == pids
    error = refusal(stack, rich)
    assert (error["code"], "the money that it may spend in a day" in error["message"]) == ("insufficient_quota", True)
    assert status(stack, free) == 200
    spent = budget(stack, "rich")
    assert (spent["unit"], spent["budget"], spent["requestsUnknown"]) == ("EUR", 5.0, 0)
    assert spent["used"] == by_key(stack)["rich"]["money"]["EUR"] >= 5.0
    # Decided before, so it needs no control plane; and the next one knows from the ledger and the history of prices.
    stack.kill_control()
    assert (status(stack, rich), status(stack, free)) == (429, 200)
    (written,) = stack.base.glob("state/bateau/*/gateway/bateau.budgets.json")
    written.unlink()
    assert stack.up().code == 0
    wait_for(lambda: written.exists() and "rich" in written.read_text(), timeout_s=5)
    (pid,) = stack.pids("gateway/envoy").values()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: status(stack, rich) == 429, timeout_s=20)
    assert status(stack, free) == 200


def test_energy_binds_and_a_model_without_a_price_is_reported(stack: Stack) -> None:
    """A key may use a model whose price in the currency of its budget is not known."""
    stack.write(CHAT + "  costs: {money: {currency: USD, input: 1, output: 1}, energy: {input: 10, output: 10}}\n")
    euro, green = (
        create(stack, "euro", "--money-per-month", "0.01EUR"),
        create(stack, "green", "--kwh-per-day", "0.001"),
    )
    assert stack.up().code == 0
    wait_for(lambda: status(stack, green) == 429, timeout_s=20)
    assert "energy (kWh)" in refusal(stack, green)["message"]
    assert [status(stack, euro) for _ in range(3)] == [200] * 3
    wait_for(lambda: budget(stack, "euro")["requests"] == 3, timeout_s=10)
    assert budget(stack, "euro") == {
        "unit": "EUR",
        "period": "month",
        "used": 0.0,
        "budget": 0.01,
        "requests": 3,
        "requestsUnknown": 3,
    }
    assert "the costs of 3 of 3 requests are unknown" in stack.bateau("keys", "show", "euro").out
    (log,) = stack.base.glob("state/bateau/*/control.log")
    assert "the key euro has a budget in EUR" in log.read_text()
    assert list(by_key(stack)["euro"]["money"]) == ["USD"]
    assert "USD" in stack.bateau("usage", "--by", "model").out


def test_a_provider_has_a_price_of_its_own(stack: Stack) -> None:
    """The provider is this endpoint itself, with another key."""
    stack.write(AWAY.replace("PORT", str(stack.port)), "away.yaml")
    inner, outer = create(stack, "inner"), create(stack, "outer", "--money-per-day", "0.01EUR")
    listen = ("--listen", f"127.0.0.1:{stack.port}")
    assert stack.bateau("up", "-C", str(stack.specs), "--detach", *listen, AWAY_KEY=inner).code == 0
    headers = {"content-type": "application/json", "authorization": f"Bearer {outer}"}
    body = json.dumps(chat_body(model="away")).encode()
    request = urllib.request.Request(f"{stack.url}/v1/chat/completions", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        tokens = json.load(answer)["usage"]["total_tokens"]
    wait_for(lambda: status(stack, outer) == 429, timeout_s=5)
    found = usage(stack, "model")
    assert (found["away"]["money"], found["away"]["requestsWithoutPrice"]) == ({"EUR": tokens / 1000}, 0)
    chat = found["chat"]
    assert (chat["money"], chat["requestsWithoutPrice"]) == ({}, chat["requests"] - chat["errors"])
