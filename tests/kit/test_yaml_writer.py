"""Every parser reads the written values back: PyYAML, its C loader, ruamel.yaml and kubectl."""

import io
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from bateau.kit.yaml_writer import write, write_document

# What other writers have lost, one after another.
NASTY = (
    *("y", "n", "Y", "N", "on", "off", "On", "OFF", "yes", "no", "Yes", "NO", "true", "false", "True", "FALSE"),
    *("null", "Null", "NULL", "~", "", " ", "  ", "1", "-1", "+1", "0", "007", "1e3", "1E3", "1.5", ".5", "5.", "-0.0"),
    *(
        "0o17",
        "017",
        "0x1F",
        "0b101",
        "1_000",
        "12:30",
        "1:2:3",
        "190:20:30.15",
        ".inf",
        "-.inf",
        "+.INF",
        ".nan",
        ".NaN",
    ),
    *(
        "inf",
        "nan",
        "infinity",
        "2001-01-01",
        "2001-12-14t21:59:43.10-05:00",
        "1.2.3",
        "v1.2.3",
        "=",
        "<<",
        "!",
        "!!str x",
    ),
    *(
        "-",
        "--",
        "---",
        "...",
        "- a",
        "? a",
        "?",
        ":",
        "a:",
        "a: b",
        "a:b",
        ": a",
        "#",
        "# a",
        "a #b",
        "a#b",
        "&a",
        "*a",
    ),
    *(
        "%YAML 1.2",
        "@a",
        "`a`",
        "'",
        "''",
        "'a'",
        '"',
        '""',
        '"a"',
        "\\",
        "\\n",
        "a\\",
        "|",
        ">",
        "|-",
        ">-",
        "[",
        "]",
        "{",
    ),
    *("}", "[a]", "{a: b}", ",", "a, b", " a", "a ", "\ta", "a\t", "\t", "a\tb", "\n", "a\n", "\na", "a\nb", "a\nb\n"),
    *(
        "a\n\nb",
        "a\n\n",
        "a\n\n\n",
        "\n\n",
        " a\nb",
        "a\n b",
        "a \nb",
        "a\n \nb",
        "a\n\tb",
        "a\tb\nc",
        "#!/bin/sh\nset -e\n",
    ),
    *(
        "a\r\nb",
        "a\rb",
        "\r",
        "a\n---\nb",
        "---\na: b\n",
        "- a\n- b\n",
        "a: b\nc: d",
        "key: |\n  x\n",
        "\x85",
        "a\x85b",
        "\xa0",
    ),
    *(
        "a\u2028b",
        "\u2029",
        "\ufeff",
        "a\ufeffb",
        "\0",
        "\x07",
        "\x1b[0m",
        "\x7f",
        "é",
        "日本語",
        "🚢",
        "a🚢\nb",
        "\u200eb",
    ),
    *(
        "\xad",
        "\ue000",
        "\ufffd",
        "\U0010ffff",
        "a" * 2000,
        "a b " * 500,
        "x" * 200 + "\n" + "y z " * 300,
        "{port:http}",
    ),
    *(
        "${ values.x }",
        "{{ .Values.x }}",
        "$(VAR)",
        "nginx:1.27",
        "http://a.b:80/c?d=e#f",
        "100m",
        "2Gi",
        "a/b",
        "/healthz",
    ),
)


def _ruamel(text: str) -> Any:
    reader: Any = YAML(typ="safe", pure=True)
    return reader.load(io.StringIO(text))


READERS: dict[str, Callable[[str], Any]] = {
    "PyYAML": lambda text: yaml.load(text, yaml.SafeLoader),
    "libyaml": lambda text: yaml.load(text, yaml.CSafeLoader),
    "ruamel": _ruamel,
}
READER = pytest.mark.parametrize("read", READERS.values(), ids=READERS)


@READER
def test_nasty_strings_come_back_as_values_keys_items_and_documents(read: Callable[[str], Any]) -> None:
    tree = {
        "values": {f"k{index}": text for index, text in enumerate(NASTY)},
        "keys": dict.fromkeys(NASTY, 1),
        "items": list(NASTY),
        "deep": [[{"a": [text, {text: text}]}] for text in NASTY],
    }
    assert read(write_document(tree)) == tree
    assert [read(write_document(text)) for text in NASTY] == list(NASTY)


@READER
def test_other_values_keep_their_types(read: Callable[[str], Any]) -> None:
    tree: dict[str, Any] = {
        "numbers": [0, -1, 10**18, 0.1, 1.0, 1e16, 1e-7, -2.5e300, 5e-324, math.inf, -math.inf],
        "rest": [True, False, None, {}, [], [[]], [{}], {"a": {}}, [[1, 2], [3]], {"a": [[{"b": None}]]}],
        "long key " * 30: {"a": [1]},
        "long key! " * 30: "multi\nline\n",
        "longer " * 40: [1, {"b": 2}],
    }
    back = read(write_document(tree))
    assert back == tree
    assert list(map(type, back["numbers"])) == list(map(type, tree["numbers"]))
    assert math.isnan(read(write_document([math.nan]))[0])


_TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
    | st.text() | st.text("ab \n\t:#-|>'\"\\é\x85", max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(tree=_TREES)
def test_any_tree_comes_back(tree: Any) -> None:
    text = write_document(tree)
    assert [read(text) for read in READERS.values()] == [tree] * len(READERS)


def test_documents_follow_one_another() -> None:
    documents = [{"a": "b\n"}, "x", [1], {}]
    assert list(yaml.safe_load_all(write(documents))) == documents


def test_scripts_stay_readable() -> None:
    assert write_document({"run": "set -e\n\necho hi\n"}) == "run: |\n  set -e\n\n  echo hi\n"


def test_half_a_character_is_refused() -> None:
    with pytest.raises(ValueError, match="half of a surrogate pair"):
        write_document({"a": "\ud83d"})


def test_what_is_no_plain_tree_is_refused() -> None:
    tree: dict[str, Any] = {"a": {1}}
    with pytest.raises(TypeError, match="set is not allowed"):
        write_document(tree)


def test_kubectl_reads_the_same_strings(tmp_path: Path) -> None:
    kubectl = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    data = {f"k{index}": text for index, text in enumerate(NASTY)}
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "nasty", "annotations": {f"a{index}": text for index, text in enumerate(NASTY)}},
        "data": data,
    }
    (tmp_path / "nasty.yaml").write_text(write([manifest]), encoding="utf-8")
    command = [kubectl, "patch", "--local", "-f", str(tmp_path / "nasty.yaml"), "-p", "{}", "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["data"] == data
