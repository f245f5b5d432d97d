"""The dashboard in a real browser, behind the real gateway: what people see, hear and press."""

import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from local.stack import Stack
from ui.chromium import SCRIPT, Visitor, axe_findings, instance, link_of, wait_for

PAGES = (
    "/",
    "/timeline",
    "/services/app/shop",
    "/services/model/big",
    "/services/gateway/envoy",
    *("/change", "/change/edit/chat.yaml", "/new"),
)
PHONE = {"width": 390, "height": 800}
FIRST_PAINT_MS_MAX = 500


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with instance(Path.home() / ".cache") as made:
        yield made


@pytest.fixture(scope="module")
def visitor(browser: Browser, stack: Stack) -> Iterator[Visitor]:
    made = Visitor(browser, stack)
    yield made
    assert made.complaints == [], "no script failed, and the policy forbade nothing"
    made.context.close()


def test_a_link_opens_the_dashboard_once(browser: Browser, stack: Stack) -> None:
    link = link_of(stack, "shop", "--role", "view")
    context = browser.new_context()
    page = context.new_page()
    page.goto(link)
    page.wait_for_url(f"{stack.url}/ui/services/app/shop")
    expect(page.get_by_role("heading", name="shop")).to_be_visible()
    (cookie,) = context.cookies()
    assert (cookie.get("httpOnly"), cookie.get("sameSite"), cookie.get("path")) == (True, "Strict", "/ui")
    other = browser.new_context().new_page()
    other.goto(link)
    expect(other.get_by_text("works once")).to_be_visible()
    other.goto(f"{stack.url}/ui/")
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
    context.close()


def test_open_names_what_does_not_exist(stack: Stack) -> None:
    done = stack.bateau("open", "shpo")
    assert done.code == 2
    assert "no service shpo in default: did you mean" in done.err
    done = stack.bateau("open", "--name", "elsewhere")
    assert done.code == 3
    assert done.err == "error: no control plane answers for elsewhere\n  hint: start one with `bateau up`\n"


def test_a_link_on_another_site_leads_to_the_dashboard(browser: Browser, stack: Stack) -> None:
    """As in a terminal in the browser: a page of another site. After a redirect, a strict cookie would not be sent."""
    page = browser.new_context().new_page()
    page.goto(stack.url.replace("127.0.0.1", "localhost"))
    page.set_content(f'<a href="{link_of(stack)}">open</a>')
    page.get_by_role("link").click()
    page.wait_for_url(f"{stack.url}/ui/")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing(browser: Browser, stack: Stack, path: str, scheme: str) -> None:
    for size in ({"width": 1280, "height": 900}, PHONE):
        visitor = Visitor(browser, stack, color_scheme=scheme, viewport=size)
        visitor.visit(path)
        if path == "/services/app/shop":
            visitor.page.locator(".leaf").first.click()
        assert axe_findings(visitor.page) == []
        visitor.context.close()


def test_pages_without_a_session_pass_axe_too(browser: Browser, stack: Stack) -> None:
    visitor = Visitor(browser, stack)
    visitor.context.clear_cookies()
    visitor.page.goto(f"{stack.url}/ui/")
    expect(visitor.page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert axe_findings(visitor.page) == []
    visitor.context.close()


@pytest.mark.parametrize("path", PAGES)
def test_a_phone_scrolls_down_only(browser: Browser, stack: Stack, path: str) -> None:
    visitor = Visitor(browser, stack, viewport=PHONE)
    visitor.visit(path)
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    visitor.context.close()


def test_everything_can_be_reached_by_keyboard(visitor: Visitor) -> None:
    page = visitor.visit("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_label("Filter services")).to_be_focused()
    page.keyboard.type("sho")
    expect(page.locator("#row-model-big")).to_be_hidden()
    expect(page.locator("#row-app-shop")).to_be_visible()
    page.keyboard.press("Tab")  # the table, which may scroll
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="shop", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/services/app/shop")
    visitor.live()
    _tab_to(page, "#log-pause")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()


def test_the_focus_is_visible_on_everything_that_takes_it(visitor: Visitor) -> None:
    page = visitor.visit("/services/model/big")
    page.locator("#main").focus()
    seen: set[str] = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        about = page.evaluate(
            "(() => { const e = document.activeElement, s = getComputedStyle(e);"
            "const name = e.id || `${e.nodeName}.${e.className} ${e.textContent}`; return ["
            "name, s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 1]; })()"
        )
        if about[0] in seen or about[0].startswith("BODY"):
            break
        seen.add(about[0])
        assert about[1], f"{about[0]} does not show its focus"
    assert len(seen) > 5


def test_a_field_shows_its_origin_to_the_pointer_the_keyboard_and_a_click(visitor: Visitor) -> None:
    page = visitor.visit("/services/app/shop")
    field = page.locator('.field[data-path="spec.uses[0]"]')
    origin = field.locator(".origin")
    expect(origin).to_be_hidden()
    field.get_by_role("button").hover()
    expect(origin).to_be_visible()
    expect(origin).to_contain_text("chat.yaml:")
    page.keyboard.press("Escape")
    expect(origin).to_be_hidden()
    page.mouse.move(0, 0)
    page.locator('.field[data-path="spec.ports.http.protocol"] .leaf').focus()
    page.keyboard.press("Tab")
    expect(origin).to_be_visible()
    page.keyboard.press("Enter")
    expect(field.get_by_role("button")).to_have_attribute("aria-expanded", "true")
    page.locator("#log-search").focus()
    expect(origin).to_be_visible()


def test_defaults_are_shown_on_demand(visitor: Visitor) -> None:
    page = visitor.visit("/services/app/shop")
    field = page.locator('.field[data-path="spec.replicas"]')
    expect(field).to_be_hidden()
    page.get_by_label("Defaults").check()
    expect(field).to_be_visible()
    expect(field.locator(".from")).to_have_text("default")


def test_a_script_in_a_log_a_label_or_an_answer_is_text(visitor: Visitor) -> None:
    page = visitor.visit("/services/app/shop")
    expect(page.locator("#log-lines")).to_contain_text(SCRIPT)
    expect(page.locator("#spec")).to_contain_text(SCRIPT)
    page = visitor.visit("/services/model/big")
    expect(page.locator("#summary")).to_contain_text(SCRIPT)
    page.get_by_label("Message to big").fill(f"hello {SCRIPT}")
    page.keyboard.press("Enter")
    expect(page.locator("#chat-figures")).to_contain_text("3 tokens in, 2 out")
    expect(page.locator(".message.assistant .body")).to_have_text(SCRIPT)
    expect(page.locator(".message.user .body")).to_have_text(f"hello {SCRIPT}")
    assert page.title().startswith("big"), "no script has run"
    assert page.locator("main img, main script").count() == 0


def test_the_policy_stops_a_script_that_got_in_all_the_same(browser: Browser, stack: Stack) -> None:
    visitor = Visitor(browser, stack)
    page = visitor.visit("/")
    page.locator("#summary").evaluate("(element, html) => { element.innerHTML = html; }", SCRIPT)
    expect(page.locator("#summary img")).to_have_count(1)
    wait_for(lambda: any("Content Security Policy" in each for each in visitor.complaints))
    assert page.title().startswith("Overview")
    visitor.context.close()


def test_the_log_is_live_and_can_be_searched_and_paused(visitor: Visitor) -> None:
    page = visitor.visit("/services/app/shop")
    address = page.locator("dt:text-is('Address') + dd").inner_text()
    _ask(f"{address}/one")
    expect(page.locator("#log-lines")).to_contain_text("asked for /one")
    page.get_by_label("Search the log").fill("ASKED FOR /one")
    expect(page.locator("#log-lines > div:visible")).to_have_count(1)
    expect(page.locator("#log-count")).to_contain_text("1 of")
    page.get_by_label("Search the log").fill("")
    page.get_by_role("button", name="Pause").click()
    _ask(f"{address}/two")
    expect(page.locator("#log-count")).to_contain_text(" new")
    expect(page.locator("#log-lines")).not_to_contain_text("asked for /two")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#log-lines")).to_contain_text("asked for /two")


def test_a_restart_is_asked_for_confirmed_and_seen(visitor: Visitor) -> None:
    page = visitor.visit("/services/app/shop")
    before = page.locator("#replicas tbody").inner_text()
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Restart").click()
    page.wait_for_timeout(500)
    assert page.locator("#done").inner_text() == ""
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Restart").click()
    expect(page.locator("#done")).to_have_text("app/shop restarts")
    wait_for(lambda: page.locator("#replicas tbody").inner_text() != before)
    expect(page.locator("#replicas tbody .state.good")).to_have_count(1, timeout=30_000)


def test_a_change_is_seen_without_loading_the_page_again(visitor: Visitor) -> None:
    page = visitor.visit("/")
    page.get_by_label("Filter services").fill("e")
    try:
        visitor.stack.write(
            "apiVersion: bateau.dev/v1alpha1\nkind: App\nmetadata: {name: newcomer}\n"
            "spec: {command: [sleep, '600'], ports: {http: {protocol: http}}}\n",
            "newcomer.yaml",
        )
        expect(page.locator("#row-app-newcomer")).to_be_visible(timeout=15_000)
        expect(page.get_by_label("Filter services")).to_have_value("e")
    finally:
        (visitor.stack.specs / "newcomer.yaml").unlink()
    expect(page.locator("#row-app-newcomer")).to_have_count(0, timeout=30_000)


def test_the_first_paint_is_quick(visitor: Visitor) -> None:
    visitor.visit("/")
    paints: list[float] = []
    for _ in range(5):
        page = visitor.visit("/")
        script = "performance.getEntriesByName('first-contentful-paint').map((each) => each.startTime)"
        paints += page.evaluate(script)
    assert min(paints) <= FIRST_PAINT_MS_MAX, paints


def test_nothing_is_loaded_from_elsewhere(visitor: Visitor) -> None:
    asked: list[str] = []
    visitor.page.on("request", lambda request: asked.append(request.url))
    for path in PAGES:
        visitor.visit(path)
    assert asked
    assert [url for url in asked if not url.startswith(f"{visitor.stack.url}/")] == []


def test_the_theme_can_be_chosen_and_is_kept(browser: Browser, stack: Stack) -> None:
    visitor = Visitor(browser, stack, color_scheme="light")
    page = visitor.visit("/")

    def brightness() -> int:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return int(colour.split("(")[1].split(",")[0])

    assert brightness() > 200
    button = page.get_by_role("button", name="Colours")
    button.click()
    button.click()
    expect(button).to_have_text("Dark")
    assert brightness() < 60
    page.reload()
    assert brightness() < 60
    visitor.context.close()


def test_without_a_control_plane_the_page_says_that_it_is_stale(
    browser: Browser, stack: Stack, visitor: Visitor
) -> None:
    """The last test: the sessions end with the control plane."""
    visitor.page.goto("about:blank")
    watcher = Visitor(browser, stack)
    page = watcher.visit("/")
    pid = stack.control_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        expect(page.get_by_role("alert")).to_contain_text("Not up to date", timeout=20_000)
    finally:
        os.kill(pid, signal.SIGCONT)
    watcher.live()
    expect(page.locator("#stale")).to_be_hidden()
    stack.kill_control()
    expect(page.get_by_role("alert")).to_contain_text("Not up to date", timeout=10_000)
    new = watcher.context.new_page()
    new.goto(f"{stack.url}/ui/")
    expect(new.get_by_role("heading", name="The control plane is not running")).to_be_visible()
    page.bring_to_front()
    assert stack.up().code == 0
    expect(page.get_by_role("alert")).to_contain_text("The session has ended", timeout=20_000)
    expect(new.get_by_role("heading", name="Sign in")).to_be_visible(timeout=20_000)
    watcher.context.close()


def _tab_to(page: Page, selector: str) -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.locator(selector).evaluate("(element) => element === document.activeElement"):
            return
    raise AssertionError(f"{selector} cannot be reached by Tab")


def _ask(url: str) -> None:
    with urllib.request.urlopen(url, timeout=10) as answer:
        answer.read()
