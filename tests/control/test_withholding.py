"""Values that `env()` has read are replaced by words in a template, and filled in when a process starts."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bateau.control.withholding import sealed
from bateau.domain.process import ProbePlan, ProbeTarget, ProcessTemplate

PLANTED = "tr0ub4dor-and-3"


def template(*command: str, **rest: str) -> ProcessTemplate:
    return ProcessTemplate(revision="r1", command=command, environment=rest)


def restored(found: ProcessTemplate) -> ProcessTemplate:
    def put(text: str) -> str:
        for key, value in found.withheld.items():
            text = text.replace(f"{{withheld:{key}}}", value or "")
        return text

    environment = {name: put(text) for name, text in found.environment.items()}
    return replace(found, command=tuple(map(put, found.command)), environment=environment, withheld={})


@pytest.mark.parametrize(
    "text",
    [PLANTED, f"--token={PLANTED}", f"postgres://u:{PLANTED}@db:{{port:http}}/x", f"/srv/{PLANTED}"],
)
def test_a_value_appears_nowhere_in_a_sealed_template(text: str) -> None:
    probe = ProbePlan(target=ProbeTarget(kind="http", address="127.0.0.1:{port:http}", path=text))
    given_ = replace(template("run", text, A=text, B="plain"), probe=probe, working_directory=text)
    found = sealed(given_, {"spec.env.A": PLANTED, "spec.replicas": 3})
    assert PLANTED not in repr(replace(found, withheld={}))
    assert found.environment["B"] == "plain"
    assert found.revision == "r1"
    assert found.is_complete


def test_a_part_of_a_value_is_withheld_as_well() -> None:
    found = sealed(template("vllm", "serve", f"org/{PLANTED}"), {"spec.source": f"hf://org/{PLANTED}"})
    assert PLANTED not in repr(found.command)


def test_a_key_names_the_field_and_has_neither_spaces_nor_braces() -> None:
    found = sealed(template(A=PLANTED, B=f"x{PLANTED}"), {"spec.env['A {b}']": PLANTED})
    assert found.environment == {"A": "{withheld:spec.env['A__b_']}", "B": "{withheld:spec.env['A__b_']'}"}


def test_a_value_that_contains_another_is_withheld_under_its_own_field() -> None:
    """`status` said that a replica waits for `spec.env.TOKEN'`."""
    found = sealed(
        template(TOKEN=PLANTED, URL=f"x-{PLANTED}"), {"spec.env.TOKEN": PLANTED, "spec.env.URL": f"x-{PLANTED}"}
    )
    assert found.environment == {"TOKEN": "{withheld:spec.env.TOKEN}", "URL": "{withheld:spec.env.URL}"}


def test_a_template_without_values_is_the_same_object() -> None:
    plain = template("run")
    assert sealed(plain, {}) is plain
    assert sealed(plain, {"spec.replicas": 2, "spec.env.A": ""}) is plain


_WORDS = st.text(alphabet="ab{}:/ port", max_size=12)


@given(st.lists(_WORDS, max_size=4), st.dictionaries(st.sampled_from("XYZ"), _WORDS), st.lists(_WORDS, max_size=3))
def test_with_its_words_replaced_again_it_is_what_it_was(
    command: list[str], environment: dict[str, str], values: list[str]
) -> None:
    given_ = template(*command, **environment)
    found = sealed(given_, {f"spec.command[{index}]": value for index, value in enumerate(values)})
    assert restored(found) == given_
