"""The house rules as tests: imports, docstrings, sizes, and the modules that `--help` must not load."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from callers import wrong_callers
from named_tests import faults_without_a_test, missing_tests, unheld_invariants, wrong_names
from prose import NOT_YET, areas

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src/bateau"
MODULES = sorted(SOURCE.rglob("*.py"))
LINES_MAX = 400
ANY_PER_1000_LINES_MAX = 12
HEAVY = ("aiohttp", "cel_expr_python", "grpc", "psutil")


def test_the_import_contracts_hold() -> None:
    done = _lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("plan/rolling.py", "import asyncio", "Pure stages do no I/O"),
        ("control/loop.py", "import bateau.runtimes.local", "Only wiring knows the concrete adapters"),
        ("place/capacity.py", "import bateau.hydrate", "Pure stages are independent"),
        ("domain/replica.py", "import bateau.ports.clock", "Faces > wiring > control"),
        ("shiny/__init__.py", "", "Faces > wiring > control"),
    ],
)
def test_a_planted_import_breaks_its_contract(tmp_path: Path, file: str, line: str, contract: str) -> None:
    shutil.copytree(SOURCE, tmp_path / "src/bateau", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    planted = tmp_path / "src/bateau" / file
    planted.parent.mkdir(exist_ok=True)
    text = planted.read_text() if planted.exists() else '"""A package that no contract knows."""\n'
    planted.write_text(f"{text}\n{line}\n")
    done = _lint_imports(tmp_path)
    assert done.returncode != 0
    assert contract in done.stdout + done.stderr


def test_every_invariant_names_the_tests_that_hold_it() -> None:
    found = {
        str(module.relative_to(ROOT)): list(unheld_invariants(ast.parse(module.read_text()))) for module in MODULES
    }
    assert {file: each for file, each in found.items() if each} == {}


def test_every_invariant_of_the_architecture_names_the_tests_that_hold_it() -> None:
    section = (ROOT / "ARCHITECTURE.md").read_text().partition("## Invariants")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    assert rows
    assert [row for row in rows if "tests/" not in row] == []
    assert list(missing_tests(section)) == []


@pytest.mark.parametrize(
    ("end", "finding"),
    [
        ("", "does not end with"),
        ("Held by tests/test_house.py; see there.", "does not end with"),
        ("Held by tests/test_gone.py.", "does not exist"),
        ("Held by tests/test_house.py::test_gone.", "has no function test_gone"),
        (
            "Held by tests/test_house.py,\ntests/prose.py and\ntests/test_house.py::test_help_loads_nothing_heavy.",
            "",
        ),
    ],
)
def test_an_invariant_that_no_test_holds_is_found(end: str, finding: str) -> None:
    docstring = f"A thing.\n\nInvariant: it stays. {end}\nRefused: another."
    found = list(unheld_invariants(ast.parse(f'"""{docstring}"""')))
    assert [finding in each for each in found] == ([True] if finding else [])


def test_called_by_names_the_modules_that_import_it() -> None:
    """The form of the sentence is in tests/callers.py; a failure shows the sentence to write."""
    found = {
        name: wrong_callers(name, ast.get_docstring(ast.parse(module.read_text())) or "")
        for module in MODULES
        for name in [".".join(module.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")]
    }
    assert {name: each for name, each in found.items() if each} == {}


@pytest.mark.parametrize(
    ("docstring", "finding"),
    [
        ("Roll back.\n\nCalled by control.desired, control.path and wiring.", "control.path does not import it"),
        ("Roll back.\n\nCalled by control.desired.", "imports it, too; write: Called by"),
        ("Roll back.\n\nCalled by the faces through wiring.", "is not a list of modules and packages"),
        ("Roll back.\n\nMade by wiring, called by control.", "is not a list of modules and packages"),
        ("Roll back.\n\nCalled by api, control, ui, wiring (twice) and the docs.", "it is not imported by the docs"),
        ("Roll back.\n\nCalled by api, control (at\nevery turn), ui and wiring. Pure.", None),
        ("Roll back.", None),
    ],
)
def test_a_wrong_caller_is_found(docstring: str, finding: str | None) -> None:
    found = wrong_callers("control.rollback", docstring)
    assert found is None if finding is None else finding in (found or "")


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_says_what_it_is_for_and_stays_small(module: Path) -> None:
    text = module.read_text()
    if not text:
        return  # a package that holds nothing but its modules
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "the module has no docstring"
    tables = [each for each in tree.body if isinstance(each, ast.Assign | ast.AnnAssign)]
    in_tables = sum((each.end_lineno or 0) - each.lineno + 1 for each in tables)
    assert len(text.splitlines()) - in_tables <= LINES_MAX, "only a flat table may be long"
    assert not re.search(r"#.*\b(TODO|FIXME|XXX)\b", text)
    silenced = re.findall(r"#\s*(?:noqa|type: ignore|pyright: ignore)(?![\[:]\s*\w)", text)
    assert not silenced, "what is silenced is named"


def test_any_switches_off_the_type_checker_in_few_lines_only() -> None:
    """`kit.json_value` has the types of trees; `Any` is for libraries without types, and for reflection."""
    lines = [line for module in MODULES for line in module.read_text().splitlines()]
    found = sum(re.search(r"\bAny\b", line) is not None for line in lines)
    assert found * 1000 <= ANY_PER_1000_LINES_MAX * len(lines), f"{found} of {len(lines)} lines"


def test_help_loads_nothing_heavy() -> None:
    code = f"import bateau.cli, sys; print(*(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_no_area_has_more_english_to_rewrite_than_the_table_allows() -> None:
    """The figures are in NOT_YET (tests/prose.py); test_language.py also fails if they can be lowered."""
    excess = [each for name, found in areas().items() for each in found.excess(NOT_YET.get(name, (0, 0)))]
    assert excess == [], "\n".join(excess)


def test_every_failure_mode_names_a_test_that_exists_in_plain_english() -> None:
    text = (ROOT / "docs/explanation/faults.md").read_text()
    assert list(faults_without_a_test(text)) == []
    assert list(wrong_names(text)) == []


@pytest.mark.parametrize(
    ("claim", "finding"),
    [
        ("| a fault | none | it is retried | |", "names no test function"),
        ("| a fault | none | it is retried | `tests/test_house.py` |", "names no test function"),
        ("| a fault | none | it is retried | `tests/test_house.py::test_gone` |", "has no function test_gone"),
        ("| a fault | none | it is retried | `tests/test_gone.py::test_x` |", "does not exist"),
        ("| a fault | none | it is retried | `tests/test_house.py::test_what_runs_goes_on` |", "what runs"),
        ("It is retried.", "names no test function"),
    ],
)
def test_a_failure_mode_without_a_good_test_is_found(claim: str, finding: str) -> None:
    table = "| failure | loss | behaviour | tests |\n|---|---|---|---|\n"
    above = table if claim.startswith("|") else "## Bugs\n\nEach test plants a bug.\n\n"
    text = f"# Failure modes\n\nAn introduction.\n\n{above}{claim}\n"
    found = [*faults_without_a_test(text), *wrong_names(text)]
    assert any(finding in each for each in found), found


def test_no_package_after_hydrate_asks_for_the_kind_of_a_workload() -> None:
    """Code matches on what a workload runs; the kind that it came from is for people and labels."""
    asks = re.compile(r"\bkey\.kind (?:==|!=|in |not in )|\bmatch [\w.]*key\.kind:|isinstance\([^)]*\w+Spec\b")
    after = ("control", "place", "render", "plan", "runtimes", "traffic", "observe", "wiring", "api", "cli")
    assert [
        str(path) for name in after for path in (SOURCE / name).rglob("*.py") if asks.search(path.read_text())
    ] == []


def test_no_package_has_a_name_that_says_nothing() -> None:
    empty_names = {"utils", "util", "common", "helpers", "manager", "service", "base", "core", "misc"}
    names = {path.stem for path in MODULES} | {path.parent.name for path in MODULES}
    assert not names & empty_names


def _lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """Run the contracts over the tree at `root`, and no other."""
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root / "src"), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
