"""What the documents say is there, is there."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest

from bateau.cli.group import bateau
from bateau.domain.problem import Severity
from bateau.specs import explain_field, read
from docs.pages import ROOT, Block, anchors, blocks, commands, links, pages, prose

PAGES = pages()
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
SPEC_BLOCKS = [b for page in PAGES for b in blocks(page) if b.language == "yaml" and "bateau.dev/" in b.text]
COMMAND_LINES = sorted({line for page in PAGES for block in blocks(page) for line in commands(block)})
INLINE_COMMANDS = sorted(
    {found for page in PAGES for found in re.findall(r"`(bateau [^`]+)`", prose(page)) if "..." not in found}
)
EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if path.is_dir())


@EVERY_PAGE
def test_links_lead_to_files_and_headings_that_exist(page: Path):
    broken: list[str] = []
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@EVERY_PAGE
def test_no_page_has_an_open_placeholder(page: Path):
    assert re.findall(r"@@\w*|\bTODO\b|\bFIXME\b|\bXXX\b", page.read_text()) == []


@pytest.mark.parametrize("block", SPEC_BLOCKS, ids=str)
def test_specs_in_documents_have_no_mistake(block: Block):
    reading = read({"block.yaml": block.text})
    assert [problem.says for problem in reading.problems if problem.severity is Severity.ERROR] == []
    assert reading.specs


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.name)
def test_examples_have_neither_mistakes_nor_warnings(folder: Path):
    reading = read({path.name: path.read_text() for path in folder.rglob("*.yaml")})
    assert [problem.says for problem in reading.problems] == []
    assert reading.specs


@pytest.mark.parametrize(
    "name", ["README.md", "docs/how-to/app.md", "docs/how-to/replicas.md", "docs/how-to/other-engines.md"]
)
def test_an_example_that_a_page_shows_is_the_example(name: str):
    shown = next(block.text for block in blocks(ROOT / name) if "bateau.dev/" in block.text)
    examples = [path.read_text() for folder in EXAMPLES for path in folder.glob("*.yaml")]
    assert _trees(shown) in [_trees(text) for text in examples]


def _trees(text: str) -> list[Mapping[str, Any]]:
    return [spec.tree for spec in read({"page.yaml": text}).specs]


@pytest.mark.parametrize("line", [*COMMAND_LINES, *INLINE_COMMANDS])
def test_commands_exist_with_the_options_that_are_named(line: str):
    for words in _calls_of_bateau(line):
        _check_options(words)


def _calls_of_bateau(line: str) -> list[list[str]]:
    """Split at what a shell would split at, and return the words after each `bateau`."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&<>")
    lexer.whitespace_split = True
    calls: list[list[str]] = []
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set("|;&<>"):
            # Assignments for one command stand before its name.
            while words and re.match(r"\w+=", words[0]):
                words.pop(0)
            if words and words[0] == "bateau":
                calls.append(words[1:])
            words = []
        else:
            words.append(word)
    return calls


def _check_options(words: list[str]) -> None:
    command: click.Command = bateau
    context = click.Context(command, info_name="bateau", **bateau.context_settings)
    for word in words:
        if word.startswith("-"):
            known = {opt for param in command.get_params(context) for opt in (*param.opts, *param.secondary_opts)}
            assert word.partition("=")[0] in known, f"{context.command_path} has no option {word}"
        elif isinstance(command, click.Group):
            # COMMAND and the like stand for any word.
            found = command.get_command(context, word)
            assert found is not None, f"{context.command_path} has no command {word}"
            command, context = found, click.Context(found, parent=context, info_name=word)


def test_fields_that_documents_explain_exist():
    found = {
        w for page in PAGES for w in re.findall(r"explain ((?:Model|App|Environment|Policy)[\w.]*)", page.read_text())
    }
    assert found
    for subject in sorted(found):
        explain_field(subject)


def test_the_code_map_names_what_exists_and_every_package():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"`((?:src|docs|tests|bench|examples)(?:/[\w./-]+)?|pyproject\.toml)`", text))
    assert sorted(path for path in named if not (ROOT / path).exists()) == []
    packages = {path.parent.relative_to(ROOT) for path in (ROOT / "src/bateau").glob("*/__init__.py")}
    assert sorted(str(path) for path in packages if str(path) not in named) == []


def test_the_architecture_fits_on_two_pages():
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 120


def test_decisions_are_numbered_without_a_gap_and_say_what_was_refused():
    files = sorted((ROOT / "docs/decisions").glob("0*.md"))
    assert [int(path.name[:4]) for path in files] == list(range(1, len(files) + 1))
    for path in files:
        text = path.read_text()
        assert text.startswith(f"# {path.name[:4]} "), path.name
        for word in ("**Chosen.**", "**Why.**", "**Refused.**"):
            assert word in text, f"{path.name}: {word}"


def test_every_environment_variable_in_the_documents_is_read_somewhere():
    named = {w for page in PAGES for w in re.findall(r"`(BATEAU_[A-Z]+|HF_[A-Z_]+|NO_COLOR)`", page.read_text())}
    source = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    assert sorted(name for name in named if name not in source and not name.startswith("BATEAU_NAME_")) == []


def test_the_changelog_names_the_version():
    from bateau import __version__

    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text()
