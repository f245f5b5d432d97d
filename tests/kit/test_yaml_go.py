"""Unquoted scalars mean to us what they mean to kubectl and to kustomize: both are asked."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bateau.kit.json_value import object_at
from bateau.kit.yaml_go import KUBECTL, KUSTOMIZE, is_ambiguous, kubectl_scalar
from bateau.kit.yaml_tree import plain_scalar, read_documents
from sources.foreign.programs import kubectl

WORDS = (
    *("y", "Y", "yes", "Yes", "YES", "yEs", "on", "On", "ON", "oN", "n", "N", "no", "No", "NO", "off", "Off", "OFF"),
    *("true", "True", "TRUE", "tRUE", "false", "False", "FALSE", "null", "Null", "NULL", "nULL", "~"),
    *("0644", "017", "08", "0o17", "0O17", "0o8", "0x1F", "0X1f", "-0x1F", "+0x1F", "0b11", "-0b11", "0b", "0x", "0o"),
    *("1_000", "1__0", "1_", "_1", "0_7", "0x_1f", "0_o17", ".5_0", "12:30", "12:30:45", "190:20:30.15"),
    *("1e3", "1E3", "1e+3", "1.e3", "1.0", "1.50", ".5", "5.", "0.", "0.1e-7", "6.02e23", "1e400", "-0", "+12", "-0.0"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775808", "12345678901234567890", "1e20"),
    *("123456789012345678901234567890", "2024-01-01x", "=", ".", "+", "1.2.3", "v1", "1 000", "1e", "e3"),
)

HEAD = "apiVersion: example.com/v1\nkind: Words\nmetadata: {name: words}\n"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("words") / "words.yaml"
    lines = [f"  k{index}: {word}\n" for index, word in enumerate(WORDS)]
    path.write_text(f"{HEAD}values:\n{''.join(lines)}")
    (path.parent / "kustomization.yaml").write_text("resources: [words.yaml]\n")
    return path


def run(manifest: Path, *arguments: str) -> str:
    environ = {"HOME": str(manifest.parent), "PATH": os.environ["PATH"]}
    done = subprocess.run([kubectl(), *arguments], capture_output=True, text=True, env=environ, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_kubectl_reads_what_we_read(manifest: Path) -> None:
    theirs = json.loads(run(manifest, "annotate", "--local", "-f", str(manifest), "a=b", "-o", "json"))
    (ours,), _ = read_documents("words.yaml", manifest.read_text(), dialect=KUBECTL)
    assert named(object_at(ours.tree, "values")) == named(theirs["values"])


def test_kubectl_makes_strings_of_keys_as_we_do(tmp_path: Path) -> None:
    keys = tmp_path / "keys.yaml"
    keys.write_text(f"{HEAD}values: {{on: x, 8080: x, 0644: x, text: x, 1.5: x, False: x}}\n")
    theirs = json.loads(run(keys, "annotate", "--local", "-f", str(keys), "a=b", "-o", "json"))
    (ours,), _ = read_documents("keys.yaml", keys.read_text(), dialect=KUBECTL)
    assert object_at(ours.tree)["values"] == theirs["values"]
    (ours,), _ = read_documents("keys.yaml", keys.read_text(), dialect=KUSTOMIZE)
    assert {flaw.says for flaw in ours.flaws} == {
        f"the key `{key}` is not a string" for key in ("8080", "0644", "1.5", "False")
    }


def test_kustomize_reads_what_we_read(manifest: Path) -> None:
    (theirs,), _ = read_documents("out.yaml", run(manifest, "kustomize", str(manifest.parent)), dialect=KUBECTL)
    (ours,), _ = read_documents("words.yaml", manifest.read_text(), dialect=KUSTOMIZE)
    assert named(object_at(ours.tree, "values")) == named(object_at(theirs.tree, "values"))


@pytest.mark.parametrize("block", ["|", "|-", "|+", ">", ">-", "|2"])
@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\r\n"])
def test_a_block_at_the_end_of_a_file_is_read_as_they_read_it(tmp_path: Path, block: str, end: str) -> None:
    """F24: kubectl ends the last line of a file, kustomize does not."""
    path = tmp_path / "block.yaml"
    text = f"{HEAD}values:\n  a: {block}\n    one\n    two{end}"
    path.write_text(text, newline="")
    (tmp_path / "kustomization.yaml").write_text("resources: [block.yaml]\n")
    theirs = json.loads(run(path, "annotate", "--local", "-f", str(path), "a=b", "-o", "json"))
    (ours,), _ = read_documents("block.yaml", text, dialect=KUBECTL)
    (specs,), _ = read_documents("block.yaml", text)
    assert object_at(ours.tree)["values"] == object_at(specs.tree)["values"] == theirs["values"]
    (built,), _ = read_documents("out.yaml", run(path, "kustomize", str(tmp_path)), dialect=KUBECTL)
    (ours,), _ = read_documents("block.yaml", text, dialect=KUSTOMIZE)
    assert object_at(ours.tree)["values"] == object_at(built.tree)["values"]


@pytest.mark.parametrize("word", [".inf", "-.Inf", "+.INF", ".nan"])
def test_what_json_has_no_number_for_comes_out_as_that_float(word: str) -> None:
    assert isinstance(kubectl_scalar(word), float)


def named(values: dict[str, Any]) -> dict[str, Any]:
    """Name each value by the word it was written as, with its type: True is not 1. Floats of JSON hold 53 bits."""
    words = {WORDS[int(key[1:])]: value for key, value in values.items()}
    return {word: (type(value), value) if _small(value) else float(value) for word, value in words.items()}


def _small(value: Any) -> bool:
    return not isinstance(value, int | float) or abs(value) < 2**63


@given(st.text(alphabet="-+.0123456789_xXoObBeEinfaNyYoOtTrRuUlL~ ", max_size=8))
def test_a_scalar_that_is_not_ambiguous_means_the_same_in_yaml_1_2(text: str) -> None:
    """F6: what passes in a spec is what kubectl and Helm read."""
    here, there = plain_scalar(text), kubectl_scalar(text)
    same = here == there and isinstance(here, bool | str) == isinstance(there, bool | str)
    assert is_ambiguous(text) == (not same)
