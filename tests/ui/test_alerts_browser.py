"""Alerts in a real browser, of a real instance: they appear by themselves, and are silenced with a button."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from playwright.sync_api import Browser, expect

from bateau.api.client import ApiClient
from bateau.wiring.paths import paths
from local.alert_peers import Hook, webhook
from local.stack import Stack, wait_for
from ui.chromium import SCRIPT, Visitor, axe_findings

PHONE = {"width": 390, "height": 800}
BROKEN = """\
apiVersion: bateau.dev/v1alpha1
kind: Model
metadata: {name: NAME}
spec: {source: "http://127.0.0.1:9/NAME.gguf"}
"""


@pytest.fixture(scope="module")
def hook() -> Iterator[Hook]:
    with webhook() as made:
        yield made


@pytest.fixture(scope="module")
def stack(hook: Hook) -> Iterator[Stack]:
    made = Stack(Path.home() / ".cache")
    made.write(BROKEN.replace("NAME", "chat"))
    arguments = ("up", "-C", str(made.specs), "--detach", "--listen", f"127.0.0.1:{made.port}")
    done = made.bateau(*arguments, BATEAU_ALERTS_WEBHOOK_URL=hook.url)
    assert done.code == 3, done.err
    wait_for(lambda: listed(made), timeout_s=60)
    yield made
    made.destroy()


def listed(stack: Stack) -> dict[str, dict[str, Any]]:
    tree = ApiClient(paths(stack.name, stack.environ).control_socket, instance=stack.name).alerts()
    return {each["subject"]: each for each in cast("list[dict[str, Any]]", tree["alerts"])}


def test_a_broken_source_is_shown_within_two_seconds_with_its_cause(browser: Browser, stack: Stack) -> None:
    visitor = Visitor(browser, stack)
    page = visitor.visit("/")
    alerts = page.get_by_role("region", name="alert")
    expect(alerts.get_by_text("The model of model/chat cannot be fetched", exact=True)).to_be_visible()
    stack.write(BROKEN.replace("NAME", "other"), "other.yaml")
    wait_for(lambda: "model/other" in listed(stack), timeout_s=60)
    began = time.monotonic()
    expect(alerts.get_by_text("The model of model/other cannot be fetched", exact=True)).to_be_visible(timeout=2000)
    assert time.monotonic() - began < 2
    expect(alerts.get_by_text("http://127.0.0.1:9/other.gguf cannot be reached").first).to_be_visible()
    alerts.get_by_role("link", name="model/other").click()
    page.wait_for_url(f"{stack.url}/ui/services/model/other")
    expect(page.get_by_text("The model of model/other cannot be fetched", exact=True)).to_be_visible()
    (stack.specs / "other.yaml").unlink()
    wait_for(lambda: "model/other" not in listed(stack), timeout_s=60)
    assert visitor.complaints == []
    visitor.context.close()


def test_an_alert_is_silenced_and_heard_again(browser: Browser, stack: Stack) -> None:
    visitor = Visitor(browser, stack)
    page = visitor.visit("/services/model/chat")
    page.get_by_role("button", name="Silence 2 h BateauFetchFailed of model/chat").click()
    expect(page.get_by_text("silenced until").first).to_be_visible()
    expect(page.get_by_role("button", name="End silence")).to_be_visible()
    assert listed(stack)["model/chat"]["silencedUntil"]
    page.get_by_role("button", name="End silence").click()
    expect(page.get_by_role("button", name="Silence 2 h BateauFetchFailed of model/chat")).to_be_visible()
    assert listed(stack)["model/chat"]["silencedUntil"] is None
    visitor.context.close()


def test_a_silence_is_made_with_a_form_and_its_reason_is_text(browser: Browser, stack: Stack) -> None:
    visitor = Visitor(browser, stack)
    page = visitor.visit("/alerts")
    page.get_by_label("Service", exact=True).select_option("model/chat")
    page.get_by_label("For", exact=True).select_option("1 day")
    page.get_by_label("Why", exact=True).fill(SCRIPT)
    page.get_by_role("button", name="Silence", exact=True).click()
    row = page.get_by_role("region", name="Table of silences").get_by_role("row").nth(1)
    expect(row).to_contain_text("all alerts of model/chat")
    expect(row).to_contain_text("<script>")
    assert "owned" not in page.title()
    row.get_by_role("button", name="End").click()
    expect(row).to_be_hidden()
    assert visitor.complaints == []
    visitor.context.close()


def test_the_receivers_are_tested_with_a_button(browser: Browser, stack: Stack, hook: Hook) -> None:
    visitor = Visitor(browser, stack)
    page = visitor.visit("/alerts")
    page.get_by_role("button", name="Send a test alert").click()
    expect(page.get_by_text("webhook: delivered")).to_be_visible()
    assert hook.told("BateauTest") == ["firing"]
    visitor.context.close()


def test_a_viewer_sees_alerts_and_changes_nothing(browser: Browser, stack: Stack) -> None:
    visitor = Visitor(browser, stack, role="view")
    page = visitor.visit("/alerts")
    expect(page.get_by_text("The model of model/chat cannot be fetched", exact=True)).to_be_visible()
    assert page.locator("[data-alert]").count() == 0
    visitor.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/alerts", "/services/model/chat"])
def test_axe_finds_nothing_and_a_phone_scrolls_down_only(
    browser: Browser, stack: Stack, path: str, scheme: str
) -> None:
    for size in ({"width": 1280, "height": 900}, PHONE):
        visitor = Visitor(browser, stack, color_scheme=scheme, viewport=size)
        page = visitor.visit(path)
        assert axe_findings(visitor.page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        visitor.context.close()
