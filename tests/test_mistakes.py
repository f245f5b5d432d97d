"""Errors that users can make in specs: one file for each, with the exact message next to it."""

from datetime import date
from pathlib import Path

import pytest

from bateau.cli.problems import render
from bateau.control.path import understand
from bateau.domain.problem import Severity
from bateau.wiring.written import check_directory

TODAY = date(2026, 11, 24)
FOLDER = Path(__file__).parent / "mistakes"
TREES = FOLDER / "trees"
TEN = Path(__file__).parent / "ten_mistakes"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_mistake_has_its_message(path: Path, request: pytest.FixtureRequest):
    written = understand({path.name: path.read_text("utf-8", "surrogateescape")}, today=TODAY)
    actual = render(written.problems) + "\n"
    expected = path.with_suffix(".txt")
    if request.config.getoption("--accept"):
        expected.write_text(actual)
    assert expected.read_text() == actual
    assert written.problems


@pytest.mark.parametrize("path", sorted(each for each in TREES.iterdir() if each.is_dir()), ids=lambda path: path.name)
def test_a_mistake_that_shows_in_an_environment_has_its_message(path: Path, request: pytest.FixtureRequest):
    found = check_directory(path, starter=path.name.startswith("starter-"))
    actual = render(found.problems) + "\n"
    expected = path / "expected.txt"
    if request.config.getoption("--accept"):
        expected.write_text(actual)
    assert expected.read_text() == actual
    assert found.wrong


def test_ten_mistakes_in_five_files_are_all_reported_at_their_line_and_column():
    files = {path.name: path.read_text() for path in sorted(TEN.glob("*.yaml"))}
    assert len(files) == 5
    places = [
        str(problem.where) for problem in understand(files, today=TODAY).problems if problem.severity is Severity.ERROR
    ]
    # Each mistake is marked in its file by a comment at the end of the line: `# mistake COLUMN`.
    marked = [
        f"{name}:{number}:{line.rpartition('# mistake ')[2]}"
        for name, text in files.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if "# mistake " in line
    ]
    assert len(marked) == 10
    assert sorted(places) == sorted(marked)
