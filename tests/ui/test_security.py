"""Who may do what: sessions, links, requests of other origins, and text that would like to be a script."""

import re

import pytest
from yarl import URL

from bateau.ui.guard import HEADERS
from ui.served import ORIGIN, Served

RESTART = "/ui/services/app/shop/restart"


@pytest.mark.parametrize(
    "path", ["/ui/", "/ui/services/app/shop", "/ui/live?path=/usage", "/ui/nothing", "/ui/../ui/", "/ui/policies"]
)
async def test_without_a_session_nothing_is_shown(dashboard: Served, path: str) -> None:
    answer = await dashboard.get(path)
    assert answer.status == 401
    assert "bateau open" in answer.text
    assert not re.search("shop|chat|srv|8080", answer.text), "nothing about the instance"
    dashboard.cookie = "bateau-000000000000=guessed"
    assert (await dashboard.get(path)).status == 401


async def test_a_link_signs_in_once(dashboard: Served) -> None:
    link = dashboard.dashboard.link("admin")
    first = await dashboard.get(link)
    assert first.status == 200
    cookie = first.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Path=/ui"))
    assert "Secure" not in cookie, "this one came over plain HTTP"
    second = await dashboard.get(link)
    assert second.status == 403
    assert "set-cookie" not in second.headers
    assert "works once" in second.text


async def test_with_tls_the_cookie_is_sent_over_tls_only(dashboard: Served) -> None:
    answer = await dashboard.get(dashboard.dashboard.link("view"), x_forwarded_proto="https")
    assert "Secure" in answer.headers["set-cookie"]


async def test_a_page_that_is_loaded_in_advance_does_not_use_the_link_up(dashboard: Served) -> None:
    link = dashboard.dashboard.link("view")
    assert (await dashboard.get(link, sec_purpose="prefetch;prerender")).status == 403
    assert (await dashboard.ask("HEAD", link)).status in (401, 405)
    assert (await dashboard.get(link)).status == 200


async def test_a_link_leads_to_pages_of_the_dashboard_only(dashboard: Served) -> None:
    link = dashboard.dashboard.link("view") + "&to=//evil.example/"
    assert "evil" not in (await dashboard.get(link)).text
    link = dashboard.dashboard.link("view") + "&to=/services/app/shop"
    assert 'content="0; url=/ui/services/app/shop"' in (await dashboard.get(link)).text


async def test_a_request_from_another_origin_is_refused(dashboard: Served) -> None:
    await dashboard.sign_in()
    csrf = {"x-csrf-token": await dashboard.csrf()}
    for headers in (
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9000", "sec-fetch-site": "same-site"},
        {"origin": "https://127.0.0.1:8080"},
        {"sec-fetch-site": "cross-site"},
        {},
    ):
        answer = await dashboard.ask("POST", RESTART, headers={**csrf, **headers})
        assert (answer.status, dashboard.restarted) == (403, []), headers
    assert (await dashboard.ask("POST", RESTART, headers={**csrf, "origin": ORIGIN})).status == 202
    assert dashboard.restarted == ["app/shop"]


@pytest.mark.parametrize("token", [None, "", "guessed", "é"])
async def test_a_form_without_the_token_of_the_session_is_refused(dashboard: Served, token: str | None) -> None:
    await dashboard.sign_in()
    form = {} if token is None else {"csrf": token}
    answer = await dashboard.ask("POST", RESTART, headers={"origin": ORIGIN}, data=form)
    assert (answer.status, dashboard.restarted) == (403, [])


async def test_another_site_loads_no_page_and_no_stream(dashboard: Served) -> None:
    await dashboard.sign_in()
    for path in ("/ui/", "/ui/live?path=/"):
        for site in ("cross-site", "same-site"):
            assert (await dashboard.get(path, sec_fetch_site=site, sec_fetch_mode="cors")).status == 403
    visit = await dashboard.get("/ui/", sec_fetch_site="cross-site", sec_fetch_mode="navigate")
    assert visit.status == 200, "a link on another site may lead here"


async def test_a_role_has_only_its_rights(dashboard: Served) -> None:
    await dashboard.sign_in("view")
    assert "data-action" not in (await dashboard.get("/ui/services/app/shop")).text
    headers = {"origin": ORIGIN, "x-csrf-token": await dashboard.csrf()}
    answer = await dashboard.ask("POST", RESTART, headers=headers)
    assert (answer.status, dashboard.restarted) == (403, [])
    assert "bateau open --role operate" in answer.text
    await dashboard.sign_in("operate")
    assert "data-action" in (await dashboard.get("/ui/services/app/shop")).text
    headers = {"origin": ORIGIN, "x-csrf-token": await dashboard.csrf()}
    assert (await dashboard.ask("POST", RESTART, headers=headers)).status == 202


async def test_signing_out_ends_the_session(dashboard: Served) -> None:
    await dashboard.sign_in()
    cookie = dashboard.cookie
    form = {"csrf": await dashboard.csrf()}
    assert (await dashboard.ask("POST", "/ui/sign-out", headers={"origin": ORIGIN}, data=form)).status == 200
    dashboard.cookie = cookie
    assert (await dashboard.get("/ui/")).status == 401


@pytest.mark.parametrize(
    "path",
    [
        "/ui/assets/../../v1/status",
        "/ui/assets/%2e%2e/%2e%2e/etc/passwd",
        "/ui/assets/..%2f..%2f..%2fetc%2fpasswd",
        "/ui/assets//etc/passwd",
        "/ui/services/app/..%2f..%2fshop",
        "/ui/services/app/%00",
    ],
)
async def test_a_path_never_leads_out_of_the_dashboard(dashboard: Served, path: str) -> None:
    """The gateway refuses or resolves such paths before; this is what happens if one arrives."""
    await dashboard.sign_in()
    answer = await dashboard.ask("GET", URL(path, encoded=True), headers={"x-bateau-gateway": "1"})
    assert answer.status == 404
    assert "root:" not in answer.text


async def test_every_answer_has_the_headers_that_bind_the_browser(dashboard: Served) -> None:
    anonymous = [await dashboard.get("/ui/"), await dashboard.get("/ui/assets/ui.js"), await dashboard.get("/ui/x")]
    await dashboard.sign_in()
    for answer in (*anonymous, await dashboard.get("/ui/"), await dashboard.get("/ui/services/app/nobody")):
        assert {name: answer.headers.get(name) for name in HEADERS} == dict(HEADERS)
    policy = HEADERS["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


@pytest.mark.parametrize(
    "path",
    [
        *("/ui/", "/ui/services/app/shop", "/ui/services/model/chat"),
        *("/ui/usage", "/ui/usage/7d/day", "/ui/machines", "/ui/policies"),
    ],
)
async def test_a_page_has_no_script_or_style_of_its_own(dashboard: Served, path: str) -> None:
    await dashboard.sign_in()
    text = (await dashboard.get(path)).text
    assert re.findall(r"<script(?! src=\"/ui/assets/[\w.]+\?\w+\"( defer)?></script>)", text) == []
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", text)


async def test_text_of_others_is_text(dashboard: Served) -> None:
    await dashboard.sign_in()
    text = (await dashboard.get("/ui/services/app/shop")).text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script>alert" not in text


async def test_no_page_has_a_secret(dashboard: Served) -> None:
    await dashboard.sign_in()
    for path in ("/ui/", "/ui/services/app/shop", "/ui/services/model/chat"):
        text = (await dashboard.get(path)).text
        assert "a-secret" not in text
        assert dashboard.cookie.partition("=")[2] not in text
