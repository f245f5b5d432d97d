"""More names of a model: each belongs to one model."""

from datetime import date

import pytest

from bateau.control.path import understand

MODEL = """\
apiVersion: bateau.dev/v1alpha1
kind: Model
metadata: {name: %s}
spec:
  source: smollm2
  servedNames: [%s]
"""


def problems(**models: str) -> list[str]:
    texts = {f"{name}.yaml": MODEL % (name, names) for name, names in models.items()}
    written = understand(texts, today=date(2026, 12, 1))
    return [f"{p.where.file if p.where else ''}:{p.where.line if p.where else 0} {p.says}" for p in written.problems]


def test_names_of_any_usual_form_are_accepted() -> None:
    assert problems(chat='gpt-4o-mini, Qwen/Qwen2.5-0.5B-Instruct, "llama3.2:1b", a@b+c_d', embed="x") == []


@pytest.mark.parametrize("name", ['""', "a b", "-x", "x/", '"é"', '"a\\nb"', f'"{"x" * 201}"', '"%"'])
def test_what_cannot_be_a_name_is_an_error_at_its_place(name: str) -> None:
    (says,) = problems(chat=f"good, {name}")
    assert says.startswith("chat.yaml:6 ")
    assert "cannot be the name of a model" in says


def test_a_name_belongs_to_one_model() -> None:
    assert problems(chat="gpt, embed", embed="gpt, other") == [
        "chat.yaml:6 model/chat serves the name embed, and so does model/embed",
        "embed.yaml:6 model/embed serves the name gpt, and so does model/chat",
    ]
    assert problems(chat="gpt, gpt, chat") == [
        "chat.yaml:6 model/chat serves the name gpt twice",
        "chat.yaml:6 model/chat serves the name chat twice",
    ]
