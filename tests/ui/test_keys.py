"""Keys in the dashboard: who changes them, errors at their fields, and a secret that is shown once."""

import re

import pytest
from yarl import URL

from bateau.domain.api_key import ApiKey
from bateau.kit.secret_key import hash_of
from ui.reports import SCRIPT
from ui.served import ORIGIN, Answer, Served

SECRET = re.compile(r"bateau_[0-9A-Za-z]{38}")
CREATE = "/ui/usage"
CI = "/ui/usage/keys/ci"


async def post(dashboard: Served, path: str, **fields: str) -> Answer:
    return await post_from(dashboard, path, {"origin": ORIGIN}, fields)


async def post_from(dashboard: Served, path: str, headers: dict[str, str], fields: dict[str, str]) -> Answer:
    return await dashboard.ask("POST", path, headers=headers, data={"csrf": await dashboard.csrf(), **fields})


def secret_in(answer: Answer) -> str:
    assert answer.status == 200, answer.text
    (secret,) = SECRET.findall(answer.text)
    return secret


async def test_a_key_is_created_with_its_limits(dashboard: Served) -> None:
    await dashboard.sign_in()
    fields = {"owner": "ada", "models": "chat* embed", "expires_at": "90d", "requests_per_minute": "60"}
    limits = {"tokens_per_day": "1M", "money_per_month": "100.50 EUR", "kwh_per_day": "1.5 kWh", "concurrent": "4"}
    secret = secret_in(await post(dashboard, CREATE, name="ci", note="for CI", **fields, **limits))
    key = dashboard.keys.named("ci")
    assert (key.sha256, key.owner, key.models, key.note) == (hash_of(secret), "ada", ("chat*", "embed"), "for CI")
    assert (key.requests_per_minute, key.tokens_per_day, key.kwh_per_day, key.concurrent) == (60, 1_000_000, 1.5, 4)
    assert str(key.money_per_month) == "100.50 EUR"
    assert key.expires_at is not None and key.created_at is not None
    assert round((key.expires_at - key.created_at) / 86_400) == 90


async def test_a_secret_is_shown_once(dashboard: Served) -> None:
    await dashboard.sign_in()
    created = await post(dashboard, CREATE, name="ci")
    assert created.headers["cache-control"] == "no-store"
    rotated = await post(dashboard, CI, action="rotate", confirmed="ci")
    assert rotated.headers["cache-control"] == "no-store"
    secrets = {secret_in(created), secret_in(rotated)}
    assert len(secrets) == 2
    assert dashboard.keys.named("ci").sha256 == hash_of(secret_in(rotated))
    for path in (CREATE, CI, "/ui/", "/ui/usage/30d/owner"):
        text = (await dashboard.get(path)).text
        assert not SECRET.search(text)
        assert dashboard.keys.named("ci").sha256 not in text
    for path in ("/usage", "/usage/keys/ci"):
        async with dashboard.stream(path) as events:
            async for name, data in events:
                if name == "parts":
                    assert not SECRET.search(str(data))
                    assert "secret" not in data["parts"]
                    break


async def test_errors_are_at_their_fields_in_the_words_of_the_command(dashboard: Served) -> None:
    await dashboard.sign_in()
    wrong = {
        "name": ("Not A Name", "&#39;Not A Name&#39; cannot be the name of a key: use up to 63 lower-case letters"),
        "expires_at": ("soon", "soon is not a time: write 90d, 12h, or a date such as 2027-01-31"),
        "tokens_per_day": ("1.5", "1.5 is not a number of tokens: write 500, 60k or 1M"),
        "tokens_per_month": ("9007199254740993", "9007199254740993 is too large a limit"),
        "money_per_day": ("5", "5 is not an amount of money"),
        "kwh_per_day": ("nan", "nan is not an amount of energy"),
        "requests_per_minute": ("0", "0 is too small; use 1 or more"),
        "models": ("a,b", "&#39;a,b&#39; is not a name of models"),
    }
    answer = await post(dashboard, CREATE, **{name: text for name, (text, _) in wrong.items()})
    assert answer.status == 422
    for name, (text, says) in wrong.items():
        at = f'<span class="wrong" id="key-{name}-error">'
        assert says in answer.text.partition(at)[2].partition("</span>")[0], name
        field = answer.text.partition(f'<input id="key-{name}"')[2].partition(">")[0]
        assert f'value="{text}"' in field and 'aria-invalid="true"' in field and f"key-{name}-error" in field
    assert "8 fields to fix" in answer.text
    assert not dashboard.keys.load().by_name


async def test_a_name_that_is_taken_is_an_error_at_the_name(dashboard: Served) -> None:
    await dashboard.sign_in()
    before = secret_in(await post(dashboard, CREATE, name="ci", note="kept"))
    again = await post(dashboard, CREATE, name="ci", owner="grace")
    assert again.status == 422
    assert "there is a key ci already" in again.text.partition('id="key-name-error"')[2].partition("</span>")[0]
    assert 'value="grace"' in again.text
    assert dashboard.keys.named("ci").sha256 == hash_of(before)


@pytest.mark.parametrize("role", ["view", "operate"])
async def test_only_an_admin_changes_keys(dashboard: Served, role: str) -> None:
    dashboard.keys.create(ApiKey(name="ci", owner="ada"))
    before = dashboard.keys.load()
    await dashboard.sign_in(role)  # type: ignore[arg-type]
    for path in (CREATE, CI):
        assert "<form" not in (await dashboard.get(path)).text.partition("<main")[2]
    for path, fields in ((CREATE, {"name": "mine"}), (CI, {"action": "revoke", "confirmed": "ci"})):
        answer = await post(dashboard, path, **fields)
        assert answer.status == 403
        assert "bateau open --role admin" in answer.text
    assert dashboard.keys.load() == before


async def test_a_change_needs_the_origin_and_the_token_of_the_session(dashboard: Served) -> None:
    dashboard.keys.create(ApiKey(name="ci", owner="ada"))
    before = dashboard.keys.load()
    await dashboard.sign_in()
    for path, fields in ((CREATE, {"name": "mine"}), (CI, {"action": "revoke", "confirmed": "ci"})):
        for headers in ({}, {"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1:9"}):
            assert (await post_from(dashboard, path, headers, fields)).status == 403
        for token in ("", "guessed"):
            answer = await dashboard.ask("POST", path, headers={"origin": ORIGIN}, data={**fields, "csrf": token})
            assert answer.status == 403
        dashboard.cookie, kept = "", dashboard.cookie
        assert (await dashboard.ask("POST", path, headers={"origin": ORIGIN}, data=fields)).status == 401
        dashboard.cookie = kept
    assert dashboard.keys.load() == before


async def test_a_revocation_is_confirmed_by_the_name(dashboard: Served) -> None:
    await dashboard.sign_in()
    await post(dashboard, CREATE, name="ci")
    for fields in ({}, {"confirmed": ""}, {"confirmed": "other"}):
        answer = await post(dashboard, CI, action="revoke", **fields)
        assert answer.status == 409
        assert "tick the box that names it" in answer.text
    assert (await post(dashboard, CI, confirmed="ci")).status == 409
    assert "ci" in dashboard.keys.load().by_name
    done = await post(dashboard, CI, action="revoke", confirmed="ci")
    assert (done.status, "ci is revoked" in done.text) == (200, True)
    assert "ci" not in dashboard.keys.load().by_name
    assert (await post(dashboard, CI, action="revoke", confirmed="ci")).status == 404


async def test_a_key_of_the_specs_is_not_changed(dashboard: Served) -> None:
    declared = ApiKey(name="ci", owner="ada", sha256="a" * 64, hint="86yR", declared_at="keys.yaml:3")
    dashboard.keys.publish(open_to_all=False)
    dashboard.keys.declare([declared])
    await dashboard.sign_in()
    page = (await dashboard.get(CI)).text
    assert "keys.yaml:3" in page and "bateau_…86yR" in page
    assert "<form" not in page.partition("<main")[2]
    for action in ("rotate", "revoke"):
        answer = await post(dashboard, CI, action=action, confirmed="ci")
        assert answer.status == 409
        assert "is a key of the specs (keys.yaml:3)" in answer.text
    assert dashboard.keys.named("ci") == declared


async def test_text_in_a_key_is_text(dashboard: Served) -> None:
    await dashboard.sign_in()
    await post(dashboard, CREATE, name="ci", owner=SCRIPT, note=f"note {SCRIPT}")
    wrong = await post(dashboard, CREATE, name=SCRIPT, owner=SCRIPT, expires_at=SCRIPT, models=SCRIPT)
    assert wrong.status == 422
    for text in (wrong.text, (await dashboard.get(CREATE)).text, (await dashboard.get(CI)).text):
        assert "&lt;script&gt;alert(1)" in text
        assert "<script>alert" not in text


@pytest.mark.parametrize("name", ["..%2fkeys", "%00", "nobody", "ci%0d%0aSet-Cookie:%20a=b"])
async def test_a_key_that_does_not_exist_is_404(dashboard: Served, name: str) -> None:
    await dashboard.sign_in()
    answer = await dashboard.ask("GET", URL(f"/ui/usage/keys/{name}", encoded=True))
    assert answer.status in (404, 405)
    assert "set-cookie" not in answer.headers


async def test_the_first_key_says_what_it_changes(dashboard: Served) -> None:
    await dashboard.sign_in()
    assert "This is the first key" in (await dashboard.get(CREATE)).text
    await post(dashboard, CREATE, name="ci")
    assert "This is the first key" not in (await dashboard.get(CREATE)).text
