"""Pages that are opened by links: what people see, hear and find is that of a page that was loaded."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog, Page, expect

from bateau.domain.event import Event
from bateau.store.timeline import Timeline
from bateau.ui.rows import FIRST
from bateau.wiring.paths import paths
from bateau.wiring.timeline import timeline_path
from local.stack import Stack
from ui.chromium import SCRIPT, Visitor, axe_findings, instance, link_of, wait_for

EVENTS = 3 * FIRST
PLAIN = "apiVersion: bateau.dev/v1alpha1\nkind: App\nmetadata: {name: plain}\nspec: {command: [sleep, '600']}\n"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with instance(Path.home() / ".cache") as made:
        timeline = Timeline(timeline_path(paths("default", made.environ)))
        for number in range(EVENTS):
            says = f"number {number}"
            timeline.emit(Event(when_s=time.time(), subject="app.shop.0", reason="Tested", says=says))
        timeline.close()
        yield made


@pytest.fixture
def visitor(browser: Browser, stack: Stack) -> Iterator[Visitor]:
    made = Visitor(browser, stack)
    yield made
    assert made.complaints == [], "no script failed, and the policy forbade nothing"
    made.context.close()


def follow(page: Page, name: str, heading: str | None = None) -> None:
    page.get_by_role("link", name=name, exact=True).first.click()
    expect(page.get_by_role("heading", name=heading or name, level=1)).to_be_visible()
    page.locator("#live[data-state=live]").wait_for()


def mark(page: Page) -> None:
    page.evaluate("() => { window.mark = true; }")


def dismissed(page: Page) -> list[Dialog]:
    """Dismiss all dialogs from now on, and note them."""
    found: list[Dialog] = []

    def dismiss(dialog: Dialog) -> None:
        found.append(dialog)
        dialog.dismiss()

    page.on("dialog", dismiss)
    return found


def is_same_document(page: Page) -> bool:
    return bool(page.evaluate("() => window.mark === true"))


def test_a_link_replaces_the_page_and_its_address_title_place_and_history(visitor: Visitor) -> None:
    page = visitor.visit("/")
    mark(page)
    follow(page, "Machines", "Machines and clusters")
    assert is_same_document(page)
    assert page.url == f"{visitor.stack.url}/ui/machines"
    assert page.title() == "Machines and clusters · default · Bateau"
    expect(page.locator(".top nav [aria-current=page]")).to_have_text("Machines")
    assert axe_findings(visitor.page) == []
    page.go_back()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    assert page.title() == "Overview · default · Bateau"
    page.go_forward()
    expect(page.get_by_role("heading", name="Machines and clusters", level=1)).to_be_visible()
    visitor.live()
    assert is_same_document(page)
    assert page.locator("#main").count() == 1


def test_a_page_that_is_followed_begins_at_its_top_for_the_keyboard_and_is_announced(visitor: Visitor) -> None:
    page = visitor.visit("/")
    page.get_by_role("link", name="Timeline", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="Timeline · default")).to_have_count(1)
    visitor.live()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()


def test_back_leads_to_the_place_where_the_reader_was(visitor: Visitor) -> None:
    page = visitor.visit("/timeline")
    expect(page.locator("#events-rows > tr").nth(EVENTS - 1)).to_be_attached()
    page.mouse.wheel(0, 3000)
    page.wait_for_function("window.scrollY >= 2900")
    follow(page, "Overview")
    assert page.evaluate("window.scrollY") == 0
    page.go_back()
    expect(page.get_by_role("heading", name="Timeline", level=1)).to_be_attached()
    page.wait_for_function("window.scrollY >= 2900")


def test_every_row_of_a_long_table_is_there_and_found(visitor: Visitor) -> None:
    page = visitor.visit("/timeline")
    for _ in ("loaded", "followed"):
        assert page.locator("template").count() == 0
        assert page.locator("#events-rows > tr").count() > EVENTS
        page.get_by_label("Filter events").fill("number 0")
        expect(page.locator("#events-rows > tr:visible")).to_have_count(1)
        follow(page, "Overview")
        follow(page, "Timeline")


def test_every_row_of_a_long_table_is_there_without_scripts(browser: Browser, stack: Stack) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(link_of(stack))
    page.wait_for_url(f"{stack.url}/ui/")
    page.get_by_role("link", name="Timeline", exact=True).click()
    expect(page.get_by_text("number 0", exact=True)).to_be_visible()
    context.close()


def test_the_scripts_of_a_page_start_and_end_with_it(visitor: Visitor) -> None:
    page = visitor.visit("/")
    mark(page)
    for _ in range(2):
        follow(page, "shop")
        expect(page.locator("#log-lines")).to_contain_text(SCRIPT)
        follow(page, "Overview")
        follow(page, "big")
        page.get_by_label("Message to big").fill("hello")
        page.keyboard.press("Enter")
        expect(page.locator("#chat-figures")).to_contain_text("3 tokens in, 2 out")
        expect(page.locator(".message.user")).to_have_count(1)
        follow(page, "Overview")
    follow(page, "shop")
    asked = dismissed(page)
    page.get_by_role("button", name="Restart").click()
    expect(page.locator("#done")).to_be_empty()
    assert len(asked) == 1
    assert is_same_document(page)


def test_a_text_that_is_not_sent_is_not_lost_without_a_question(visitor: Visitor) -> None:
    visitor.stack.write(PLAIN, "plain.yaml")
    page = visitor.visit("/change")
    page.get_by_role("link", name="plain.yaml").first.click()
    expect(page.locator("#text")).to_be_visible()
    page.locator("#text").press_sequentially("# more\n")
    asked = dismissed(page)
    page.get_by_role("link", name="Overview", exact=True).click(no_wait_after=True)
    wait_for(lambda: bool(asked))
    assert asked[0].type == "beforeunload"
    expect(page.locator("#text")).to_be_visible()
    page.locator("#text").evaluate("(text) => { text.value = text.defaultValue; }")
    follow(page, "Overview")
    assert page.locator('link[href*="change.css"]').count() == 0


def test_a_link_after_the_end_of_the_session_asks_to_sign_in(browser: Browser, stack: Stack) -> None:
    visitor = Visitor(browser, stack)
    page = visitor.visit("/")
    visitor.context.clear_cookies()
    page.get_by_role("link", name="Machines", exact=True).click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    visitor.context.close()
