"""Sign-ins on the pages of a dashboard: what a browser sends, and what somebody else may have it send."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

import pytest_asyncio

from traffic.issuer import Key
from ui.served import ORIGIN, Answer, Served, served
from ui.test_change import CHAT, apply, save
from wiring.written_issuer import Desk, WrittenIssuer, written_issuer

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

KEY = Key("one")
ADA = {"groups": ["platform"], "email": "ada@example.org", "email_verified": True}
CROSS = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}


@pytest_asyncio.fixture
async def issuer() -> AsyncIterator[WrittenIssuer]:
    async with written_issuer(KEY) as made:
        made.claims = dict(ADA)
        yield made


@pytest_asyncio.fixture
async def desk(folder: Path, issuer: WrittenIssuer) -> Desk:
    made = Desk(folder)
    (folder / "STATE_HOME/bateau/default").mkdir(parents=True)
    made.store(made.wanted(issuer))
    return made


@pytest_asyncio.fixture
async def site(folder: Path, desk: Desk) -> AsyncIterator[Served]:
    async with served(folder / "c.sock", desk=desk) as made:
        yield made


def cookie_of(answer: Answer) -> str:
    return answer.headers["set-cookie"].partition(";")[0]


def session_of(answer: Answer) -> str:
    """Return the cookie of a new session; that of the attempt has ended."""
    cookies = cast("CIMultiDictProxy[str]", answer.headers).getall("set-cookie")
    (found,) = [each for each in cookies if "Max-Age=0" not in each]
    return found


async def begun(site: Served, issuer: WrittenIssuer, query: str = "") -> str:
    """Begin to sign in, sign in at the issuer, and return the path that it sends the browser to."""
    site.cookie = ""
    answer = await site.ask("GET", f"/ui/sign-in/corp{query}")
    assert answer.status == 303, answer.text
    site.cookie = cookie_of(answer)
    code, state = issuer.code(answer.headers["location"])
    return f"/ui/sign-in/corp/callback?code={code}&state={state}"


async def test_without_issuers_everything_is_as_before(dashboard: Served) -> None:
    for path, status in (("/ui/", 401), ("/ui/sign-in", 200)):
        answer = await dashboard.get(path)
        assert (answer.status, "bateau open" in answer.text) == (status, True)
        assert "<a" not in answer.text
    for path in ("/ui/sign-in/corp", "/ui/sign-in/", "/ui/sign-in/corp/x"):
        assert (await dashboard.get(path)).status in (401, 404)
    assert (await dashboard.get("/ui/sign-in/corp/callback?code=a&state=b")).status == 403


async def test_a_person_signs_in(site: Served, issuer: WrittenIssuer) -> None:
    shown = await site.get("/ui/services/app/shop")
    assert shown.status == 401
    assert "Sign in with corp" in shown.text
    assert 'href="/ui/sign-in/corp?to=/services/app/shop"' in shown.text
    back = await begun(site, issuer, "?to=/services/app/shop")
    answer = await site.ask("GET", back, headers=CROSS)
    assert answer.status == 200, answer.text
    assert 'content="0; url=/ui/services/app/shop"' in answer.text
    opened = session_of(answer)
    assert all(word in opened for word in ("HttpOnly", "SameSite=Strict", "Path=/ui"))
    site.cookie = opened.partition(";")[0]
    page = await site.get("/ui/")
    assert "Signed in as ada@example.org (corp) with the role operate" in page.text
    headers = {"origin": ORIGIN, "x-csrf-token": await site.csrf()}
    assert (await site.ask("POST", "/ui/services/app/shop/restart", headers=headers)).status == 202
    assert site.asked_by == "ada@example.org (corp)"
    answer = await site.ask("POST", "/ui/sign-out", headers={"origin": ORIGIN}, data={"csrf": await site.csrf()})
    assert "still signed in at corp" in answer.text
    assert (await site.get("/ui/")).status == 401


async def test_a_revision_is_by_the_person_who_has_applied_it(folder: Path, desk: Desk, issuer: WrittenIssuer) -> None:
    (folder / "specs").mkdir()
    desk.store(replace(desk.wanted(issuer), roles=(("admin", "platform"),)))
    async with served(folder / "c.sock", folder / "specs", desk, chat=CHAT) as site:
        site.cookie = session_of(await site.ask("GET", await begun(site, issuer))).partition(";")[0]
        assert "with the role admin" in (await site.get("/ui/")).text
        await save(site, "chat.yaml", CHAT.replace("replicas: 1", "replicas: 2"))
        await apply(site)
        control = site.world.control
        await site.world.until(lambda: "replicas: 2" in control.desired.texts["chat.yaml"])
        assert control.ports.revisions
        who = [each.who for each in control.ports.revisions.history("local", limit=2)]
        assert who == ["ada@example.org (corp)", "ada"]


async def test_the_cookie_of_an_attempt_is_for_these_pages_only(site: Served, issuer: WrittenIssuer) -> None:
    answer = await site.get("/ui/sign-in/corp")
    cookie = answer.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Lax", "Path=/ui/sign-in", "Max-Age=300"))
    assert "Secure" not in cookie
    assert "redirect_uri=http%3A%2F%2F127.0.0.1%3A8080%2Fui%2Fsign-in%2Fcorp%2Fcallback" in answer.headers["location"]
    answer = await site.get("/ui/sign-in/corp", x_forwarded_proto="https")
    assert "Secure" in answer.headers["set-cookie"]
    assert "redirect_uri=https%3A%2F%2F" in answer.headers["location"]
    del issuer


async def test_a_sign_in_leads_to_pages_of_the_dashboard_only(site: Served, issuer: WrittenIssuer) -> None:
    for to in (
        *("https://evil.example", "//evil.example", "/\\evil.example", "/sign-out", "evil", "/..//evil.example"),
        *("javascript:alert(1)", "/evil\r\nset-cookie: x=y", "/nothing"),
    ):
        back = await begun(site, issuer, f"?to={quote(to, safe='')}")
        answer = await site.get(back)
        assert 'content="0; url=/ui/"' in answer.text, to
        assert "evil" not in f"{answer.text}{answer.headers}"
        chosen = await site.get(f"/ui/sign-in?to={quote(to, safe='')}")
        assert "evil" not in chosen.text


async def test_a_forged_state_is_refused(site: Served, issuer: WrittenIssuer) -> None:
    back = await begun(site, issuer)
    mine, other = site.cookie, cookie_of(await site.ask("GET", "/ui/sign-in/corp"))
    for path, cookie in (
        (re.sub("state=.*", "state=forged", back), mine),
        (re.sub("&state=.*", "", back), mine),
        (back, other),
        (back, ""),
    ):
        site.cookie = cookie
        answer = await site.ask("GET", path, headers=CROSS)
        assert (answer.status, "begun in another browser" in answer.text) == (403, True)
        assert "bateau open" in answer.text
        assert "set-cookie" not in answer.headers
        back = await begun(site, issuer)
        mine = site.cookie
    assert issuer.forms == [], "no code was sent"


async def test_an_answer_is_taken_once_and_in_time(site: Served, issuer: WrittenIssuer) -> None:
    back = await begun(site, issuer)
    cookie = site.cookie
    assert (await site.get(back, sec_purpose="prefetch")).status == 403, "which does not use it up"
    assert (await site.ask("HEAD", back)).status in (401, 405)
    assert (await site.get(back)).status == 200
    site.cookie = cookie
    assert (await site.get(back)).status == 403
    back = await begun(site, issuer)
    site.now += 300
    assert (await site.get(back)).status == 403
    assert len(issuer.forms) == 1


async def test_without_a_mapped_role_there_is_no_session(site: Served, issuer: WrittenIssuer) -> None:
    issuer.claims["groups"] = ["guests<script>", *(f"g{number}" for number in range(20))]
    answer = await site.get(await begun(site, issuer))
    assert answer.status == 403
    for says in ("You have no role here", "ada@example.org", "guests&lt;script&gt;", "and 11 more", "groups"):
        assert says in answer.text, says
    assert "Max-Age=0" in answer.headers["set-cookie"], "only the attempt's cookie, which ends"
    assert "platform" not in answer.text, "nobody learns which groups have a role"
    issuer.claims["groups"] = []
    assert "is absent or empty" in (await site.get(await begun(site, issuer))).text


async def test_an_error_of_the_issuer_is_said_in_words_of_ours(site: Served, issuer: WrittenIssuer) -> None:
    for error, says in (("access_denied", "Access was denied there"), ("<b>evil</b>", "does not know")):
        back = await begun(site, issuer)
        path = re.sub("code=[^&]*", f"error={quote(error)}&error_description=evil", back)
        answer = await site.get(path)
        assert (answer.status, says in answer.text, "evil" in answer.text) == (403, True, False)
    back = await begun(site, issuer)
    assert "without a code" in (await site.get(re.sub("code=[^&]*", "code=", back))).text


async def test_an_issuer_that_is_down_is_named_and_the_link_works(site: Served, issuer: WrittenIssuer) -> None:
    issuer.down = True
    answer = await site.get("/ui/sign-in/corp")
    assert answer.status == 502
    for says in ("corp does not answer", "bateau open", "Sign in again"):
        assert says in answer.text
    assert "set-cookie" not in answer.headers
    await site.sign_in("view")
    assert (await site.get("/ui/")).status == 200


async def test_an_issuer_that_goes_down_meanwhile_is_named(site: Served, issuer: WrittenIssuer) -> None:
    back = await begun(site, issuer)
    issuer.down = True
    answer = await site.get(back)
    assert (answer.status, "corp does not answer" in answer.text) == (502, True)


async def test_settings_of_the_machine_are_in_no_page(site: Served, issuer: WrittenIssuer, desk: Desk) -> None:
    back = await begun(site, issuer)
    (desk.folder / "secret").unlink()
    answer = await site.get(back)
    assert (answer.status, "bateau logs control" in answer.text) == (403, True)
    assert str(desk.folder) not in answer.text


async def test_sessions_end_with_their_issuer(site: Served, issuer: WrittenIssuer, desk: Desk) -> None:
    answer = await site.get(await begun(site, issuer))
    back, site.cookie = await begun(site, issuer), session_of(answer).partition(";")[0]
    assert (await site.get("/ui/")).status == 200
    desk.issuers_file.remove("corp")
    answer = await site.get("/ui/")
    assert (answer.status, "Sign in with" in answer.text) == (401, False)
    assert (await site.get(back)).status == 403


async def test_a_damaged_file_of_issuers_lets_nobody_in_but_by_the_link(site: Served, desk: Desk) -> None:
    path = desk.folder / "STATE_HOME/bateau/default/sign-in.json"
    path.write_text("{")
    answer = await site.get("/ui/")
    assert (answer.status, "cannot be read" in answer.text) == (401, True)
    assert (await site.get("/ui/sign-in/corp")).status == 404
    await site.sign_in("view")
    assert (await site.get("/ui/")).status == 200


async def test_the_pages_have_no_script_and_all_headers(site: Served) -> None:
    answer = await site.get("/ui/sign-in")
    assert "content-security-policy" in answer.headers
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|<script(?! src=)", answer.text)
