"""Values in YAML text are set by the smallest edit."""

import pytest

from bateau.kit.yaml_edit import document_text, edited, without_document

TEXT = (
    "# what people chat with\n"
    "apiVersion: bateau.dev/v1alpha1\n"
    "kind: Model\n"
    "metadata: {name: chat}\n"
    "spec:\n"
    "  source: smollm2   # small\n"
    "  replicas: 1       # one is enough\n"
    "---\n"
    "kind: App\n"
    "metadata: {name: shop}\n"
    "spec: {command: [shop]}\n"
)


def test_only_the_value_changes():
    found = edited("chat.yaml", TEXT, ("Model", "chat"), {"spec.replicas": 2})
    assert found.text == TEXT.replace("replicas: 1 ", "replicas: 2 ")
    assert [(each.path, each.before, each.after) for each in found.changes] == [("spec.replicas", 1, 2)]


def test_a_missing_field_is_added_to_its_document():
    found = edited("chat.yaml", TEXT, ("App", "shop"), {"spec.replicas": 2})
    assert found.text == TEXT.replace("{command: [shop]}", "{command: [shop], replicas: 2}")
    found = edited("chat.yaml", TEXT, ("Model", "chat"), {"spec.scale.min": 1, "spec.scale.max": 3})
    assert "  replicas: 1       # one is enough\n  scale: {max: 3, min: 1}\n---\n" in found.text


@pytest.mark.parametrize("which", [("Model", "nobody"), ("App", "chat")])
def test_a_document_that_does_not_exist_is_a_flaw(which: tuple[str, str]):
    found = edited("chat.yaml", TEXT, which, {"spec.replicas": 2})
    assert (found.text, [each.says for each in found.flaws]) == (TEXT, ["there is no such document in this file"])


LICENCE = "# SPDX-License-Identifier: Apache-2.0\n"
CHAT = "# talks  \nkind: Model\nmetadata: {name: chat}\nspec:\n  text: |\n    ---\n"
SHOP = "kind: 'App' # sells\nmetadata:\n  name: shop\n\n# the end of the shop\n"
FEW = "kind: Policy\nmetadata: {name: few}"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("head", "chat"), [("", CHAT), ("\ufeff", CHAT), (LICENCE, f"---\n{CHAT}"), ("%YAML 1.2\n", f"---\n{CHAT}")]
)
def test_a_removed_document_leaves_every_other_byte(head: str, chat: str, newline: str):
    pieces = {("Model", "chat"): chat, ("App", "shop"): f"---\n{SHOP}", ("Policy", "few"): f"---\n{FEW}"}
    text = (head + "".join(pieces.values())).replace("\n", newline)
    for which in pieces:
        found = without_document("all.yaml", text, which)
        rest = head + "".join(piece for other, piece in pieces.items() if other != which)
        assert (found.text, found.flaws) == (rest.replace("\n", newline), ()), which


def test_the_last_document_leaves_nothing():
    assert (
        without_document("a.yaml", f"{LICENCE}---\n" + "kind: App\nmetadata: {name: shop}\n", ("App", "shop")).text
        == ""
    )


def test_a_document_that_cannot_be_read_stays():
    broken = "---\nkind: [\n"
    found = without_document("a.yaml", "kind: App\nmetadata: {name: shop}\n" + broken, ("App", "shop"))
    assert (found.text, found.flaws) == (broken, ())


@pytest.mark.parametrize(
    ("text", "which", "says"),
    [
        (TEXT, ("App", "nobody"), "the file has no documents of this kind and name"),
        (f"{TEXT}---\n{TEXT}", ("App", "shop"), "the file has 2 documents of this kind and name"),
        (
            '{"kind": "App", "metadata": {"name": "a"}}\n{"kind": "App", "metadata": {"name": "b"}}\n',
            ("App", "a"),
            "the format of the file does not allow its safe removal",
        ),
    ],
)
def test_a_document_that_cannot_be_removed_safely_stays(text: str, which: tuple[str, str], says: str):
    found = without_document("a.yaml", text, which)
    assert (found.text, [each.says for each in found.flaws]) == (text, [says])


def test_the_text_of_a_document_is_its_lines():
    text = f"{LICENCE}---\n{CHAT}---\r\n{SHOP}---\n{FEW}"
    for which, own in ((("Model", "chat"), CHAT), (("App", "shop"), SHOP), (("Policy", "few"), FEW)):
        assert document_text("all.yaml", text, which) == own
    assert document_text("all.yaml", text, ("App", "nobody")) is None
    assert document_text("all.yaml", f"{FEW}\n---\n{FEW}", ("Policy", "few")) is None
