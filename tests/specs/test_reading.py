"""The specs in files, and the positions of their fields."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from bateau.domain.problem import Severity
from bateau.kit.json_value import object_at
from bateau.kit.position import Position
from bateau.specs import json_schema, read

MODEL = """\
apiVersion: bateau.dev/v1alpha1
kind: Model
metadata:
  name: chat
  labels: {app.kubernetes.io/name: chat}
spec:
  source: smollm2
  resources:
    memory: 1Gi
"""


def test_every_written_field_knows_its_place():
    (spec,) = read({"a.yaml": MODEL}).specs
    assert spec.positions["metadata.name"] == Position("a.yaml", 4, 9)
    assert spec.positions["metadata.labels['app.kubernetes.io/name']"] == Position("a.yaml", 5, 36)
    assert spec.positions["spec.resources"] == Position("a.yaml", 9, 5)
    assert spec.positions["spec.resources.memory"] == Position("a.yaml", 9, 13)


def test_documents_of_other_programs_are_left_alone_and_counted():
    texts = {
        "k8s.yaml": "apiVersion: v1\nkind: ConfigMap\n---\napiVersion: apps/v1\nkind: Deployment\n",
        "template.yaml": "{{- if .Values.on }}\nkind: Service\n{{- end }}\n",
        "values.yaml": "replicas: 3\n",
        "list.yaml": "- a\n- b\n",
        "chat.yaml": MODEL,
    }
    reading = read(texts)
    assert reading.problems == ()
    assert reading.foreign == ("k8s.yaml", "k8s.yaml", "list.yaml", "template.yaml", "values.yaml")
    assert [spec.name for spec in reading.specs] == ["chat"]


@pytest.mark.parametrize("kind", ["App", "Model", "Environment", "Policy"])
def test_a_document_without_the_group_is_for_another_program(kind: str):
    """F18: Kyverno, Cilium and others have kinds of these names."""
    texts = {
        "a.yaml": f"kind: {kind}\nspec: {{a: b}}\n---\nkind: {kind}\nmetadata: {{}}\n",
        "b.yaml": f"apiVersion: example.org/v1\nkind: {kind}\nmetadata: {{name: a}}\n",
        "c.yaml": f"apiVersion: data.dev/v1\nkind: {kind}ish\nmetadata: {{name: a}}\n",
        "d.yaml": f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: a}}\n",
    }
    reading = read(texts)
    assert reading.problems == ()
    assert reading.foreign == ("a.yaml", "a.yaml", "b.yaml", "c.yaml", "d.yaml")


def test_a_document_whose_version_was_forgotten_is_a_warning():
    """F18."""
    (problem,) = read({"a.yaml": f"{MODEL}---\nkind: Policy\nmetadata: {{name: a}}\nspec: {{}}\n"}).problems
    assert problem.severity is Severity.WARNING
    assert str(problem.where) == "a.yaml:11:1"
    assert problem.says == "this Policy has no apiVersion, so it is not read as a spec"
    assert problem.hint is not None and ".bateauignore" in problem.hint


def test_a_misspelt_group_is_an_error():
    """F18."""
    for version in ("bateau.dv/v1alpha1", "batteau.dev/v1alpha1", "bateau.dev/v1", "Bateau.dev/v1alpha1"):
        (problem,) = read({"a.yaml": MODEL.replace("bateau.dev/v1alpha1", version)}).problems
        assert problem.severity is Severity.ERROR
        assert problem.hint == "use `bateau.dev/v1alpha1`"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a: 1\n".encode("utf-16"), "the file is UTF-16, so it is not read"),
        ("a: é\n".encode("utf-16-be"), "the character U+0000 is not allowed in YAML, so the file is not read"),
        ("a: é\n".encode("latin-1"), "the byte 0xE9 is not UTF-8, so the file is not read"),
        (b"\x1f\x8b\x08\0binary", "the character U+001F is not allowed in YAML, so the file is not read"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
            "the file is a pointer of Git LFS, so it is not read",
        ),
    ],
)
def test_a_file_that_is_not_text_is_a_warning_unless_it_names_the_group(content: bytes, says: str):
    """F18: test data deep in the repository of another program stopped everything."""
    (problem,) = read({"x/data.yaml": content.decode("utf-8", "surrogateescape"), "chat.yaml": MODEL}).problems
    assert (problem.says, problem.severity) == (says, Severity.WARNING)
    assert problem.hint is not None and ".bateauignore" in problem.hint


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_file_that_is_not_text_and_names_the_group_is_an_error(encoding: str):
    text = MODEL.replace("smollm2", "é")
    (problem,) = read({"chat.yaml": text.encode(encoding).decode("utf-8", "surrogateescape")}).problems
    assert problem.severity is Severity.ERROR


def test_a_broken_file_that_speaks_of_us_is_a_problem():
    (problem,) = read({"a.yaml": "apiVersion: bateau.dev/v1alpha1\nkind: [\n"}).problems
    assert problem.severity is Severity.ERROR


def test_a_spec_with_a_mistake_is_not_among_the_specs_but_can_be_referred_to():
    app = "apiVersion: bateau.dev/v1alpha1\nkind: App\nmetadata: {name: shop}\n"
    texts = {"a.yaml": MODEL.replace("source", "sourc"), "b.yaml": app + "spec: {command: [x], uses: [model/chat]}\n"}
    reading = read(texts)
    assert [spec.name for spec in reading.specs] == ["shop"]
    assert {problem.where.file for problem in reading.problems if problem.where} == {"a.yaml"}


def test_words_of_yaml_1_1_stay_strings():
    (spec,) = read({"a.yaml": MODEL + "  env: {A: y, B: on, C: 'no', D: '3'}\n"}).specs
    assert object_at(spec.tree, "spec", "env") == {"A": "y", "B": "on", "C": "no", "D": "3"}


def test_a_mapping_that_is_merged_is_read():
    text = MODEL.replace("spec:\n", "spec:\n  <<: {parallel: 2, replicas: 5}\n  replicas: 1\n")
    (spec,) = read({"a.yaml": text}).specs
    assert (spec.fields["parallel"], spec.fields["replicas"]) == (2, 1)


def test_what_comes_back_from_a_cluster_can_be_read():
    text = MODEL.replace("  name: chat\n", "  name: chat\n  uid: x\n  generation: 2\n") + "status: {ready: 1}\n"
    assert read({"a.yaml": text}).problems == ()


def test_a_huge_file_is_one_problem():
    (problem,) = read({"a.yaml": MODEL + "#" * 2**20}).problems
    assert "more than 1,048,576 characters are not read" in problem.says


@given(st.dictionaries(st.sampled_from(["a.yaml", "b.yaml"]), st.text(max_size=200)))
def test_no_text_raises(texts: dict[str, str]):
    read(texts)


@given(st.data())
def test_no_mutation_of_a_spec_raises(data: st.DataObject):
    text = "apiVersion: bateau.dev/v1alpha1\n" + MODEL
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 12))
    inserted = data.draw(st.text(alphabet="{}[]:-#&*!|>'\"%@` \n\t~0x", max_size=6))
    reading = read({"a.yaml": text[:at] + inserted + text[at + cut :]})
    assert all(problem.where is None or problem.where.line >= 1 for problem in reading.problems)


@given(st.permutations(["a.yaml", "b.yaml", "c.yaml"]))
def test_the_order_of_files_does_not_matter(order: list[str]):
    texts = {"a.yaml": MODEL, "b.yaml": MODEL, "c.yaml": "apiVersion: bateau.dev/v1alpha1\nkind: Modle\n"}
    assert read({name: texts[name] for name in order}) == read(texts)


def test_the_json_schema_is_one_and_accepts_what_the_reader_accepts():
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    validator: Any = Draft202012Validator(schema)
    document = {
        "apiVersion": "bateau.dev/v1alpha1",
        "kind": "Model",
        "metadata": {"name": "chat"},
        "spec": {"source": "smollm2", "replicas": "${ values.n }", "resources": {"memory": "1Gi"}},
    }
    assert list(validator.iter_errors(document)) == []
    assert list(validator.iter_errors({**document, "spec": {"sourc": "x"}}))
