"""What a change in the dashboard must never do: leave its directory, act for others, or run what it shows."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bateau.ui.drafts import digest
from control.world import app, model
from ui.served import ORIGIN, Served, served_files
from ui.test_change import field, on_disk, save, words

CHAT = model(replicas=1)
SHOP = app()
SCRIPT = "<script>document.title='owned'</script>"
FORMS = ("save", "fields", "delete", "bring-back", "discard", "rebase", "apply", "rollback", "promote")


@pytest_asyncio.fixture
async def site(folder: Path) -> AsyncIterator[Served]:
    async with served_files(folder, chat=CHAT, shop=SHOP) as made:
        yield made


@pytest.mark.parametrize(
    "name",
    ["../out.yaml", "/etc/out.yaml", "a/../../out.yaml", "..%2fout.yaml", ".hidden.yaml", "out.txt", "a\0b.yaml", ""],
)
async def test_no_name_of_a_file_leads_out_of_the_directory(site: Served, name: str) -> None:
    await site.post("/change/save", file=name, text=CHAT.replace("chat", "evil"), seen="-")
    page = await site.get("/ui/change")
    assert "is not the name of a spec file" in words(page, "notice")
    await site.post("/change/apply", plan="1", confirmed="yes")
    assert site.directory
    assert list(site.directory.parent.rglob("*out*")) == []
    assert sorted(on_disk(site)) == ["chat.yaml", "shop.yaml"]


async def test_no_link_leads_out_of_the_directory(site: Served) -> None:
    assert site.directory
    outside = site.directory.parent / "outside"
    outside.mkdir()
    (site.directory / "folder").symlink_to(outside)
    await site.post("/change/save", file="folder/new.yaml", text=CHAT.replace("chat", "evil"), seen="-")
    await site.post("/change/apply", plan=field(await site.get("/ui/change"), "plan"), confirmed="yes")
    assert "folder is a link, or not a directory" in words(await site.get("/ui/change"), "notice")
    assert list(outside.iterdir()) == []


async def test_a_deletion_leads_nowhere_else(site: Served) -> None:
    assert site.directory
    outside = site.directory.parent / "outside.yaml"
    outside.write_text(CHAT)
    (site.directory / "link.yaml").symlink_to(outside)
    (site.directory / "notes.txt").write_text(CHAT)
    for name in ("../outside.yaml", "link.yaml", "notes.txt", "", "/etc/passwd", "chat.yaml/../../outside.yaml"):
        await site.post("/change/delete", file=name, seen=digest(CHAT))
        assert "there is no file" in words(await site.get("/ui/change"), "notice"), name
    # A file that became a link after it was read.
    (site.directory / "chat.yaml").unlink()
    (site.directory / "chat.yaml").symlink_to(outside)
    await site.post("/change/delete", file="chat.yaml", seen=digest(CHAT))
    await site.post("/change/apply", plan=field(await site.get("/ui/change"), "plan"), confirmed="yes")
    assert "chat.yaml is a link, which is neither replaced nor" in words(await site.get("/ui/change"), "notice")
    assert outside.read_text() == CHAT
    assert (site.directory / "chat.yaml").is_symlink()


@pytest.mark.parametrize("form", FORMS)
async def test_a_form_of_another_origin_or_without_a_token_is_refused(site: Served, form: str) -> None:
    await save(site, "chat.yaml", CHAT.replace("replicas: 1", "replicas: 2"))
    fields = {"file": "chat.yaml", "text": "x", "plan": "1", "confirmed": "yes", "service": "app/shop"}
    csrf = await site.csrf()
    for origin, token in (("http://evil.example", csrf), ("null", csrf), (ORIGIN, "guessed"), (ORIGIN, "")):
        answer = await site.ask(
            "POST", f"/ui/change/{form}", headers={"origin": origin}, data={"csrf": token, **fields}
        )
        assert answer.status == 403
    assert on_disk(site)["chat.yaml"] == CHAT
    assert "replicas: 2" in (await site.get("/ui/change/edit/chat.yaml")).text


async def test_a_role_has_only_its_rights(site: Served) -> None:
    for role in ("view", "operate"):
        await site.sign_in(role)
        for form in FORMS:
            if role == "operate" and form == "rollback":
                continue
            answer = await site.post(f"/change/{form}", file="chat.yaml", text="x", service="app/shop", plan="1")
            assert (answer.status, "Not allowed" in answer.text) == (403, True), (role, form)
        assert (await site.post("/new", kind="App", name="x", command="sleep 1")).status == 403
        page = await site.get("/ui/change")
        assert "This page is read-only: changes need the role admin" in words(page, "summary")
        assert ("Roll back a service" in page.text) == (role == "operate")
        page = await site.get("/ui/change/edit/chat.yaml")
        assert "It cannot be edited" in page.text
        assert "hf://org" not in page.text, "the text is for those who may change it"
        assert 'href="/ui/change/edit' not in (await site.get("/ui/services/app/shop")).text
    await site.post("/change/rollback", service="app/shop", to="99")
    assert "there is no revision 99" in words(await site.get("/ui/change"), "notice")


async def test_a_script_in_a_spec_or_an_error_is_text(site: Served) -> None:
    text = app("shop", env={"GREETING": SCRIPT}).replace("kind: App", f"kind: App\n{SCRIPT}: 1")
    page = await save(site, "shop.yaml", text + f"# </textarea>{SCRIPT}\n")
    assert "&lt;script&gt;" in page.text
    assert "<script>document" not in page.text
    assert page.text.count("</textarea>") == 1
    page = await site.get("/ui/change")
    assert "<script>document" not in page.text
    await site.post("/change/save", file="shop.yaml", text=app(env={"GREETING": SCRIPT}), seen="")
    assert "<script>document" not in (await site.get("/ui/change")).text
    await site.post("/change/save", file=f"{SCRIPT}.yaml", text=CHAT, seen="")
    assert "<script>document" not in (await site.get("/ui/change")).text


async def test_text_that_steers_what_people_see_is_not_taken(site: Served) -> None:
    for odd in ("\u202e", "\x1b[2J", "\x00"):
        await site.post("/change/save", file="chat.yaml", text=CHAT + f"# {odd}\n", seen="")
        assert "it has characters that a page cannot show" in words(await site.get("/ui/change"), "notice")


async def test_a_form_with_too_many_fields_is_refused(site: Served) -> None:
    answer = await site.post("/change/save", **{f"f{number}": "" for number in range(200)})
    assert answer.status == 413


async def test_an_instance_that_was_applied_by_hand_is_read_only(site: Served) -> None:
    site.changing.follows = "applied"
    page = await site.get("/ui/change")
    assert "the specs were given by `bateau apply`" in words(page, "summary")
    await site.post("/change/save", file="chat.yaml", text="x", seen="")
    assert "the specs cannot be changed here" in words(await site.get("/ui/change"), "notice")


async def test_no_page_has_a_style_or_a_script_of_its_own(site: Served) -> None:
    await save(site, "chat.yaml", CHAT.replace("replicas: 1", "replicas: x"))
    for path in ("/ui/change", "/ui/change/edit/chat.yaml", "/ui/new"):
        text = (await site.get(path)).text
        assert "style=" not in text
        assert "<style" not in text
        assert text.count("<script") == text.count('<script src="/ui/assets/')
