"""Where a finding is placed: at the field, else at the nearest thing that is known, and without a search."""

from bateau.domain.origin import LazyOrigins, Origin, overlaid, place
from bateau.kit.position import Position

NAME, FIELD, PATCH = (Position("a.yaml", line, 1) for line in (1, 5, 9))
ORIGINS = {
    "metadata.name": (Origin("written", NAME, "a"),),
    "spec.replicas": (Origin("default", None, 1),),
    "spec.ports[0].port": (Origin("written", FIELD, 80), Origin("rule", None, 80)),
}


class _Places:
    """Satisfies domain.origin.Places."""

    def at(self, path: str) -> Position:
        return FIELD if path else NAME

    def key_at(self, path: str) -> Position | None:
        return PATCH if path == "spec" else None


def _never() -> dict[str, tuple[Origin, ...]]:
    raise AssertionError("the chains were worked out")


def test_a_field_is_where_its_value_was_last_written() -> None:
    assert place(ORIGINS, "spec.ports[0].port") == FIELD


def test_a_mapping_is_where_its_first_field_is() -> None:
    assert place(ORIGINS, "spec.ports") == FIELD


def test_a_field_that_nobody_wrote_is_where_the_object_is() -> None:
    assert place(ORIGINS, "spec.replicas") == place(ORIGINS, "spec.nothing") == place(ORIGINS) == NAME


def test_places_answer_without_the_chains() -> None:
    origins = LazyOrigins(_never, _Places())
    assert (place(origins), place(origins, "spec"), place(origins, "spec", of_key=True)) == (NAME, FIELD, PATCH)
    assert place(origins, "spec.a", of_key=True) == FIELD


def test_a_patched_field_is_in_the_patch_and_the_others_are_not_worked_out() -> None:
    origins = overlaid(LazyOrigins(_never, _Places()), "spec.a", {"spec.a": (Origin("patch", PATCH, 1),)})
    assert (place(origins, "spec.a"), place(origins, "spec.b"), place(origins, "spec")) == (PATCH, FIELD, FIELD)


def test_a_value_that_a_rule_set_is_where_the_object_is() -> None:
    path = "metadata.namespace"
    origins = overlaid(ORIGINS, path, {path: (Origin("rule", None, "shop"),)})
    assert place(origins, path) == NAME
