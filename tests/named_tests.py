"""Find the tests that pages and docstrings name, and say which of them do not exist or have a name in odd English.

Called by test_house.py. A test is named by its file and, after `::`, its function. An invariant in a docstring ends
with the tests that hold it: `Invariant: no reader waits. Held by tests/store/test_memo.py.`
"""

import ast
import functools
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from prose import Passage, bad_words, bare_clauses

ROOT = Path(__file__).parent.parent
NAMED = re.compile(r"(tests/[\w/]+\.py)(?:::(\w+))?")
_TEST = r"tests/[\w/]+\.py(?:::\w+)?"
_HELD = re.compile(rf" Held by {_TEST}(?:(?:, | and ){_TEST})*\.$")
_INVARIANT = re.compile(
    r"^Invariants?: .*?(?=\n\s*\n|\n(?:Invariants?|Refused|Sources?|Can be lost): |\Z)", re.DOTALL | re.MULTILINE
)


def faults_without_a_test(text: str) -> Iterator[str]:
    """Yield every row and every paragraph of the page of failure modes that names no existing test function.

    A paragraph directly below a heading introduces its section, and makes no claim.
    """
    blocks = re.split(r"\n{2,}", text)
    for before, block in pairwise(["", *blocks]):
        if block.startswith("#") or (before.startswith("#") and not block.startswith("|")):
            continue
        claims = block.splitlines()[2:] if block.startswith("|") else [block]
        for claim in claims:
            cell = claim.strip("|").split("|")[-1]
            named = NAMED.findall(cell)
            if not named or not all(function for _, function in named):
                yield f"names no test function: {claim}"


def unheld_invariants(tree: ast.AST) -> Iterator[str]:
    """Yield a line for every invariant in the docstrings of a module that does not end with existing tests."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for found in _INVARIANT.finditer(ast.get_docstring(node) or ""):
                text = " ".join(found[0].split())
                held = _HELD.search(text)
                if held is None:
                    yield f"does not end with `Held by tests/....py.`: {text}"
                else:
                    yield from missing_tests(held[0])


def missing_tests(text: str) -> Iterator[str]:
    """Yield a line for every test named in `text` that does not exist."""
    for file, function in NAMED.findall(text):
        if not (ROOT / file).exists():
            yield f"{file} does not exist"
        elif function and function not in functions(file):
            yield f"{file} has no function {function}"


def wrong_names(text: str) -> Iterator[str]:
    """Yield a line for every test named in `text` that does not exist, or whose name is not plain English."""
    yield from missing_tests(text)
    for file, function in NAMED.findall(text):
        passage = Passage(file, 1, function.replace("_", " "))
        yield from (f"{file}::{function}: {word}" for word, _ in bad_words(passage))
        yield from (f"{file}::{function}: {place}" for place in bare_clauses(passage))


@functools.cache
def functions(file: str) -> frozenset[str]:
    """Return the names of the test functions in a file, given by its path from the top of the repository."""
    tree = ast.parse((ROOT / file).read_text())
    found = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in found if node.name.startswith("test_"))
