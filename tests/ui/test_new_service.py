"""A form for a new service becomes a spec that reads as what was entered."""

from datetime import date

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bateau.control.path import understand
from bateau.domain.errors import ControlError
from bateau.ui.new_service import spec_text


def tree_of(**form: str) -> dict[str, object]:
    _, text = spec_text(form)
    return yaml.safe_load(text)["spec"]


def test_a_model_has_a_reason_for_each_field() -> None:
    name, text = spec_text({"kind": "Model", "name": "chat", "source": "smollm2", "replicas": "2"})
    assert name == "chat.yaml"
    assert text.splitlines()[-2:] == [
        "  source: smollm2  # a name in the catalogue, or where its file comes from",
        "  replicas: 2      # processes that share the requests",
    ]
    assert not understand({name: text}, today=date.max).wrong


def test_an_app_has_its_command_as_words() -> None:
    form = {"name": "shop", "command": "python3 'my app.py' --port ${ ports.http }", "uses": "model/chat, app/cart"}
    with pytest.raises(ControlError, match="choose a model or an app"):
        spec_text(form)
    form["command"] = "python3 'my app.py' --port '${ ports.http }'"
    tree = tree_of(kind="App", **form, number="8090", health="/healthz")
    assert tree == {
        "command": ["python3", "my app.py", "--port", "${ ports.http }"],
        "ports": {"http": {"protocol": "http", "port": 8090}},
        "health": {"path": "/healthz"},
        "uses": ["model/chat", "app/cart"],
    }


@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1), min_size=1, max_size=5))
def test_any_command_comes_back_as_itself(words: list[str]) -> None:
    import shlex

    assert tree_of(kind="App", name="shop", command=shlex.join(words))["command"] == words


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"name": "Shop"}, "cannot be the name of a service"),
        ({"name": "a\n  evil: 1"}, "cannot be the name of a service"),
        ({"name": "shop", "command": "'"}, "the command cannot be read"),
        ({"name": "shop", "command": ""}, "an app needs a command"),
        ({"name": "shop", "command": "x\ny"}, "has characters that a spec cannot have"),
        ({"name": "shop", "command": "x", "number": "99999"}, "number must be a whole number from 1 to 65,535"),
        ({"name": "shop", "command": "x", "health": "healthz"}, "is not a path"),
        ({"name": "shop", "command": "x", "port": "a: {b}"}, "cannot be the name of a port"),
    ],
)
def test_a_wrong_field_is_named(form: dict[str, str], says: str) -> None:
    with pytest.raises(ControlError, match=says):
        spec_text({"kind": "App", **form})
