"""The path of a newcomer in a real browser, with a real model: from an empty directory to a rollback."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from local.stack import Stack
from ui.chromium import Visitor, axe_findings

DESKTOP = {"width": 1180, "height": 760}
PHONE = {"width": 390, "height": 760}
SLOW_MS = 120_000  # a model starts on a busy machine


@pytest.fixture
def stack() -> Iterator[Stack]:
    """An instance in an empty directory, as `bateau up` starts it."""
    made = Stack(Path.home() / ".cache")
    try:
        done = made.up()
        assert done.code == 0, done.err
        yield made
    finally:
        made.destroy()


class Pictures:
    """Writes the pictures of the guide, if they are asked for."""

    def __init__(self, folder: str | None, stack: Stack) -> None:
        self._folder = folder
        self._home = str(stack.specs)

    def take(self, page: Page, name: str) -> None:
        if self._folder is None:
            return
        # The directory of this test means nothing to a reader.
        page.evaluate(
            "([from, to]) => { const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);"
            "while (walk.nextNode()) walk.currentNode.nodeValue = walk.currentNode.nodeValue.replace(from, to); }",
            [self._home, "/home/ada/specs"],
        )
        page.evaluate("window.scrollTo(0, 0)")
        page.screenshot(path=Path(self._folder, f"{name}.png"))


@pytest.mark.timeout(600)
def test_a_newcomer_adds_tries_changes_breaks_and_rolls_back(
    browser: Browser, stack: Stack, request: pytest.FixtureRequest
) -> None:
    pictures = Pictures(request.config.getoption("--screenshots"), stack)
    visitor = Visitor(browser, stack, color_scheme="light", viewport=DESKTOP)
    page = visitor.page

    _add_a_model(visitor, pictures)
    assert sorted(each.name for each in stack.specs.iterdir()) == ["default.yaml", "tiny.yaml"]
    text = (stack.specs / "tiny.yaml").read_text()
    _try_it(visitor)

    page.get_by_role("link", name="Edit").click()
    visitor.live()
    page.get_by_label("Replicas of tiny").fill("2")
    page.get_by_role("button", name="Set in draft").click()
    expect(page.locator("#plan")).to_contain_text("replicas 1 -> 2")
    expect(page.locator("#plan")).to_contain_text("model/tiny starts 1 replica more")
    visitor.live()
    pictures.take(page, "change-plan")
    assert (stack.specs / "tiny.yaml").read_text() == text, "a draft changes no file"
    _apply(visitor)
    assert (stack.specs / "tiny.yaml").read_text() == text.replace("replicas: 1", "replicas: 2")
    expect(page.locator("#summary")).to_contain_text("The running services are as the specs say.", timeout=SLOW_MS)
    expect(page.locator("#revision-3")).to_contain_text("model/tiny")

    _break_it(visitor, pictures)
    assert stack.status()["specsRejected"] is False
    page.get_by_role("button", name="Discard this draft").click()
    expect(page.locator("#notice")).to_contain_text("the draft is discarded")

    page.get_by_text("Roll back a service").click()
    page.get_by_label("Service to roll back").select_option("model/tiny")
    page.get_by_role("button", name="Roll back", exact=True).click()
    expect(page.locator("#notice")).to_contain_text("model/tiny is rolled back to revision 2")
    expect(page.locator("#summary")).to_contain_text("model/tiny was rolled back to revision 2")
    visitor.live()
    page.goto(f"{stack.url}/ui/services/model/tiny")
    expect(page.locator("#figures")).to_contain_text("1/1", timeout=SLOW_MS)
    assert visitor.complaints == [], "no script failed, and the policy forbade nothing"
    visitor.context.close()
    _look_in_the_dark_and_on_a_phone(browser, stack, pictures)


def test_the_path_needs_no_script(browser: Browser, stack: Stack) -> None:
    visitor = Visitor(browser, stack, java_script_enabled=False)
    page = visitor.page
    page.goto(f"{stack.url}/ui/new")
    page.locator("#app").get_by_label("Command").fill("sleep 600")
    page.locator("#app").get_by_label("Name").fill("idle")
    page.locator("#app").get_by_role("button").click()
    text = page.get_by_label("Text of idle.yaml")
    text.fill(text.input_value().replace("replicas: 1", "replicas: one"))
    page.get_by_role("button", name="Plan").click()
    expect(page.locator("#plan")).to_contain_text('spec.replicas is "one"; expected a whole number')
    text.fill(text.input_value().replace("replicas: one", "replicas: 0"))
    page.get_by_role("button", name="Plan").click()
    page.get_by_label("I have read the plan").check()
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#notice")).to_contain_text("applied: default.yaml, idle.yaml written to")
    assert "replicas: 0" in (stack.specs / "idle.yaml").read_text()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Signed out")).to_be_visible()
    visitor.context.close()


def _add_a_model(visitor: Visitor, pictures: Pictures) -> None:
    page = visitor.page
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.get_by_role("link", name="New service").click()
    visitor.live()
    model = page.locator("#model")
    expect(model).to_contain_text("needs about")
    model.get_by_label("smollm2", exact=True).check()
    model.get_by_label("Name").fill("tiny")
    pictures.take(page, "change-new")
    model.get_by_role("button", name="Make the spec").click()
    expect(page.get_by_label("Text of tiny.yaml")).to_have_value(re.compile("source: smollm2 +# a name in"))
    expect(page.locator("#plan")).to_contain_text("model/tiny starts 1 replica")
    _apply(visitor)
    expect(page.locator("#notice")).to_contain_text("applied: default.yaml, tiny.yaml written to")


def _apply(visitor: Visitor) -> None:
    page = visitor.page
    page.get_by_label("I have read the plan").check()
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url("**/ui/change")
    expect(page.locator("#notice")).to_contain_text("applied:")
    visitor.live()


def _try_it(visitor: Visitor) -> None:
    page = visitor.page
    page.get_by_role("link", name="model/tiny").click()
    visitor.live()
    expect(page.locator("#figures")).to_contain_text("1/1", timeout=SLOW_MS)
    page.get_by_label("Message to tiny").fill("Say hello.")
    page.keyboard.press("Enter")
    expect(page.locator("#chat-figures")).to_contain_text("tokens in", timeout=SLOW_MS)
    assert page.locator(".message.assistant .body").inner_text().strip()
    # Its figures: the gateway and the ledger have counted the request.
    expect(page.locator("dt:text-is('Tokens/s') + dd")).to_have_text(re.compile("[1-9]"), timeout=SLOW_MS)
    expect(page.locator("dt:text-is('Latency p95') + dd")).to_have_text(re.compile("[1-9].* m?s"), timeout=SLOW_MS)


def _break_it(visitor: Visitor, pictures: Pictures) -> None:
    page = visitor.visit("/change/edit/tiny.yaml")
    text = page.get_by_label("Text of tiny.yaml")
    text.fill(text.input_value().replace("replicas: 2", "replicas: two"))
    expect(page.locator("#unsaved")).to_have_text("not planned yet")
    page.get_by_role("button", name="Plan").click()
    error = page.locator("#plan .problems li")
    expect(error).to_contain_text('error tiny.yaml:8:13 spec.replicas is "two"; expected a whole number')
    expect(error.locator(".excerpt")).to_contain_text("replicas: two")
    expect(page.locator("#line-8")).to_have_class("bad")
    expect(page.get_by_role("button", name="Apply")).to_have_count(0)
    visitor.live()
    error.get_by_role("link").click()
    assert text.evaluate("each => each.value.slice(each.selectionStart, each.selectionEnd)").startswith(
        "  replicas: two"
    )
    pictures.take(page, "change-error")
    assert axe_findings(visitor.page) == []


def _look_in_the_dark_and_on_a_phone(browser: Browser, stack: Stack, pictures: Pictures) -> None:
    for name, scheme, size in (("change-dark", "dark", DESKTOP), ("change-phone", "light", PHONE)):
        visitor = Visitor(browser, stack, color_scheme=scheme, viewport=size)
        for path in ("/change/edit/tiny.yaml", "/new", "/change"):
            page = visitor.visit(path)
            assert axe_findings(visitor.page) == [], (name, path)
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        pictures.take(visitor.page, name)
        visitor.context.close()
