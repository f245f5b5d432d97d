"""A change of the specs in the dashboard: a draft, its plan, its application, and the way back."""

import html
import io
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from control.world import app, model
from git.workshop import Workshop
from ui.served import ORIGIN, Answer, Served, served, served_files

CHAT = "# what people chat with\n" + model(replicas=1)
SHOP = app(uses=["model/chat"])


@pytest_asyncio.fixture
async def site(folder: Path) -> AsyncIterator[Served]:
    async with served_files(folder, chat=CHAT, shop=SHOP) as made:
        yield made


def words(answer: Answer, part: str) -> str:
    """Return the text of a part of a page, as people read it."""
    found = re.search(rf'<section id="{part}".*?</section>', answer.text, re.DOTALL)
    assert found, part
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", found[0])).split())


def field(answer: Answer, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', answer.text)
    assert found, name
    return html.unescape(found[1])


async def save(site: Served, name: str, text: str) -> Answer:
    """Edit a file as a person does: open it, change its text, and ask for the plan."""
    page = await site.get(f"/ui/change/edit/{name}")
    answer = await site.post("/change/save", file=name, text=text.replace("\n", "\r\n"), seen=field(page, "seen"))
    assert (answer.status, answer.headers["location"]) == (303, f"/ui/change/edit/{name}"), answer.text
    return await site.get(f"/ui/change/edit/{name}")


async def apply(site: Served) -> Answer:
    page = await site.get("/ui/change")
    answer = await site.post("/change/apply", plan=field(page, "plan"), confirmed="yes")
    assert (answer.status, answer.headers["location"]) == (303, "/ui/change")
    return await site.get("/ui/change")


async def edited_meanwhile(site: Served) -> Answer:
    """Edit chat.yaml on the machine while it is in a draft; applying that changes nothing. Return the page then."""
    plan = field(await site.get("/ui/change"), "plan")
    assert site.directory
    edited = on_disk(site)["chat.yaml"] + "# edited on the machine\n"
    (site.directory / "chat.yaml").write_text(edited)
    await site.post("/change/apply", plan=plan, confirmed="yes")
    assert "chat.yaml has changed since this draft began" in words(await site.get("/ui/change"), "notice")
    assert on_disk(site)["chat.yaml"] == edited
    site.world.control.look_again()
    await site.world.until(lambda: "edited" in site.world.control.desired.texts["chat.yaml"])
    page = await site.get("/ui/change")
    assert 'action="/ui/change/apply"' not in page.text
    return page


def on_disk(site: Served) -> dict[str, str]:
    assert site.directory
    return {each.name: each.read_text() for each in site.directory.iterdir()}


async def test_a_draft_changes_nothing_until_it_is_applied(site: Served) -> None:
    changed = CHAT.replace("replicas: 1", "replicas: 3")
    page = await save(site, "chat.yaml", changed)
    assert "model/chat replicas 1 -> 3 chat.yaml:7" in words(page, "plan").replace("~ changed ", "")
    assert "model/chat starts 2 replicas more" in words(page, "plan")
    await site.world.turns()
    assert on_disk(site) == {"chat.yaml": CHAT, "shop.yaml": SHOP}
    assert site.world.service().replicas_wanted == 1
    done = await apply(site)
    assert "applied: chat.yaml written to" in words(done, "notice")
    assert on_disk(site)["chat.yaml"] == changed, "with its comment, and with its own line ends"
    await site.world.until(lambda: site.world.service().replicas_ready == 3)
    page = await site.get("/ui/change")
    assert "The running services are as the specs say." in words(page, "summary")
    assert "model/chat" in words(page, "revisions")


async def test_an_error_is_shown_at_its_line_and_not_applied(site: Served) -> None:
    wrong = CHAT.replace("replicas: 1", "replicas: two")
    page = await save(site, "chat.yaml", wrong)
    line = wrong.splitlines().index("  replicas: two") + 1
    assert f"chat.yaml:{line}:13" in words(page, "plan")
    assert "1 error: the draft cannot be applied. Running services are unchanged." in words(page, "plan")
    assert f"{line} replicas: two" in words(page, "plan"), "the line itself"
    assert f'<span id="line-{line}" class="bad">' in page.text
    assert 'action="/ui/change/apply"' not in page.text
    answer = await site.post("/change/apply", plan="1", confirmed="yes")
    assert "the draft has errors, so nothing was applied" in words(await site.get("/ui/change"), "notice")
    assert answer.status == 303
    assert on_disk(site)["chat.yaml"] == CHAT


async def test_an_apply_needs_its_confirmation(site: Served) -> None:
    page = await save(site, "chat.yaml", CHAT.replace("replicas: 1", "replicas: 2"))
    await site.post("/change/apply", plan=field(page, "plan"))
    assert "the confirmation is missing" in words(await site.get("/ui/change"), "notice")
    assert on_disk(site)["chat.yaml"] == CHAT
    assert 'name="confirmed" value="yes" required' in page.text


async def test_a_plan_that_is_out_of_date_is_not_applied(site: Served) -> None:
    page = await save(site, "chat.yaml", CHAT.replace("replicas: 1", "replicas: 2"))
    seen = field(page, "plan")
    assert site.directory
    (site.directory / "shop.yaml").write_text(app(replicas=2))
    site.world.control.look_again()
    await site.world.until(lambda: site.world.service("app/shop").replicas_wanted == 2)
    await site.post("/change/apply", plan=seen, confirmed="yes")
    page = await site.get("/ui/change")
    assert "the plan has changed since you have read it, so nothing was applied" in words(page, "notice")
    assert on_disk(site)["chat.yaml"] == CHAT
    assert "applied: chat.yaml" in words(await apply(site), "notice")


async def test_a_file_that_changed_on_disk_is_not_replaced(site: Served) -> None:
    await save(site, "chat.yaml", CHAT.replace("replicas: 1", "replicas: 2"))
    page = await edited_meanwhile(site)
    assert "# edited on the machine" in page.text, "both are shown"
    assert "replicas: 2" in page.text
    await site.post("/change/rebase", file="chat.yaml")
    await apply(site)
    assert on_disk(site)["chat.yaml"] == CHAT.replace("replicas: 1", "replicas: 2")


async def test_a_form_of_an_older_text_does_not_overwrite_the_new_one(site: Served) -> None:
    page = await site.get("/ui/change/edit/chat.yaml")
    assert site.directory
    (site.directory / "chat.yaml").write_text(CHAT + "# edited on the machine\n")
    site.world.control.look_again()
    await site.world.until(lambda: "edited" in site.world.control.desired.texts["chat.yaml"])
    mine = CHAT.replace("replicas: 1", "replicas: 2")
    await site.post("/change/save", file="chat.yaml", text=mine, seen=field(page, "seen"))
    page = await site.get("/ui/change")
    assert "chat.yaml has changed since this draft began" in words(page, "draft")
    await site.post("/change/apply", plan="1", confirmed="yes")
    assert on_disk(site)["chat.yaml"] == CHAT + "# edited on the machine\n"


async def test_of_two_sessions_that_apply_one_loses_and_nothing_is_lost(site: Served) -> None:
    first = site.cookie
    await save(site, "chat.yaml", CHAT.replace("replicas: 1", "replicas: 2"))
    first_plan = field(await site.get("/ui/change"), "plan")
    await site.sign_in()
    second = site.cookie
    mine = CHAT.replace("replicas: 1", "replicas: 3")
    await save(site, "chat.yaml", mine)
    second_plan = field(await site.get("/ui/change"), "plan")
    site.cookie = first
    assert "replicas: 3" not in (await site.get("/ui/change/edit/chat.yaml")).text, "a draft is of its session"
    await site.post("/change/apply", plan=first_plan, confirmed="yes")
    site.cookie = second
    await site.post("/change/apply", plan=second_plan, confirmed="yes")
    page = await site.get("/ui/change/edit/chat.yaml")
    assert re.search("has changed since (this draft began|you have read it)", words(page, "notice"))
    assert on_disk(site)["chat.yaml"] == CHAT.replace("replicas: 1", "replicas: 2")
    assert "replicas: 3" in page.text, "the draft is still there"


async def test_a_service_is_rolled_back(site: Served) -> None:
    await site.world.pass_time(120)
    await save(site, "chat.yaml", CHAT.replace("replicas: 1", "replicas: 2"))
    await apply(site)
    await site.world.until(lambda: site.world.service().replicas_ready == 2)
    page = await site.get("/ui/change")
    assert "Roll back a service" in words(page, "revisions")
    await site.post("/change/rollback", service="model/chat", to="")
    page = await site.get("/ui/change")
    assert "model/chat is rolled back to revision 1" in words(page, "notice")
    assert "model/chat was rolled back to revision 1: its current spec is not applied" in words(page, "summary")
    assert "as the specs say, except those that a rollback holds" in words(page, "summary")
    await site.world.until(lambda: site.world.service().replicas_wanted == 1)
    await site.post("/change/rollback", service="model/nobody", to="7; rm")
    assert "`7; rm` is not a revision" in words(await site.get("/ui/change"), "notice")


async def test_a_notice_is_shown_once(site: Served) -> None:
    await site.post("/change/discard", file="")
    assert "the draft is discarded" in (await site.get("/ui/change")).text
    assert "the draft is discarded" not in (await site.get("/ui/change")).text


async def test_common_fields_change_the_text_and_keep_the_rest(site: Served) -> None:
    page = await site.get("/ui/change/edit/chat.yaml")
    assert 'name="spec.replicas"' in page.text
    fields = {"spec.replicas": "4", "spec.contextLength": "2048"}
    await site.post("/change/fields", file="chat.yaml", kind="Model", name="chat", **fields)
    page = await site.get("/ui/change/edit/chat.yaml")
    assert words(page, "notice") == "draft: contextLength not set → 2048, replicas 1 → 4"
    await apply(site)
    lines = set(on_disk(site)["chat.yaml"].splitlines()) ^ set(CHAT.splitlines())
    assert lines == {"  replicas: 1", "  replicas: 4", "  contextLength: 2048"}
    await site.post("/change/fields", file="chat.yaml", kind="Model", name="chat", **{"spec.replicas": "many"})
    page = await site.get("/ui/change/edit/chat.yaml")
    assert "replicas must be a whole number from 0 to 1,000" in words(page, "notice")


async def test_a_new_model_is_a_spec_with_reasons(site: Served) -> None:
    page = await site.get("/ui/new")
    assert "needs about 400 MiB of 16 GiB" in words(page, "model")
    assert 'value="huge" disabled' in page.text, "a model that does not fit cannot be chosen"
    answer = await site.post("/new", kind="Model", source="smollm2", name="tiny", replicas="2")
    assert answer.headers["location"] == "/ui/change/edit/tiny.yaml"
    page = await site.get("/ui/change/edit/tiny.yaml")
    assert "source: smollm2" in page.text
    assert "# a name in the catalogue" in html.unescape(page.text)
    assert "+ added model/tiny create" in words(page, "plan")
    assert "tiny.yaml" not in on_disk(site)
    await apply(site)
    assert "name: tiny" in on_disk(site)["tiny.yaml"]
    await site.post("/new", kind="Model", source="smollm2", name="../tiny")
    assert "`../tiny` cannot be the name of a service" in words(await site.get("/ui/new"), "notice")


async def test_the_default_becomes_a_file_with_the_first_service(folder: Path) -> None:
    specs = folder / "specs"
    specs.mkdir()
    async with served(folder / "c.sock", specs) as site:
        assert site.world.files
        default = {"default.yaml": CHAT}
        site.world.files._default = default  # type: ignore[attr-defined]  # noqa: SLF001
        site.default = default
        site.world.control.look_again()
        await site.world.until(lambda: site.world.status.services and site.world.status.rolled_out)
        await site.sign_in()
        assert "There are no specs yet" in words(await site.get("/ui/change"), "summary")
        await site.post("/new", kind="Model", source="smollm2", name="tiny")
        page = await site.get("/ui/change")
        assert "removes" not in page.text
        await apply(site)
        assert sorted(on_disk(site)) == ["default.yaml", "tiny.yaml"], "nothing that runs is lost"


async def test_a_file_with_a_secret_is_not_shown(site: Served) -> None:
    assert site.directory
    (site.directory / "shop.yaml").write_text(app(env={"API_TOKEN": "very-secret-value"}))
    (site.directory / "broken.yaml").write_text(
        "kind: App\nmetadata: {name: x\nenv:\n  DB_PASSWORD: very-secret-value\n"
    )
    site.world.control.look_again()
    await site.world.until(lambda: "broken.yaml" in site.world.control.desired.texts)
    for name in ("shop.yaml", "broken.yaml"):
        page = await site.get(f"/ui/change/edit/{name}")
        assert "The text is not shown: it has the value of a secret at" in words(page, "editor")
        assert "very-secret" not in page.text
    fields = {"spec.replicas": "2"}
    await site.post("/change/fields", file="shop.yaml", kind="App", name="shop", **fields)
    for path in ("/ui/change/edit/shop.yaml", "/ui/change"):
        assert "very-secret" not in (await site.get(path)).text, "not in a plan or a conflict either"


async def test_a_draft_has_a_bound(site: Served) -> None:
    page = await site.get("/ui/change/edit/chat.yaml")
    for size, says in ((300_000, "at most 262,144 characters|more than 262,144 characters"), (0, "")):
        text = CHAT + "#" * size
        await site.post("/change/save", file="chat.yaml", text=text, seen=field(page, "seen"))
        assert re.search(says, words(await site.get("/ui/change"), "notice"))
    body = io.BytesIO(f"csrf={await site.csrf()}&file=chat.yaml&text=".encode() + b"x" * 2**20)
    answer = await site.ask("POST", "/ui/change/save", headers={"origin": ORIGIN}, data=body)
    assert answer.status == 413
    for number in range(25):
        await site.post("/new", kind="App", name=f"app-{number}", command="sleep 60")
    assert "a draft has at most 20 files" in words(await site.get("/ui/new"), "notice")


async def test_without_a_change_a_page_is_not_sent_again(site: Served) -> None:
    await save(site, "chat.yaml", CHAT.replace("replicas: 1", "replicas: 2"))
    async with site.stream("/change") as events:
        name, data = await anext(events)
        assert (name, "draft" in data["parts"]) == ("parts", True)
        name, _ = await anext(events)
        assert name == "alive"


async def test_a_thousand_equal_edits_are_one_line(site: Served) -> None:
    many = "---\n".join(app(f"app-{number}", replicas=1) for number in range(100))
    await site.post("/change/save", file="many.yaml", text=many, seen="-")
    await apply(site)
    await site.world.until(lambda: "many.yaml" in site.world.control.desired.texts and site.world.status.rolled_out)
    page = await save(site, "many.yaml", many.replace("replicas: 1", "replicas: 2"))
    assert "app/app-0, app/app-1, app/app-10 and 97 more replicas 1 -> 2" in words(page, "plan")
    assert page.text.count('<td class="sign">') == 1


async def test_a_policy_forbids_a_draft_as_it_forbids_a_file(site: Served) -> None:
    policy = (
        "apiVersion: bateau.dev/v1alpha1\nkind: Policy\nmetadata: {name: few}\nspec:\n  match: {kinds: [Model]}\n"
        "  rules: [{name: two-at-most, check: spec.replicas <= 2, message: more than two replicas}]\n"
    )
    assert site.directory
    (site.directory / "policy.yaml").write_text(policy)
    site.world.control.look_again()
    await site.world.until(lambda: "policy.yaml" in site.world.control.desired.texts)
    page = await save(site, "chat.yaml", CHAT.replace("replicas: 1", "replicas: 3"))
    assert "more than two replicas" in words(page, "plan")
    assert "the draft cannot be applied" in words(page, "plan")


async def test_versions_are_promoted_to_a_branch(folder: Path) -> None:
    specs = Workshop(folder / "specs")
    specs.git("config", "user.name", "Ada")
    specs.git("config", "user.email", "ada@example.org")
    head = "apiVersion: bateau.dev/v1alpha1\nkind: Environment\nmetadata: {name: %s}\n"
    head += "spec: {values: {shop: {image: 'shop:%s'}}}\n"
    shop = app(image="${ values.shop.image }", command=None)
    specs.commit("one", shop=shop, staging=head % ("staging", 2), prod=head % ("prod", 1))
    async with served(folder / "c.sock", specs.directory, cart=app("cart")) as site:
        await site.sign_in()
        await site.world.until(lambda: site.world.control.desired.written)
        page = await site.get("/ui/change")
        assert "Promote versions" in words(page, "promotion")
        await site.post("/change/promote", service="", source="staging", target="prod")
        notice = words(await site.get("/ui/change"), "notice")
        assert "values.shop.image: shop:1 -> shop:2" in notice
        branch = re.search("is on branch (promote-all-prod-[0-9a-f]+) of the clone", notice)
        assert branch
        assert "shop:2" in specs.git("show", f"{branch[1]}:prod.yaml")
        assert "shop:1" in (specs.directory / "prod.yaml").read_text()
        await site.post("/change/promote", service="", source="staging", target="staging")
        assert "a promotion needs two environments" in words(await site.get("/ui/change"), "notice")
