"""Tokens that are used up bind at the gateway within seconds, and outlive every process."""

import os
import signal

from local.stack import CHAT, Stack, wait_for
from local.test_keys import create, status


def test_a_key_with_used_up_tokens_is_refused_also_after_a_restart(stack: Stack) -> None:
    limited, free = create(stack, "limited", "--tokens-per-day", "100"), create(stack, "free")
    assert stack.up().code == 0
    wait_for(lambda: status(stack, limited) == 429, timeout_s=20)  # each request has about 30 tokens
    assert status(stack, free) == 200
    assert "100 tokens/day" in stack.bateau("keys", "list").out
    # Decided before, so it needs no control plane; and the next one knows from the ledger.
    stack.kill_control()
    (pid,) = [p.pid for p in stack.processes() if "envoy" in p.name()]
    assert (status(stack, limited), status(stack, free)) == (429, 200)
    (written,) = stack.base.glob("state/bateau/*/gateway/bateau.budgets.json")
    written.unlink()
    assert stack.up().code == 0
    wait_for(lambda: "limited" in written.read_text(), timeout_s=5)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: status(stack, limited) == 429, timeout_s=20)
    assert status(stack, free) == 200


def test_tokens_in_a_minute_come_back(stack: Stack) -> None:
    secret = create(stack, "ci", "--tokens-per-minute", "10")
    assert stack.up().code == 0
    assert status(stack, secret) == 200
    wait_for(lambda: status(stack, secret) == 429, timeout_s=5)
    # A key with another limit is judged anew, at once.
    assert stack.bateau("keys", "revoke", "ci").code == 0
    secret = create(stack, "ci", "--tokens-per-minute", "1k")
    wait_for(lambda: status(stack, secret) == 200, timeout_s=5)


def test_a_model_limits_the_tokens_of_all_and_of_each_key(stack: Stack) -> None:
    stack.write(CHAT + "  limits: {perKey: {requestsPerMinute: 1000, tokensPerMinute: 40}}\n")
    one, other = create(stack, "one"), create(stack, "other")
    assert stack.up().code == 0
    wait_for(lambda: status(stack, one) == 429, timeout_s=20)  # each request has about 30 tokens
    assert status(stack, other) == 200
    stack.write(CHAT + "  limits: {tokensPerMinute: 1}\n")
    wait_for(lambda: status(stack, other) == 429, timeout_s=20)
    stack.write(CHAT)
    wait_for(lambda: status(stack, one) == 200, timeout_s=20)
