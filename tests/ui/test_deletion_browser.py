"""Deleting and bringing back in a real browser: by keyboard, on a phone, in the dark and without scripts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from local.stack import Stack
from ui.chromium import Visitor, axe_findings, instance, wait_for

PHONE = {"width": 390, "height": 760}
ONE = (
    "apiVersion: bateau.dev/v1alpha1\nkind: App\nmetadata: {name: %s}\n"
    "spec: {command: [sleep, '600'], drainTimeout: 1s}\n"
)
TWO = f"# sleeps\n{ONE % 'day'}---\n# sleeps, too\n{ONE % 'night'}"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with instance(Path.home() / ".cache") as made:
        yield made


def write(stack: Stack, *services: str) -> None:
    stack.write(TWO, "sleepers.yaml")
    wait_for(lambda: {f"app/{each}" for each in services} <= set(running(stack)))


def running(stack: Stack) -> list[str]:
    return [each["service"] for each in stack.status()["services"]]


def press(page: Page, name: str, key: str = "Enter", *, role: str = "button") -> None:
    """Go to something by Tab, and press a key there."""
    wanted = page.get_by_role(role, name=name)  # type: ignore[arg-type]
    expect(wanted).to_have_count(1)
    for _ in range(80):
        page.keyboard.press("Tab")
        if wanted.evaluate("each => each === document.activeElement"):
            page.keyboard.press(key)
            return
    raise AssertionError(f"Tab does not lead to {name}")


def test_a_document_is_deleted_and_brought_back_by_keyboard(browser: Browser, stack: Stack) -> None:
    write(stack, "day", "night")
    visitor = Visitor(browser, stack)
    page = visitor.visit("/change/edit/sleepers.yaml")
    press(page, "Delete App day")
    expect(page.locator("#notice")).to_contain_text("draft: deletes App day in sleepers.yaml")
    expect(page.get_by_label("Text of sleepers.yaml")).to_have_value(TWO[TWO.index("---\n") :])
    expect(page.locator("#plan")).to_contain_text("app/day drains and stops 1 replica")
    visitor.live()
    press(page, "I have read the plan, which removes app/day", "Space", role="checkbox")
    press(page, "Apply")
    page.wait_for_url("**/ui/change")
    assert (stack.specs / "sleepers.yaml").read_text() == TWO[TWO.index("---\n") :]
    wait_for(lambda: "app/day" not in running(stack), timeout_s=90)
    page = visitor.visit("/change")
    page.get_by_text("Bring back a deleted service").press("Enter")
    page.get_by_label("Service to bring back").select_option(label=_option(page, "app/day"))
    press(page, "Bring back")
    expect(page.locator("#notice")).to_contain_text("draft: app/day as it was in revision")
    expect(page.locator("#plan")).to_contain_text("app/day starts 1 replica")
    visitor.live()
    press(page, "I have read the plan", "Space", role="checkbox")
    press(page, "Apply")
    page.wait_for_url("**/ui/change")
    wait_for(lambda: "app/day" in running(stack), timeout_s=90)
    assert (stack.specs / "sleepers.yaml").read_text().count("kind: App") == 2
    assert visitor.complaints == [], "no script failed, and the policy forbade nothing"
    visitor.context.close()


def _option(page: Page, service: str) -> str:
    options = page.get_by_label("Service to bring back").locator("option").all_inner_texts()
    return next(each for each in options if each.startswith(f"{service},"))


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), ({"width": 1180, "height": 760}, "dark")])
def test_axe_finds_nothing_in_a_deletion(
    browser: Browser, stack: Stack, size: dict[str, int], scheme: str, request: pytest.FixtureRequest
) -> None:
    write(stack, "night")
    visitor = Visitor(browser, stack, viewport=size, color_scheme=scheme)
    page = visitor.visit("/change/edit/sleepers.yaml")
    assert axe_findings(visitor.page) == []
    page.get_by_role("button", name="Delete the file sleepers.yaml").click()
    expect(page.locator("#plan")).to_contain_text("which deletes sleepers.yaml and removes app/day, app/night")
    visitor.live()
    folder = request.config.getoption("--screenshots")
    for path in ("/change/edit/sleepers.yaml", "/change"):
        page = visitor.visit(path)
        assert axe_findings(visitor.page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        if folder:
            page.screenshot(path=Path(folder, f"deletion-{scheme}-{path.count('/')}.png"), full_page=True)
    assert visitor.complaints == []
    visitor.context.close()


def test_a_deletion_needs_no_script(browser: Browser, stack: Stack) -> None:
    write(stack, "night")
    visitor = Visitor(browser, stack, java_script_enabled=False)
    page = visitor.page
    page.goto(f"{stack.url}/ui/change/edit/sleepers.yaml")
    page.get_by_role("button", name="Delete the file sleepers.yaml").click()
    page.get_by_label("I have read the plan, which deletes sleepers.yaml").check()
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#notice")).to_contain_text("applied: sleepers.yaml deleted from")
    assert not (stack.specs / "sleepers.yaml").exists()
    wait_for(lambda: "app/night" not in running(stack), timeout_s=90)
    visitor.context.close()
