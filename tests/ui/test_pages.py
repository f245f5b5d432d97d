"""The pages as functions: what they show of a view, and that unknown is shown as unknown."""

import re
from dataclasses import replace

import pytest
from htpy import Element

from bateau.domain.figures import Figures, ServiceFigures
from bateau.domain.status import ServiceStatus
from bateau.kit.position import leaves
from bateau.ui.page import View
from bateau.ui.pages import PAGES, overview, service_page
from bateau.ui.words import DASH
from control.world import app, external, model, world
from ui.served import a_view


def parts_of(view: View, path: str) -> dict[str, str]:
    for page in PAGES:
        if (given := page.match(path)) is not None:
            screen = page.make(view, given)
            assert screen is not None
            return {each.id: each.text for each in screen.parts}
    raise AssertionError(path)


def cells(html: str, row: str) -> list[str]:
    found = html.partition(f'<tr id="{row}">')[2].partition("</tr>")[0]
    return [re.sub(r"<[^>]+>", "", each) for each in re.findall(r"<td.*?</td>", found)]


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/alerts", "/timeline", "/services/app/shop", "/services/model/chat", "/services/gateway/envoy"),
        *("/usage", "/usage/30d/hour", "/usage/keys/ci", "/machines", "/policies"),
    ],
)
async def test_equal_views_give_the_same_text(path: str) -> None:
    view = await a_view()
    first = parts_of(view, path)
    assert first == parts_of(replace(view), path)
    for name, text in first.items():
        assert re.match(rf'<section id="{name}"', text), "a part is found by its id"


async def test_unknown_figures_are_shown_as_unknown() -> None:
    view = await a_view()
    unknown = cells(parts_of(view, "/")["services"], "row-model-chat")
    assert unknown[2:] == [f"{DASH}unknown"] * 6
    figures = ServiceFigures(seconds=30, requests_per_s=0.0, tokens_per_s=0.0, memory_bytes=2**30)
    idle = replace(view, figures=Figures(services={"model/chat": figures}))
    shown = cells(parts_of(idle, "/")["services"], "row-model-chat")
    assert shown[3:] == ["0", f"{DASH}no requests", f"{DASH}no requests", "0", "1 GiB"]


async def test_a_row_is_made_again_only_when_its_service_or_its_figures_change(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    row = overview.service_row

    def counted(view: View, each: ServiceStatus) -> Element:
        made.append(each.service)
        return row(view, each)

    monkeypatch.setattr(overview, "service_row", counted)
    view = await a_view()
    first = parts_of(view, "/")
    assert made == ["app/shop", "model/chat", "gateway/envoy"]
    busy = replace(view, figures=Figures(services={"model/chat": ServiceFigures(requests_per_s=3.0)}))
    assert parts_of(busy, "/")["services"] != first["services"]
    assert made[3:] == ["model/chat"]


async def test_figures_are_shown_with_their_units() -> None:
    figures = ServiceFigures(
        seconds=30, requests_per_s=12.3, errors=0.012, latency_s_p95=0.0412, tokens_per_s=127.4, tokens_missing=True
    )
    view = replace(await a_view(), figures=Figures(services={"model/chat": figures}))
    assert cells(parts_of(view, "/")["services"], "row-model-chat")[1:] == [
        *("1/1", f"{DASH}unknown", "12", "1.2 %", "41 ms", "≥ 127", f"{DASH}unknown")
    ]


async def test_the_graph_shows_who_uses_whom_also_as_text() -> None:
    html = parts_of(await a_view(), "/")["graph"]
    assert "app/shop uses model/chat" in html
    assert html.count('class="edge"') == 1
    assert 'href="/ui/services/model/chat"' in html


async def test_without_uses_there_is_no_graph() -> None:
    assert 'aria-labelledby="graph-title" hidden' in parts_of(await a_view(chat=model()), "/")["graph"]


async def test_every_field_of_a_spec_has_its_origin() -> None:
    view = await a_view()
    workload = view.workloads["app/shop"]
    html = parts_of(view, "/services/app/shop")["spec"]
    shown = re.findall(r'data-path="([^"]+)"', html)
    assert [path for path, _ in leaves(workload.tree)] == shown
    assert "Where it comes from is not known" not in html
    assert f"{workload.position.file}:{workload.positions['spec.command[0]'].line}:" in html


async def test_secrets_of_a_spec_are_hidden() -> None:
    url = "postgres://shop:pw-of-the-database@db/1"
    view = await a_view(shop=app(env={"API_TOKEN": "a-secret", "DATABASE_URL": url, "GREETING": "hello"}))
    html = parts_of(view, "/services/app/shop")["spec"]
    assert "a-secret" not in html
    assert "pw-of-the-database" not in html
    assert html.count("(secret)") >= 2
    assert "hello" in html


async def test_a_model_has_a_chat_and_an_app_has_none() -> None:
    view = await a_view(chat=model(), shop=app(), big=external())
    assert "chat" in parts_of(view, "/services/model/big")
    assert "chat" not in parts_of(view, "/services/app/shop")
    assert "chat-key" not in parts_of(view, "/services/model/big")["chat"]
    assert "chat-key" in parts_of(replace(view, needs_key=True), "/services/model/big")["chat"]


async def test_a_service_that_does_not_exist_has_no_page() -> None:
    assert service_page.make(await a_view(), {"kind": "app", "name": "nobody"}) is None


async def test_problems_are_shown_with_their_fix() -> None:
    async with world(shop=app(colour="red")) as made:
        await made.until(lambda: made.status.problems)
        screen = overview.make(View(status=made.status, release=made.control.release), {})
    html = next(each for each in screen.parts if each.id == "problems").text
    assert "colour" in html
    assert "hidden" not in html
