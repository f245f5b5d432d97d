"""Answers of the dashboard: pages, what does not exist, refusals, and bugs."""

import gzip
import logging

import pytest

from bateau.domain.errors import ControlError
from bateau.ui.assets import assets
from ui.served import ORIGIN, Served

SCRIPT_BYTES_MAX = 100_000


async def test_the_root_leads_to_the_overview(dashboard: Served) -> None:
    answer = await dashboard.get("/ui")
    assert (answer.status, answer.headers["location"]) == (308, "/ui/")


@pytest.mark.parametrize("path", ["/ui/nothing", "/ui/services/app/nobody", "/ui/services/app", "/ui/assets/x.js"])
async def test_a_page_that_does_not_exist_is_404(dashboard: Served, path: str) -> None:
    await dashboard.sign_in()
    answer = await dashboard.get(path)
    assert answer.status == 404
    assert answer.headers["content-type"].startswith("text/html")


async def test_a_bug_is_a_page_and_its_traceback_is_in_the_log(
    dashboard: Served, caplog: pytest.LogCaptureFixture
) -> None:
    await dashboard.sign_in()
    dashboard.meter.error = ZeroDivisionError("a bug of the test")
    with caplog.at_level(logging.ERROR):
        answer = await dashboard.get("/ui/")
    assert answer.status == 500
    assert "this is a bug in bateau" in answer.text
    assert "Traceback" not in answer.text
    assert "Traceback" in caplog.text


async def test_an_action_that_is_refused_says_why(dashboard: Served) -> None:
    await dashboard.sign_in()
    dashboard.refusal = ControlError("shop has no replicas", hint="set replicas to 1")
    headers = {"origin": ORIGIN, "x-csrf-token": await dashboard.csrf()}
    answer = await dashboard.ask("POST", "/ui/services/app/shop/restart", headers=headers)
    assert answer.status == 409
    assert "shop has no replicas" in answer.text and "set replicas to 1" in answer.text


async def test_a_body_that_is_too_large_is_refused(dashboard: Served) -> None:
    await dashboard.sign_in()
    form = {"csrf": "x" * 200_000}
    answer = await dashboard.ask("POST", "/ui/sign-out", headers={"origin": ORIGIN}, data=form)
    assert answer.status == 413


async def test_files_are_compressed_and_kept_by_the_browser(dashboard: Served) -> None:
    page = await dashboard.get("/ui/assets/ui.css", accept_encoding="gzip")
    assert page.headers["content-encoding"] == "gzip"
    assert "immutable" in page.headers["cache-control"]
    assert (await dashboard.get("/ui/assets/ui.css", accept_encoding="identity")).text == page.text


def test_all_scripts_together_are_small() -> None:
    scripts = [each for name, each in assets().items() if name.endswith(".js")]
    assert sum(len(each.packed) for each in scripts) <= SCRIPT_BYTES_MAX
    assert all(gzip.decompress(each.packed) == each.body for each in scripts)


async def test_pages_are_not_kept_by_any_cache(dashboard: Served) -> None:
    await dashboard.sign_in()
    assert (await dashboard.get("/ui/")).headers["cache-control"] == "no-store"
