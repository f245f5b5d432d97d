"""Patterns of an ignore file: what Git ignores is ignored, whatever the patterns are."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bateau.kit.ignore_patterns import IgnorePatterns

FOLDERS = ("", "a/", "b/", "a/b/", "foo/", "foo/a/", "foo/a/b/", "x y/")
NAMES = ("a.yaml", "foo.yaml", "x y.yaml", "[z].yaml", "#h.yaml", "!b.yaml", "d-1.yaml", "B.yaml", "a")
FILES = [f"{folder}{name}" for folder in FOLDERS for name in NAMES if f"{folder}{name}" not in {"a", "foo/a"}]
PARTS = st.sampled_from(
    ["a", "b", "foo", "*", "**", "*.yaml", "f*", "?", "[ab]", "[!a]", "[^a-c]*", "x y", "x\\ y.yaml", "\\[z]*",
     "\\#h.yaml", "\\!b.yaml", "[z]*", "a**", "[[:upper:]]*", "[]-a]", "[[]z*", "d[--0]1.yaml", "*a*"]
)  # fmt: skip


# `a**` only ends a pattern: git before 2.41 compares unrelated pointers for `a**/b` ("wildmatch: avoid undefined
# behavior"), and its answer changes from run to run.
def pattern(negated: str, root: str, parts: list[str], tail: str) -> str:
    return negated + root + "/".join(["a*" if part == "a**" else part for part in parts[:-1]] + parts[-1:]) + tail


PATTERNS = st.builds(
    pattern,
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "", "/"]),
    st.lists(PARTS, min_size=1, max_size=3),
    st.sampled_from(["", "", "/", "  ", "\\ ", "\r"]),
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("ignore")
    subprocess.run(["git", "init", "-q", top], check=True)
    for name in FILES:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).touch()
    return top


def kept(text: str) -> Iterator[str]:
    patterns = IgnorePatterns(text)
    for name in FILES:
        folders = [name[:at] for at, character in enumerate(name) if character == "/"]
        if not any(patterns.excludes(each, directory=True) for each in folders) and not patterns.excludes(name):
            yield name


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PATTERNS, min_size=1, max_size=5))
def test_the_same_files_are_ignored_as_by_git(repository: Path, patterns: list[str]) -> None:
    """F18: whoever writes `.bateauignore` knows the rules from `.gitignore`."""
    text = "\n".join(patterns) + "\n"
    (repository / ".gitignore").write_text(text, newline="")
    command = ["git", "ls-files", "-z", "--others", "--exclude-standard", "--", ".", ":!.gitignore"]
    done = subprocess.run(command, cwd=repository, capture_output=True, check=True)
    assert sorted(kept(text)) == sorted(done.stdout.decode().split("\0")[:-1])


def test_a_mark_of_byte_order_and_comments_are_no_patterns() -> None:
    patterns = IgnorePatterns("\ufeff# a comment\n\n  \n/\n!\na\\\nb\r\n")
    assert [patterns.excludes(name) for name in ("# a comment", "a", "a\\", "b")] == [False, False, False, True]


def test_no_pattern_takes_long() -> None:
    text = "*a" * 40 + "*b\n" + "/" + "**/a/" * 40 + "b\n"
    started = time.process_time()
    assert not IgnorePatterns(text).excludes("/".join(["a"] * 400 + ["a" * 255]))
    assert time.process_time() - started < 1
