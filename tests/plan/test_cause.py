"""The place that a plan names for an edit: the step of the chain that changed."""

from bateau.domain.origin import Origin
from bateau.kit.position import Position
from bateau.plan import compare
from bateau.plan.cause import cause_of
from plan.objects import manifest, thing

AT = Position("values.yaml", 3, 7)
TEMPLATE = Position("templates/x.yaml", 9, 1)


def of_chart(tag: str, level: str = "info") -> tuple[Origin, ...]:
    return (
        Origin("value", AT, tag, "depends on tag"),
        Origin("value", Position("app.yaml", 7, 1), level, "depends on spec.chart.values.level"),
        Origin("foreign", TEMPLATE, f"shop:{tag}-{level}", "template"),
    )


def test_f25_of_a_template_it_is_the_value_that_changed() -> None:
    """F25: the right column named the template's line, which nobody had edited."""
    assert cause_of(of_chart("2"), of_chart("1")) == 0
    assert cause_of(of_chart("1", "debug"), of_chart("1")) == 1
    assert cause_of(of_chart("1"), of_chart("1")) == 2, "no value changed, so the template did"
    assert cause_of(of_chart("1")[2:], ()) == 0


def test_a_later_patch_is_the_cause_whatever_the_chart_says() -> None:
    patch = Origin("patch", Position("prod.yaml", 4, 1), "shop:9", "patch of prod")
    assert cause_of((*of_chart("2"), patch), of_chart("1")) == 3


def test_without_places_it_is_the_last_step() -> None:
    assert cause_of((Origin("default", None, 1), Origin("rule", None, 2)), ()) == 1
    assert cause_of((Origin("written", AT, 1), Origin("rule", None, 2)), ()) == 0
    assert cause_of((), ()) is None


def test_a_search_that_ended_early_says_nothing_in_a_plan() -> None:
    """F25: "84 values were not tried" was another number in every run, and so the comment was another one."""
    early = Origin("foreign", None, None, "the search ended early")
    sides = [
        manifest(thing("c", data={"k": tag}), origins={"data.k": (*doubt, *of_chart(tag))})
        for tag, doubt in (("1", ()), ("2", (early,)))
    ]
    (fold,) = compare([sides[1]], [sides[0]]).folds
    assert fold.origins == (of_chart("2")[0],)


def test_the_cause_of_an_edit_of_a_secret_shows_no_value() -> None:
    chains = [
        {"data.k": (Origin("value", AT, tag, f"depends on {tag}"), Origin("foreign", TEMPLATE, tag))} for tag in "ab"
    ]
    before, after = (
        manifest(thing("s", "Secret", data={"k": value}), origins=chain)
        for value, chain in zip(("YQ==", "Yg=="), chains, strict=True)
    )
    ((edit,),) = [change.fields for change in compare([after], [before]).changes]
    assert edit.cause is not None
    assert (edit.cause.at, edit.cause.value, edit.cause.says) == (AT, "(secret)", None)
