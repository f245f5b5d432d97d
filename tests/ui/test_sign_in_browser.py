"""People sign in to a real instance by a real OIDC issuer, in a real Chromium."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from local.stack import Stack, free_port, wait_for
from traffic.issuer import RealIssuer
from ui.chromium import Visitor, axe_findings, link_of

SECRET = "a-client-secret-that-nobody-else-has"
SPEC = """\
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {name: shop}
spec: {command: [sleep, "1000"], replicas: 1}
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def stack(cache: Path) -> Iterator[Stack]:
    made = Stack(cache)
    made.write(SPEC, "shop.yaml")
    try:
        done = made.up()
        assert done.code == 0, done.err
        yield made
    finally:
        made.destroy()
        shutil.rmtree(cache, ignore_errors=True)


def begun(stack: Stack, *, in_token: bool = True) -> RealIssuer:
    redirects = [f"{stack.url}/ui/sign-in/corp/callback"]
    issuer = RealIssuer(dashboard={"redirects": redirects, "secret": SECRET, "inToken": in_token})
    issuer.start()
    return issuer


@pytest.fixture
def issuer(stack: Stack) -> Iterator[RealIssuer]:
    """An issuer by which people sign in: those of `platform` operate, those of `staff` look."""
    made = begun(stack)
    add(stack, made)
    yield made
    assert stack.bateau("sign-in", "remove", "corp").code == 0
    made.stop()


def add(stack: Stack, issuer: RealIssuer, *more: str) -> None:
    file = stack.base / "secret"
    file.write_text(f"{SECRET}\n")
    file.chmod(0o600)
    roles = ["--role", "view=staff", "--role", "operate=platform"]
    done = stack.bateau(
        *("sign-in", "add", issuer.url, "--client-id", "dashboard", "--client-secret-file", str(file)),
        *("--as", "corp", *roles, *more),
    )
    assert done.code == 0, done.err


def sign_in(page: Page, stack: Stack, who: str, path: str = "/ui/sign-in") -> None:
    """Choose the issuer, and sign in there."""
    page.goto(f"{stack.url}{path}")
    page.get_by_role("link", name="Sign in with corp").click()
    page.get_by_placeholder("Enter any login").fill(who)
    page.get_by_placeholder("and password").fill("any")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()


def test_people_sign_in_with_the_role_of_their_group(stack: Stack, issuer: RealIssuer, browser: Browser) -> None:
    for who, role in (("ada", "operate"), ("bob", "view")):
        context = browser.new_context()
        page = context.new_page()
        sign_in(page, stack, who, "/ui/services/app/shop")
        page.wait_for_url(f"{stack.url}/ui/services/app/shop")
        title = page.get_by_role("button", name="Sign out").get_attribute("title")
        assert title == f"Signed in as {who}@example.org (corp) with the role {role}"
        (cookie,) = [each for each in context.cookies() if each.get("path") == "/ui"]
        assert (cookie.get("httpOnly"), cookie.get("sameSite")) == (True, "Strict")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_text("You are still signed in at corp")).to_be_visible()
        page.goto(f"{stack.url}/ui/")
        expect(page.get_by_role("link", name="Sign in with corp")).to_be_visible()
        context.close()
