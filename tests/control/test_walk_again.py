"""A walk makes again only the units whose inputs have changed."""

from dataclasses import replace
from datetime import date

from bateau.control.assembly import Assembly
from bateau.control.path import understand
from bateau.control.walk import Outcome, World, walk
from bateau.domain.release import Release
from bateau.domain.unit import Whereabouts
from control.world import app

TODAY = date(2026, 11, 29)


def site(port: int) -> World:
    return World(where=Whereabouts(ports=(("app/a/http", port),)))


def again(before: Outcome, after: Release, *, port: int = 18001) -> list[str]:
    """Return the services whose units are not the same objects as before."""
    found = walk(after, site(port), Assembly("process"), before=before).assembled
    return [key for key in found if before.assembled.get(key) is not found[key]]


def test_only_a_changed_service_and_its_users_are_made_again() -> None:
    """Issue 8: with 1,000 apps, a save of one rendered all of them on the event loop, while probes waited."""
    texts = {"a": app("a"), "b": app("b", uses=["app/a"]), "c": app("c")}
    written = understand({f"{name}.yaml": text for name, text in texts.items()}, today=TODAY).release
    before = walk(written, site(18001), Assembly("process"))
    a, b, c = written.services
    assert again(before, written) == []
    assert again(before, replace(written, services=(a, b, replace(c, replicas=2)))) == ["app/c"]
    assert again(before, replace(written, services=(replace(a), b, c))) == ["app/a"], "equal documents may differ"
    assert again(before, replace(written, services=(a, c))) == ["app/a"], "its users have changed"
    assert again(before, written, port=18002) == ["app/b"]
