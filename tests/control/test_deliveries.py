"""The history of a cluster: bounded, readable again, and the revision that a rollback chooses."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bateau.control import deliveries
from bateau.control.deliveries import BYTES_MAX, REVISIONS_MAX, Deliveries, read, written
from bateau.control.rollback import Hold
from bateau.domain.errors import ClusterError, ControlError
from bateau.domain.revision import Event, Outcome, Revision

SHOP = "app/shop"


def _revision(outcome: Outcome = "healthy", /, commit: str | None = "c", **services: str) -> Revision:
    return Revision(
        id=0,
        environment="prod",
        digest="",
        services={f"app/{name}": digest for name, digest in services.items()},
        who="ada",
        when_s=1.5,
        commit=commit,
        outcome=outcome,
    )


def _history(*revisions: Revision) -> Deliveries:
    made = Deliveries()
    for number, each in enumerate(revisions):
        made = made.added(replace(each, commit=each.commit and f"{each.commit}{number}"))
    return made


_KEYS = st.sampled_from(["app/a", "app/b", "model/c"])


@given(st.lists(st.dictionaries(_KEYS, st.sampled_from("xyz")), max_size=8))
def test_a_history_is_read_as_it_was_written(services: list[dict[str, str]]) -> None:
    made = Deliveries(holds={"app/a": Hold(1, "x")})
    for each in services:
        made = made.added(replace(_revision(), services=each)).marked(Event(when_s=2.0, says="ok", outcome="failed"))
    assert read(written(made), "prod") == made


def test_a_history_is_bounded_and_keeps_the_revisions_of_holds() -> None:
    made = replace(_history(_revision(shop="0")), holds={SHOP: Hold(1, "now")})
    for number in range(REVISIONS_MAX + 20):
        made = made.added(_revision(shop=str(number), commit=str(number)))
    assert [each.id for each in made.revisions] == [1, *range(22, 72)]


def test_a_history_of_very_many_services_fits_a_config_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "BYTES_MAX", BYTES_MAX // 100)
    many = [replace(_revision(), services={f"app/s{n}-{at}": str(n) for at in range(100)}) for n in range(10)]
    texts = written(_history(*many))
    assert len(texts["revisions"]) <= BYTES_MAX // 100
    assert read(texts, "prod").latest == _history(*many).latest


def test_the_same_again_is_not_another_revision() -> None:
    made = Deliveries().added(_revision(shop="1"))
    assert made.added(_revision("applied", shop="1")) == made


def test_a_rollback_goes_to_the_last_healthy_revision_in_which_the_service_differed() -> None:
    made = _history(
        _revision(shop="1"),
        _revision("failed", shop="2"),
        _revision(shop="3"),
        _revision(shop="3", cart="9"),
        _revision("failed", shop="4"),
    )
    assert made.target(SHOP, {SHOP: "4"}, to=None).id == 4
    assert made.target(SHOP, {SHOP: "3"}, to=None).id == 1
    assert made.target(SHOP, {SHOP: "4"}, to=2).id == 2


def test_a_second_rollback_goes_further_back() -> None:
    made = _history(_revision(shop="1"), _revision(shop="2"), _revision("rolled back", shop="3"))
    held = replace(made, holds={SHOP: Hold(2, "3")})
    assert held.target(SHOP, {SHOP: "3"}, to=None).id == 1
    # The spec has changed since: the hold has ended.
    assert held.target(SHOP, {SHOP: "4"}, to=None).id == 2


def test_without_a_revision_to_go_to_a_rollback_says_so() -> None:
    with pytest.raises(ControlError, match="no earlier healthy revision"):
        Deliveries().target(SHOP, {SHOP: "1"}, to=None)
    with pytest.raises(ControlError, match="no revision 7 with"):
        _history(_revision(shop="1")).target(SHOP, {SHOP: "1"}, to=7)
    with pytest.raises(ControlError, match="were not committed"):
        _history(_revision(shop="1", commit=None)).target(SHOP, {SHOP: "2"}, to=None)


def test_a_hold_lasts_until_the_spec_changes() -> None:
    made = Deliveries(holds={SHOP: Hold(1, "3")})
    assert made.lasting({SHOP: "3"}) == made.holds
    assert made.lasting({SHOP: "4"}) == {}
    assert made.lasting({}) == {}


@pytest.mark.parametrize(
    "texts", [{"format": "9"}, {}, {"format": "1", "revisions": "{"}, {"format": "1", "revisions": "{}"}]
)
def test_a_history_of_another_format_or_a_damaged_one_is_refused(texts: dict[str, str]) -> None:
    with pytest.raises(ClusterError, match="the history on the cluster"):
        read(texts, "prod")
