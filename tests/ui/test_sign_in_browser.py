"""People sign in to a real instance by a real OIDC issuer, in a real Chromium."""

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Error, Page, expect

from local.stack import Stack
from traffic.issuer import RealIssuer
from ui.chromium import Visitor, axe_findings

SECRET = "a-client-secret-that-nobody-else-has"  # noqa: S105 - of a client of a test
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


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


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


def agree(page: Page, stack: Stack) -> None:
    """Sign in again. The issuer knows the person, and asks to agree."""
    page.goto(f"{stack.url}/ui/sign-in/corp")
    page.get_by_role("button", name="Continue").click()


def role_of(page: Page) -> str | None:
    return page.get_by_role("button", name="Sign out").get_attribute("title")


def answer_of(page: Page, stack: Stack, go: Callable[[], object]) -> str:
    """Return the address that the issuer sends the browser back to; the browser does not get there."""
    seen: list[str] = []
    # Playwright's own routes do not see the redirects of other requests.
    session = cast("Any", page.context.new_cdp_session(page))

    def stop(paused: Any) -> None:
        seen.append(paused["request"]["url"])
        session.send("Fetch.fulfillRequest", {"requestId": paused["requestId"], "responseCode": 204})

    session.on("Fetch.requestPaused", stop)
    session.send("Fetch.enable", {"patterns": [{"urlPattern": f"{stack.url}/ui/sign-in/corp/callback*"}]})
    with contextlib.suppress(Error):  # a page with status 204 is none
        go()
    deadline = time.monotonic() + 20
    while not seen and time.monotonic() < deadline:
        page.wait_for_timeout(20)
    session.detach()
    return seen[0]


@pytest.mark.parametrize(("who", "role"), [("ada", "operate"), ("bob", "view")])
@pytest.mark.usefixtures("issuer")
def test_people_sign_in_with_the_role_of_their_group(stack: Stack, page: Page, who: str, role: str) -> None:
    sign_in(page, stack, who, "/ui/services/app/shop")
    page.wait_for_url(f"{stack.url}/ui/services/app/shop")
    assert role_of(page) == f"Signed in as {who}@example.org (corp) with the role {role}"
    (cookie,) = [each for each in page.context.cookies() if each.get("path") == "/ui"]
    assert (cookie.get("httpOnly"), cookie.get("sameSite")) == (True, "Strict")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are still signed in at corp")).to_be_visible()
    assert axe_findings(page) == []
    page.goto(f"{stack.url}/ui/")
    expect(page.get_by_role("link", name="Sign in with corp")).to_be_visible()
    page.emulate_media(color_scheme="dark")
    assert axe_findings(page) == []
    page.emulate_media(color_scheme="light")
    assert axe_findings(page) == []


def test_groups_at_the_userinfo_endpoint_count(stack: Stack, page: Page) -> None:
    issuer = begun(stack, in_token=False)
    try:
        add(stack, issuer)
        sign_in(page, stack, "ada")
        page.wait_for_url(f"{stack.url}/ui/")
        assert role_of(page) == "Signed in as ada@example.org (corp) with the role operate"
    finally:
        stack.bateau("sign-in", "remove", "corp")
        issuer.stop()


@pytest.mark.usefixtures("issuer")
@pytest.mark.parametrize(("who", "says"), [("eve", "has guests"), ("nil", "is absent or empty")])
def test_people_without_a_mapped_group_are_refused(stack: Stack, page: Page, who: str, says: str) -> None:
    sign_in(page, stack, who)
    expect(page.get_by_role("heading", name="You have no role here")).to_be_visible()
    expect(page.get_by_text(says)).to_be_visible()
    assert axe_findings(page) == []
    assert [each for each in page.context.cookies() if each.get("name", "").startswith("bateau-")] == []


@pytest.mark.usefixtures("issuer")
def test_a_forged_state_and_a_code_that_was_used_are_refused(stack: Stack, page: Page, browser: Browser) -> None:
    back = answer_of(page, stack, lambda: sign_in(page, stack, "ada"))
    other = browser.new_context().new_page()
    other.goto(f"{stack.url}/ui/sign-in")
    other.goto(back)
    expect(other.get_by_text("begun in another browser")).to_be_visible()
    other.context.close()
    # The state has been used up by the other browser, which did not get in.
    page.goto(back)
    expect(page.get_by_text("begun in another browser")).to_be_visible()
    assert axe_findings(page) == []
    # A code is not taken for another sign-in, and a second time not at all.
    again = answer_of(page, stack, lambda: agree(page, stack))
    first, second = (parse_qs(urlsplit(each).query) for each in (back, again))
    page.goto(again.replace(second["code"][0], first["code"][0]))
    expect(page.get_by_text("does not accept the code")).to_be_visible()
    agree(page, stack)
    page.wait_for_url(f"{stack.url}/ui/")
    assert "role operate" in (role_of(page) or "")


def test_an_issuer_that_is_down_is_named_and_the_link_works(
    stack: Stack, issuer: RealIssuer, page: Page, browser: Browser
) -> None:
    issuer.stop()
    page.goto(f"{stack.url}/ui/sign-in")
    page.goto(f"{stack.url}/ui/sign-in/corp")
    expect(page.get_by_role("heading", name="corp does not answer")).to_be_visible()
    expect(page.get_by_text("bateau open")).to_be_visible()
    assert axe_findings(page) == []
    Visitor(browser, stack, "view").context.close()


def test_sessions_end_with_their_issuer(stack: Stack, issuer: RealIssuer, page: Page) -> None:
    sign_in(page, stack, "bob")
    page.wait_for_url(f"{stack.url}/ui/")
    assert stack.bateau("sign-in", "remove", "corp").code == 0
    page.goto(f"{stack.url}/ui/")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    add(stack, issuer)
    page.goto(f"{stack.url}/ui/")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


@pytest.mark.usefixtures("issuer")
def test_no_secret_is_in_a_log_a_page_or_a_list_of_processes(stack: Stack, page: Page) -> None:
    texts: list[str] = []
    back = answer_of(page, stack, lambda: sign_in(page, stack, "ada"))
    page.goto(back)
    page.wait_for_url(f"{stack.url}/ui/")
    asked = parse_qs(urlsplit(back).query)
    cookie = next(each for each in page.context.cookies() if each.get("path") == "/ui")
    held = [SECRET, asked["code"][0], asked["state"][0], str(cookie.get("value"))]
    for each in stack.processes():
        texts += [*each.cmdline(), *each.environ().values()]
    texts += [page.content(), stack.bateau("sign-in", "list", "--json").out, stack.bateau("logs", "control").out]
    files = [each for each in stack.base.rglob("*") if each.is_file() and each.name != "secret"]
    texts += [each.read_bytes().decode("latin-1") for each in files]
    assert len(files) > 5
    for number, secret in enumerate(held):
        assert [each[:200] for each in texts if secret in each] == [], number
    assert "ada@example.org (corp) has signed in" in (stack.base / "state/bateau/default/control.log").read_text()


def test_issuers_are_listed_and_wrong_ones_are_errors(stack: Stack, issuer: RealIssuer) -> None:
    (row,) = json.loads(stack.bateau("sign-in", "list", "--json").out)["issuers"]
    assert {**row, "created": "", "clientSecretFile": ""} == {
        "name": "corp",
        "url": issuer.url,
        "clientId": "dashboard",
        "clientSecretFile": "",
        "rolesClaim": "groups",
        "roles": [{"role": "view", "value": "staff"}, {"role": "operate", "value": "platform"}],
        "nameClaim": "email",
        "scopes": [],
        "authority": None,
        "created": "",
    }
    assert "operate=platform" in stack.bateau("sign-in", "list").out
    add_it = ("sign-in", "add", issuer.url, "--client-id", "dashboard")
    empty = stack.base / "empty"
    empty.touch()
    for more, code, says in (
        (["--role", "view=a", "--as", "corp"], 3, "an issuer corp already"),
        (["--role", "view=a", "--as", "A B"], 3, "cannot be the name of an issuer"),
        (["--role", "root=a"], 2, "maps no role"),
        (["--role", "view="], 2, "maps no role"),
        ([], 2, "--role"),
        (["--role", "view=a", "--scope", "a b"], 3, "is not a scope"),
        (["--role", "view=a", "--roles-claim", "a b"], 3, "cannot be the name of a claim"),
        (["--role", "view=a", "--client-secret-file", str(empty)], 3, "does not have the secret"),
        (["--role", "view=a", "--client-secret", "x"], 2, "--client-secret"),
    ):
        done = stack.bateau(*add_it, *more)
        assert (done.code, says in done.err) == (code, True), done.err
    gone = stack.bateau("sign-in", "add", "http://127.0.0.1:1", "--client-id", "x", "--role", "view=a")
    assert (gone.code, "127.0.0.1:1" in gone.err) == (3, True)
    assert "did you mean corp?" in stack.bateau("sign-in", "remove", "crop").err
