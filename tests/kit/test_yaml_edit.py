"""Values in YAML text are set by the smallest edit."""

import pytest

from bateau.kit.yaml_edit import edited

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
