"""The pages of usage, keys, machines and policies in a real browser, behind the real gateway."""

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from bateau.kit.secret_key import hash_of
from bateau.wiring.keys import Keys
from local.stack import Stack
from ui.chromium import SCRIPT, Visitor, axe_findings, instance, link_of, wait_for
from ui.reports import POLICIES

PAGES = ("/usage", "/usage/30d/hour", "/usage/keys/ci", "/machines", "/policies")
PHONE = {"width": 390, "height": 800}
SECRET = re.compile(r"bateau_[0-9A-Za-z]{38}")
POLICY = POLICIES["policies/house.yaml"].replace("severity: warning", "severity: warning\n      path: spec.replicas")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with instance(Path.home() / ".cache") as made:
        made.write(POLICY.replace("alert(1)", "document.title=7"), "<img src=x onerror=alert(1)>.yaml")
        made.write(POLICIES["environments.yaml"], "environments.yaml")
        options = ("--owner", SCRIPT, "--note", SCRIPT, "--tokens-per-day", "8", "--money-per-month", "5EUR")
        done = made.bateau("keys", "create", "ci", *options)
        assert done.code == 0, done.err
        for key in (done.out.strip(), done.out.strip(), "", "wrong"):
            _ask(made, key)
        yield made


@pytest.fixture(scope="module")
def visitor(browser: Browser, stack: Stack) -> Iterator[Visitor]:
    made = Visitor(browser, stack)
    yield made
    assert made.complaints == [], "no script failed, and the policy forbade nothing"
    made.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [{"width": 1280, "height": 900}, PHONE], ids=["desk", "phone"])
def test_axe_finds_nothing(browser: Browser, stack: Stack, size: dict[str, int], scheme: str) -> None:
    visitor = Visitor(browser, stack, color_scheme=scheme, viewport=size)
    for path in PAGES:
        page = visitor.visit(path)
        if path == "/usage":
            expect(page.locator("#usage table")).to_be_visible(timeout=20_000)
            page.locator("#create summary").click()
        assert axe_findings(visitor.page) == [], path
        if size == PHONE:
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path
    page = visitor.visit("/usage")
    page.locator("#create summary").click()
    page.get_by_label("Name", exact=True).fill("Not A Name")
    page.get_by_label("Expires").fill("soon")
    page.get_by_role("button", name="Create the key").click()
    expect(page.get_by_role("alert").first).to_be_attached()
    expect(page.locator("#key-expires_at-error")).to_contain_text("soon is not a time")
    assert axe_findings(visitor.page) == []
    visitor.context.close()


def test_usage_comes_while_the_page_is_open(visitor: Visitor, stack: Stack) -> None:
    page = visitor.visit("/usage/24h/key")
    expect(page.locator("#usage tbody tr").filter(has_text="ci")).to_contain_text("2", timeout=20_000)
    expect(page.locator("#usage tbody tr").filter(has_text="(no key)")).to_be_visible()
    expect(page.locator("#key-ci")).to_contain_text("used up", timeout=10_000)
    expect(page.locator("#key-ci")).to_contain_text("10 of 8 tokens this day")
    page = visitor.visit("/services/model/big")
    expect(page.locator("#usage")).to_contain_text("ci", timeout=20_000)
    shown = stack.bateau("usage").out
    assert re.search(r"^ci +2 +0 +6 +0 +4 ", shown, re.MULTILINE), shown


def test_text_of_keys_policies_and_file_names_is_text(visitor: Visitor) -> None:
    for path in PAGES:
        page = visitor.visit(path)
        page.wait_for_timeout(300)
        assert page.locator("main img, main script").count() == 0, path
        assert not re.search("owned|7", page.title())
    page = visitor.visit("/policies")
    expect(page.locator("#rules")).to_contain_text("<img src=x onerror=alert(1)>.yaml")
    expect(page.locator("#exceptions")).to_contain_text("<script>document.title=7</script>")
    page = visitor.visit("/usage/keys/ci")
    expect(page.locator("#summary")).to_contain_text(SCRIPT)


def test_a_key_is_created_rotated_and_revoked_by_keyboard(visitor: Visitor, stack: Stack) -> None:
    page = visitor.visit("/usage")
    _tab_to(page, "#create summary")
    page.keyboard.press("Enter")
    for text in ("laptop", "ada", "big", "30d", f"note {SCRIPT}"):
        page.keyboard.press("Tab")
        if text == "big":
            page.keyboard.press("Control+a")
        page.keyboard.type(text)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="The secret of laptop")).to_be_visible()
    visitor.live()
    first = page.locator("#secret-text").inner_text()
    assert SECRET.fullmatch(first)
    assert first not in page.url
    assert axe_findings(visitor.page) == []
    assert _ask(stack, first) == 200
    _tab_to(page, "#copy")
    page.keyboard.press("Enter")
    expect(page.locator("#copy")).to_have_text(re.compile("Copied|Ctrl-C"))
    _tab_to(page, "#rotate-key input[type=checkbox]")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#secret-text")).not_to_have_text(first)
    second = page.locator("#secret-text").inner_text()
    assert _keys(stack).named("laptop").sha256 == hash_of(second)
    wait_for(lambda: (_ask(stack, first), _ask(stack, second)) == (401, 200))
    visitor.visit("/usage/keys/laptop")
    assert not SECRET.search(page.content())
    page.get_by_role("button", name="Revoke").click()
    expect(page.locator("#revoke-key input:invalid")).to_have_count(1)
    _tab_to(page, "#revoke-key input[type=checkbox]")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="laptop is revoked")).to_be_visible()
    wait_for(lambda: _ask(stack, second) == 401)
    page.get_by_role("link", name="Usage and keys").click()
    page.wait_for_url("**/ui/usage")
    assert second not in (stack.base / "state/bateau/default/control.log").read_text()


def test_who_may_only_look_sees_no_form(browser: Browser, stack: Stack) -> None:
    visitor = Visitor(browser, stack, role="operate")
    for path in ("/usage", "/usage/keys/ci"):
        page = visitor.visit(path)
        assert page.locator("main form").count() == 0
    visitor.context.close()


def test_a_filter_keeps_the_rows_that_match(visitor: Visitor) -> None:
    page = visitor.visit("/policies")
    page.keyboard.press("/")
    expect(page.get_by_label("Filter findings")).to_be_focused()
    page.keyboard.type("exception of ada")
    expect(page.locator("#findings tbody tr:visible")).to_have_count(1)
    page = visitor.visit("/machines")
    page.get_by_label("Filter services").fill("shop")
    expect(page.locator("#use-app-shop")).to_be_visible()
    expect(page.locator("#use-gateway-envoy")).to_be_hidden()


def test_a_changed_policy_is_seen_without_loading_the_page_again(visitor: Visitor, stack: Stack) -> None:
    page = visitor.visit("/policies")
    expect(page.locator("#rules tbody tr")).to_have_count(2)
    stack.write(
        "apiVersion: bateau.dev/v1alpha1\nkind: Policy\nmetadata: {name: more}\nspec:\n  match: {kinds: [App]}\n"
        "  rules: [{name: newcomer, check: 'true', message: fine}]\n",
        "more.yaml",
    )
    try:
        expect(page.locator("#rules")).to_contain_text("more/newcomer", timeout=15_000)
    finally:
        (stack.specs / "more.yaml").unlink()
    expect(page.locator("#rules")).not_to_contain_text("more/newcomer", timeout=15_000)


def test_a_forged_host_gets_nothing(stack: Stack) -> None:
    for path in ("/ui/usage", "/ui/machines", "/ui/policies"):
        request = urllib.request.Request(f"{stack.url}{path}", headers={"host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        assert refused.value.code in (401, 403)  # Envoy's own filters ask for a key first
        assert "ci" not in refused.value.read().decode()


def test_signing_out_ends_the_session(browser: Browser, stack: Stack) -> None:
    visitor = Visitor(browser, stack)
    visitor.page.get_by_role("button", name="Sign out").click()
    expect(visitor.page.get_by_role("heading", name="Signed out")).to_be_visible()
    visitor.page.goto(f"{stack.url}/ui/usage")
    expect(visitor.page.get_by_role("heading", name="Sign in")).to_be_visible()
    visitor.context.close()


def test_the_page_works_without_scripts(browser: Browser, stack: Stack) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(link_of(stack))
    page.wait_for_url(f"{stack.url}/ui/")
    page.goto(f"{stack.url}/ui/usage")
    page.locator("#create summary").click()
    page.get_by_label("Name", exact=True).fill("plain")
    page.get_by_role("button", name="Create the key").click()
    expect(page.locator("#secret-text")).to_have_text(SECRET)
    _keys(stack).revoke("plain")
    context.close()


def _keys(stack: Stack) -> Keys:
    return Keys("default", stack.environ)


def _ask(stack: Stack, key: str) -> int:
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
    body = b'{"model": "big", "messages": [{"role": "user", "content": "hello"}]}'
    try:
        request = urllib.request.Request(f"{stack.url}/v1/chat/completions", data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()
            return answer.status
    except urllib.error.HTTPError as error:
        error.read()
        return error.code


def _tab_to(page: Page, selector: str) -> None:
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.locator(selector).evaluate("(element) => element === document.activeElement"):
            return
    raise AssertionError(f"{selector} cannot be reached by Tab")
