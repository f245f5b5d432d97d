"""State that the previous release stored is read after an upgrade, and no earlier decision is undone."""

import shutil
from dataclasses import make_dataclass, replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bateau.control.history import is_current, service_digest
from bateau.control.path import understand
from bateau.domain.errors import ControlError
from bateau.domain.origin import Origin
from bateau.domain.workload import Workload
from bateau.hydrate.defaults import filled
from bateau.kit.json_value import object_at, text_at
from bateau.kit.schema import described
from bateau.runtimes.local.records import Records
from bateau.store import StateFile
from bateau.store.applied import AppliedTexts
from bateau.store.revisions import RevisionStore
from bateau.testing import FakeMemory
from control.test_rollback import healthy, parallel, write
from control.world import app, model, world

DATA = Path(__file__).parent.parent / "store" / "data" / "0.1"
HELD = {"model/chat": 1}
TEXTS = {
    "chat": model(parallel=2),
    "shop": app(),
    "cart": app("cart", replicas=2),
}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A copy of the state that the previous release left."""
    return shutil.copytree(DATA, tmp_path / "state")


def service(text: str) -> Workload:
    """Return the only service of a document."""
    (found,) = understand({"a.yaml": text}, today=date(2026, 1, 1)).release.services
    return found


async def test_a_rollback_survives_an_upgrade_and_ends_when_its_service_changes(state: Path) -> None:
    memory = StateFile(state / "control.json")
    assert not is_current(text_at(memory.load(), "rollbacks", "local", "model/chat", "over"))
    async with world(history=state / "history.sqlite", memory=memory, **TEXTS) as w:
        assert dict(w.control.desired.held) == HELD
        assert parallel(w) == 1
        await write(w, "shop", app(replicas=3))
        assert dict(w.control.desired.held) == HELD
        await w.restart()
        await w.turn()
        assert dict(w.control.desired.held) == HELD
        assert is_current(text_at(memory.load(), "rollbacks", "local", "model/chat", "over"))
        await write(w, "chat", model(parallel=3))
        assert not w.control.desired.held
        assert parallel(w) == 3


async def test_what_was_written_anew_while_nothing_ran_ends_a_rollback_of_the_previous_format(state: Path) -> None:
    texts = {**TEXTS, "chat": model(parallel=3)}
    async with world(history=state / "history.sqlite", memory=StateFile(state / "control.json"), **texts) as w:
        assert not w.control.desired.held
        assert parallel(w) == 3


async def test_a_rollback_is_kept_where_the_last_specs_were_forgotten(state: Path) -> None:
    memory = FakeMemory()
    memory.save({"rollbacks": StateFile(state / "control.json").load()["rollbacks"]})
    async with world(history=state / "history.sqlite", memory=memory, **TEXTS) as w:
        assert dict(w.control.desired.held) == HELD


async def test_a_rollback_does_not_take_the_same_content_in_another_format_for_something_else(state: Path) -> None:
    async with world(history=state / "history.sqlite", memory=StateFile(state / "control.json"), **TEXTS) as w:
        assert w.revisions
        await write(w, "shop", app(replicas=3))  # `cart` is recorded again, with a digest of today
        await healthy(w)
        latest, older = w.revisions.history(limit=2)
        assert latest.services["app/cart"] != older.services["app/cart"]
        made = await w.control.rollback("cart")
        assert made.revision.id == 2  # the newest in which it was another, not the newest with another digest


async def test_a_service_that_differs_only_in_the_format_of_its_digest_has_nothing_to_go_back_to(state: Path) -> None:
    texts = {**TEXTS, "cart": app("cart", replicas=3)}
    async with world(history=state / "history.sqlite", memory=StateFile(state / "control.json"), **texts) as w:
        with pytest.raises(ControlError, match="no earlier healthy revision"):
            await w.control.rollback("shop")


def test_the_ports_and_texts_of_the_previous_release_are_read(state: Path) -> None:
    assert StateFile(state / "control.json").load()["app_ports"] == {"app/cart/http": 30001, "app/shop/http": 30002}
    applied = AppliedTexts(state / "applied.json", directory=state)
    assert applied.commit_id == "c0ffee"
    assert set(applied.read()) == {"chat.yaml", "shop.yaml", "cart.yaml"}


def test_the_history_and_the_replica_records_of_the_previous_release_are_read(state: Path) -> None:
    revisions = RevisionStore(state / "history.sqlite")
    try:
        history = revisions.history()
        assert [each.outcome for each in history] == ["healthy", "rolled back", "healthy", "healthy"]
        assert history[0].pins == HELD
        assert all(revisions.content(each.id) for each in history)
    finally:
        revisions.close()
    records = Records(state / "replicas")
    assert [records.read(path).id for path in records.paths()] == ["app.a.0", "model.chat.0"]


DEFAULTS = st.one_of(st.integers(), st.booleans(), st.text("abc", min_size=1))


@given(default=DEFAULTS, nested=DEFAULTS)
def test_a_field_that_a_schema_gains_changes_no_digest(default: object, nested: object) -> None:
    """Holds were undone by an upgrade, because their digests covered the defaults."""
    before = service(model(scale={}, resources={}))
    inner = make_dataclass(
        "Inner", [("deep", type(nested), described("New.", default=nested))], frozen=True, kw_only=True
    )
    gained = make_dataclass(
        "Gained",
        [
            ("fresh", type(default), described("New.", default=default)),
            ("resources", inner, described("New.", default=inner())),
        ],
        frozen=True,
        kw_only=True,
    )
    origins: dict[str, tuple[Origin, ...]] = dict(before.origins)
    spec = object_at(before.tree, "spec")
    after = replace(before, tree={**before.tree, "spec": {**spec, **filled(spec, gained, origins)}}, origins=origins)
    assert after.tree != before.tree
    assert service_digest(after) == service_digest(before)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (app(), app(replicas=2)),
        (app(env={"A": "1"}), app(env={"A": "2"})),
        (app(), app().replace("name: shop", "name: shop\n  labels: {team: a}")),
        (app(command=["a", "b"]), app(command=["b", "a"])),
        (model(), model(scale={})),
    ],
)
def test_what_a_document_says_changes_the_digest(one: str, other: str) -> None:
    assert service_digest(service(one)) != service_digest(service(other))


def test_where_something_is_written_does_not_change_the_digest() -> None:
    text = app(env={"A": "1", "B": "2"})
    moved = "\n\n" + app(env={"B": "2", "A": "1"})
    assert service_digest(service(text)) == service_digest(service(moved))


def test_a_value_that_is_withheld_is_not_in_the_digest() -> None:
    """A digest of a secret on disk would let an attacker test guesses, so the digest has the expression instead."""
    environment = (
        model().replace("kind: Model", "kind: Environment").split("spec:", maxsplit=1)[0].replace("chat", "prod")
    )
    text = f"{environment}spec: {{env: [KEY, OTHER]}}\n---\n"

    def digest(expression: str, value: str) -> str:
        texts = {"a.yaml": text + app(env={"KEY": f"${{ {expression} }}"})}
        (found,) = understand(texts, "prod", {"KEY": value, "OTHER": value}, today=date(2026, 1, 1)).release.services
        assert found.withheld
        return service_digest(found)

    assert digest("env('KEY')", "a") == digest("env('KEY')", "b")
    assert digest("env('KEY')", "a") != digest("env('OTHER')", "a")
