"""A document is deleted in the dashboard: in a draft, with the plan of what ends, and with a way back."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bateau.ui.drafts import digest
from bateau.wiring.changing import REVISIONS_MAX
from control.world import app, model
from ui.served import Served, served_files
from ui.test_change import apply, edited_meanwhile, field, on_disk, save, words

CHAT = model(replicas=1)
SHOP = "# sells things\n" + app("shop") + "---\n# for the shop  \n" + app("cart")
FEW = (
    "apiVersion: bateau.dev/v1alpha1\nkind: Policy\nmetadata: {name: few}\nspec:\n  match: {kinds: [Model]}\n"
    "  rules: [{name: few, check: spec.replicas <= 2, message: too many}]\n"
)


@pytest_asyncio.fixture
async def site(folder: Path) -> AsyncIterator[Served]:
    async with served_files(folder, chat=CHAT, shop=SHOP, few=FEW) as made:
        yield made


async def delete(site: Served, name: str, kind: str = "", called: str = "") -> None:
    """Press the button of the editor that deletes a file, or one of its documents."""
    page = await site.get(f"/ui/change/edit/{name}")
    seen = field(page, "seen")
    title = f"Delete {kind} {called}" if kind else f"Delete the file {name}"
    assert title in words(page, "delete")
    chosen = {"kind": kind, "name": called} if kind else {}
    answer = await site.post("/change/delete", file=name, seen=seen, **chosen)
    assert answer.status == 303


def services(site: Served) -> list[str]:
    return sorted(each.key for each in site.world.control.release.services)


async def test_a_file_is_deleted_with_its_service_once_it_is_applied(site: Served) -> None:
    await delete(site, "chat.yaml")
    page = await site.get("/ui/change/edit/chat.yaml")
    assert "draft: deletes the file chat.yaml; nothing is deleted before you apply it" in words(page, "notice")
    assert "deleted in this draft, not applied" in words(page, "summary")
    assert "- removed model/chat" in words(page, "plan")
    assert "model/chat drains and stops 1 replica" in words(page, "plan")
    assert "I have read the plan, which deletes chat.yaml and removes model/chat" in words(page, "plan")
    assert 'id="text"' not in page.text
    await site.world.turns()
    assert on_disk(site)["chat.yaml"] == CHAT
    await site.post("/change/apply", plan=field(page, "plan"))
    assert "the confirmation is missing" in words(await site.get("/ui/change"), "notice")
    done = await apply(site)
    assert re.search(r"applied: chat\.yaml deleted from \S+specs", words(done, "notice"))
    assert sorted(on_disk(site)) == ["few.yaml", "shop.yaml"]
    await site.world.until(lambda: services(site) == ["app/cart", "app/shop"])
    for _ in range(3):
        await site.world.pass_time(60)
    await site.world.until(lambda: not site.world.replicas("model/chat"))
    assert (await site.get("/ui/change/edit/chat.yaml")).status == 404


async def test_of_several_documents_only_one_goes_and_every_other_byte_stays(site: Served) -> None:
    await delete(site, "shop.yaml", "App", "shop")
    page = await site.get("/ui/change")
    assert "which removes app/shop" in words(page, "draft")
    assert "deletes" not in words(page, "draft")
    await apply(site)
    assert on_disk(site)["shop.yaml"] == SHOP[SHOP.index("---\n") :]
    await site.world.until(lambda: services(site) == ["app/cart", "model/chat"])
    page = await site.get("/ui/change/edit/shop.yaml")
    assert "Delete App cart" not in words(page, "delete"), "the last document is the file"
    await site.post("/change/delete", file="shop.yaml", seen=field(page, "seen"), kind="App", name="cart")
    await apply(site)
    assert sorted(on_disk(site)) == ["chat.yaml", "few.yaml"]


async def test_a_deletion_that_another_service_needs_is_an_error(site: Served) -> None:
    assert site.directory
    (site.directory / "shop.yaml").write_text(app(uses=["model/chat"]))
    site.world.control.look_again()
    await site.world.until(lambda: "app/cart" not in services(site))
    await delete(site, "chat.yaml")
    page = await site.get("/ui/change")
    assert "the draft cannot be applied" in words(page, "draft")
    assert "shop.yaml:" in words(page, "draft")
    await site.post("/change/apply", plan="1", confirmed="yes")
    assert "chat.yaml" in on_disk(site)


async def test_a_deletion_of_another_document_is_named_before_it_is_confirmed(site: Served) -> None:
    await delete(site, "few.yaml")
    assert "which deletes few.yaml and removes Policy few" in words(await site.get("/ui/change"), "draft")
    await apply(site)
    assert sorted(on_disk(site)) == ["chat.yaml", "shop.yaml"]


async def test_a_deleted_service_is_brought_back_from_its_revision(site: Served) -> None:
    await delete(site, "chat.yaml")
    await delete(site, "shop.yaml", "App", "cart")
    await apply(site)
    await site.world.until(lambda: services(site) == ["app/shop"])
    page = await site.get("/ui/change")
    assert "model/chat, as in revision 1" in words(page, "revisions")
    for service, file in (("model/chat", "chat.yaml"), ("app/cart", "shop.yaml")):
        answer = await site.post("/change/bring-back", service=f"1 {service}")
        assert answer.headers["location"] == f"/ui/change/edit/{file}"
    await apply(site)
    assert on_disk(site) == {"chat.yaml": CHAT, "shop.yaml": SHOP, "few.yaml": FEW}
    await site.world.until(lambda: services(site) == ["app/cart", "app/shop", "model/chat"])
    for service, says in (
        ("1 model/chat", "model/chat is in the specs or in the draft already"),
        ("1 app/nobody", "revision 1 has no document of app/nobody"),
        ("99 app/nobody", "99"),
        ("x app/nobody", "`x` is not a revision"),
    ):
        await site.post("/change/bring-back", service=service)
        assert says in words(await site.get("/ui/change"), "notice")


async def test_the_value_of_a_secret_is_not_brought_back_into_a_page(site: Served) -> None:
    assert site.directory
    secret = app("cart", env={"API_TOKEN": "very-secret-value"})
    (site.directory / "cart.yaml").write_text(secret)
    (site.directory / "shop.yaml").write_text(app("shop"))
    site.world.control.look_again()
    await site.world.until(lambda: "cart.yaml" in site.world.control.desired.texts)
    (site.directory / "cart.yaml").unlink()
    site.world.control.look_again()
    await site.world.until(lambda: services(site) == ["app/shop", "model/chat"])
    await site.post("/change/bring-back", service="2 app/cart")
    page = await site.get("/ui/change")
    assert "the document of app/cart has the value of a secret at cart.yaml:" in words(page, "notice")
    assert "very-secret" not in page.text


async def test_a_text_that_was_not_read_is_not_deleted(site: Served) -> None:
    await site.post("/change/delete", file="chat.yaml", seen=digest("# another text\n"))
    page = await site.get("/ui/change")
    assert "chat.yaml has changed since you have read it, so nothing was deleted" in words(page, "notice")
    assert "edits that are not applied yet" in words(page, "draft")
    # A file that changes after the draft began is not deleted either: the page shows both.
    await delete(site, "chat.yaml")
    assert "(no file)" in words(await edited_meanwhile(site), "draft")
    await site.post("/change/rebase", file="chat.yaml")
    await apply(site)
    assert "chat.yaml" not in on_disk(site)


async def test_a_deletion_is_discarded_and_a_new_file_of_a_draft_is_forgotten(site: Served) -> None:
    await delete(site, "chat.yaml")
    await site.post("/change/discard", file="chat.yaml")
    assert (await site.get("/ui/change/edit/chat.yaml")).text.count('id="text"') == 1
    await site.post("/new", kind="App", name="idle", command="sleep 60")
    page = await site.get("/ui/change/edit/idle.yaml")
    await site.post("/change/delete", file="idle.yaml", seen=field(page, "seen"))
    assert "edits that are not applied yet" in words(await site.get("/ui/change"), "draft")


async def test_a_file_with_a_secret_is_deleted_and_not_shown(site: Served) -> None:
    assert site.directory
    (site.directory / "shop.yaml").write_text(app(env={"API_TOKEN": "very-secret-value"}))
    site.world.control.look_again()
    await site.world.until(lambda: "very-secret" in site.world.control.desired.texts["shop.yaml"])
    page = await site.get("/ui/change/edit/shop.yaml")
    assert "The text is not shown" in words(page, "editor")
    await site.post("/change/delete", file="shop.yaml", seen=re.findall('name="seen" value="([^"]+)"', page.text)[-1])
    for path in ("/ui/change/edit/shop.yaml", "/ui/change"):
        assert "very-secret" not in (await site.get(path)).text
    await apply(site)
    assert "shop.yaml" not in on_disk(site)


async def test_the_default_is_in_no_file_and_cannot_be_deleted(site: Served) -> None:
    site.default = {"chat.yaml": CHAT}
    page = await site.get("/ui/change/edit/chat.yaml")
    assert '<section id="delete" class="panel" aria-labelledby="delete-title" hidden>' in page.text
    await site.post("/change/delete", file="chat.yaml", seen=digest(CHAT))
    assert "chat.yaml is in no file yet, so it cannot be deleted" in words(await site.get("/ui/change"), "notice")


@pytest.mark.parametrize("path", ["/ui/change/edit/shop.yaml", "/ui/change"])
async def test_a_deletion_is_shown_as_text(site: Served, path: str) -> None:
    await save(site, "shop.yaml", SHOP.replace("name: cart", "name: <script>alert(1)</script>"))
    assert "<script>alert" not in (await site.get(path)).text


async def test_a_service_is_brought_back_however_many_revisions_came_after_it(site: Served) -> None:
    assert site.directory
    (site.directory / "shop.yaml").write_text(app("shop"))
    site.world.control.look_again()
    await site.world.until(lambda: "app/cart" not in services(site))
    for number in range(REVISIONS_MAX + 2):
        (site.directory / "chat.yaml").write_text(CHAT + f"# {number}\n")
        site.world.control.look_again()
        await site.world.until(lambda n=number: f"# {n}\n" in site.world.control.desired.texts["chat.yaml"])
    await site.world.pass_time(60)
    page = await site.get("/ui/change")
    assert 'id="revision-1"' not in page.text, "the page shows the newest revisions only"
    assert "app/cart, as in revision 1" in words(page, "revisions")
    assert "app/shop, as" not in words(page, "revisions"), "it is in the specs"
    await site.post("/change/bring-back", service="1 app/cart")
    await apply(site)
    assert on_disk(site)["shop.yaml"].startswith(app("shop"))
    await site.world.until(lambda: "app/cart" in services(site))
