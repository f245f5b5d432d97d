"""The pins of one environment are promoted by the smallest edit."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bateau.kit.yaml_scalar import written
from bateau.sources.git.promotion import Promotion, Written, edit, promote

HEAD = "apiVersion: bateau.dev/v1alpha1\nkind: Environment\nmetadata: {name: %s}\nspec:\n"
STAGING = HEAD % "staging" + "  values:\n    shop: {image: 'shop:1.4.2', replicas: 1}\n    cart: {image: cart:9}\n"
PROD = HEAD % "prod" + (
    "  # what runs for customers\n"
    "  values:\n"
    "    shop:   # ask Ada\n"
    '      image:   "shop:1.4.1"   # pinned\n'
    "      replicas: 6\n"
    "\n"
    "    # the cart\n"
    "    cart: {image: cart:8}\n"
)


def promoted(staging: str = STAGING, prod: str = PROD, service: str | None = "shop") -> Promotion:
    source = Written(file="staging.yaml", text=staging, environment="staging")
    return promote(source, Written(file="prod.yaml", text=prod, environment="prod"), service=service)


def edited(text: str, **changes: Any) -> Promotion:
    paths = {name.replace("_", "."): value for name, value in changes.items()}
    return edit(Written(file="prod.yaml", text=HEAD % "prod" + text, environment="prod"), paths)


def test_only_the_pinned_value_of_the_service_changes():
    found = promoted()
    assert found.text == PROD.replace("shop:1.4.1", "shop:1.4.2")
    assert found.changes == ("values.shop.image: shop:1.4.1 -> shop:1.4.2",)
    assert found.left == ("values.shop.replicas stays 6 (staging has 1)",)


def test_without_a_service_all_are_promoted():
    assert promoted(service=None).text == PROD.replace("1.4.1", "1.4.2").replace("cart:8", "cart:9")


def test_what_is_equal_already_changes_nothing():
    once = promoted(service=None).text
    again = promoted(prod=once, service=None)
    assert (again.text, again.changes) == (once, ())


def test_a_patch_of_the_same_match_is_changed():
    patch = "  patches:\n    - match: {kind: App, name: shop}\n      set: {spec.image: shop:%s, spec.replicas: %d}\n"
    found = promoted(HEAD % "staging" + patch % ("2", 1), HEAD % "prod" + patch % ("1", 6))
    assert found.text == HEAD % "prod" + patch % ("2", 6)
    assert found.changes == ("patches[0].set['spec.image']: shop:1 -> shop:2",)


def test_a_pin_that_is_missing_is_added_below_its_neighbours():
    found = edited("  values:\n    shop:\n      replicas: 6  # six\n    # end\n", spec_values_shop_image="shop:2")
    assert found.text.endswith("    shop:\n      replicas: 6  # six\n      image: shop:2\n    # end\n")
    found = edited("  values: {shop: {replicas: 6}}", spec_values_shop_image="shop:2")
    assert found.text.endswith("  values: {shop: {replicas: 6, image: shop:2}}")
    found = edited("  after: [staging]", spec_values_shop_image="shop:2")
    assert found.text.endswith("  after: [staging]\n  values: {shop: {image: shop:2}}")


def test_other_documents_of_the_file_stay_as_they_are():
    other = "\ufeff# first\nkind: Environment\nmetadata: {name: other}\nspec: {values: {shop: {image: x}}}\n---\n"
    assert promoted(prod=other + PROD).text == other + PROD.replace("1.4.1", "1.4.2")


def test_windows_line_ends_are_kept():
    text = PROD.replace("\n", "\r\n")
    assert promoted(prod=text).text == text.replace("1.4.1", "1.4.2")


@pytest.mark.parametrize(
    ("prod", "says"),
    [
        ("  values: {a: &x shop:1, shop: {image: *x}}\n", "it is an alias, and other values would change too"),
        ("  values: {shop: {image: |\n      text\n  }}\n", "cannot begin with"),
        ("  values:\n    shop:\n      image: |\n        text\n", "it is a block of text"),
        ("  values: {shop: [1]}\n", "its parent is not a mapping"),
        ("  values: {shop: {}}\n", "the mapping around it is empty"),
    ],
)
def test_what_cannot_be_changed_safely_is_a_problem_and_the_text_stays(prod: str, says: str):
    found = promoted(prod=HEAD % "prod" + prod)
    assert found.text == HEAD % "prod" + prod
    assert any(says in problem.says for problem in found.problems), found.problems


def test_a_source_that_pins_nothing_says_where_a_pin_would_stand():
    found = promoted(staging=HEAD % "staging" + "  values: {}\n")
    assert found.unpinned is not None
    assert found.unpinned.says == "environment staging pins nothing of shop"
    assert found.text == PROD


def test_an_environment_that_is_not_in_the_file_is_a_problem():
    assert [each.says for each in promoted(prod="kind: App\n").problems] == [
        "there is no Environment prod in this file"
    ]


@given(st.text() | st.sampled_from(["y", "n", "on", "1e3", "0o17", "~", "1_000", "12:30", "0x1F", "", "=", "<<", "."]))
def test_any_string_comes_back_as_itself(text: str):
    for style in (None, "'", '"'):
        assert yaml.safe_load(f"[{written(text, style=style)}]") == [text]
        assert yaml.safe_load(f"a: {written(text, style=style)}\n") == {"a": text}


def test_a_neighbour_that_is_no_yaml_is_a_problem():
    found = promoted(prod=PROD + "---\na: [\n")
    assert [each.says for each in found.problems] == [
        "spec.values.shop.image cannot be changed: another document in the file is not valid YAML"
    ]
