"""Compare the sentence "Called by ..." of every module with the modules that import it.

Called by test_house.py. The sentence is a list: `Called by control.loop, wiring.local (wake) and cli.` Each name is the
full path of a module or package below `bateau`. A package stands for the modules in it; a note in brackets is free.
`the tests`, `the docs`, `the benchmarks` and `the console script` may also be named, and must be if no module imports
the one in question.

Invariant: the sentence is true and complete. Each name imports the module, and each importing module is named or is in
a package that is named. A package that imports a name only to export it is not a caller: those who use the name are.
"""

import ast
import functools
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src/bateau"
OUTSIDE = {"the tests": "tests", "the docs": "docs", "the benchmarks": "bench"}
SCRIPT = "the console script"
_NAME = rf"(?:{'|'.join([*OUTSIDE, SCRIPT])}|[a-z_][\w.]*\w)(?: \([^()]*\))?"
_SENTENCE = re.compile(rf"\bCalled by (?P<names>{_NAME}(?:(?:, | and ){_NAME})*)\.(?=\s|$)")
_MODULES_OF_A_PACKAGE_MAX = 3
_NAMES_MAX = 8


def wrong_callers(module: str, docstring: str) -> str | None:
    """Return the error in the sentence of a docstring, and the correct sentence; None if there is no error."""
    text = " ".join(docstring.split())
    if not re.search(r"\bcalled by ", text, re.IGNORECASE):
        return None
    begin = max(text.find("Called by "), 0)
    found = _SENTENCE.match(text, begin)
    right = f"write: {sentence(module)}"
    if found is None:
        return f"`{text[begin : begin + 60]}...` is not a list of modules and packages; {right}"
    named = [re.sub(r" \(.*", "", name) for name in re.split(r", | and (?![^(]*\))", found["names"])]
    importing = importers()[module]
    for name in named:
        if name in OUTSIDE or name == SCRIPT:
            if name not in outside_importers()[module]:
                return f"it is not imported by {name}; {right}"
        elif not any(_covers(name, importer) for importer in importing):
            return f"{name} does not import it; {right}"
    missing = [each for each in importing if not any(_covers(name, each) for name in named)]
    if missing:
        return f"{', '.join(missing)} imports it, too; {right}"
    return None


def sentence(module: str) -> str:
    """Return the sentence for a module, with a package where more than three of its modules import it."""
    importing = importers()[module]
    names = sorted(_shortened(importing)) or sorted(outside_importers()[module])
    if not names:
        return "no sentence: nothing imports this module"
    *first, last = names
    return f"Called by {', '.join(first)} and {last}." if first else f"Called by {last}."


@functools.cache
def importers() -> Mapping[str, list[str]]:
    """Return who imports each module, as paths below `bateau`; for a package, who imports any of its modules."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for importer, tree in _trees().items():
        for imported in _imported(tree, is_package=_is_package(importer)):
            for target in (imported, *_packages_of(imported)):
                if not _covers(target, importer):
                    found[target].add(importer)
    return {name: sorted(found[name]) for name in _trees()}


@functools.cache
def outside_importers() -> Mapping[str, set[str]]:
    """Return which of the tests, the docs, the benchmarks and the console script import each module."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for name, folder in OUTSIDE.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            for imported in _imported(ast.parse(path.read_text())):
                found[imported].add(name)
    scripts: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    for module, name in (each.split(":") for each in scripts.values()):
        found[_home(module.removeprefix("bateau."), name)].add(SCRIPT)
    return found


@functools.cache
def _trees() -> Mapping[str, ast.Module]:
    return {_name(path): ast.parse(path.read_text()) for path in sorted(SOURCE.rglob("*.py"))}


def _imported(tree: ast.Module, *, is_package: bool = False) -> Iterator[str]:
    """Yield the modules that a tree imports, or names in a literal to run them as programs."""
    exported = _exported(tree) if is_package else set[str]()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (found for each in names if (found := _module(each.name)))
            case ast.ImportFrom(module=str(module), names=names):
                for each in names:
                    if each.name not in exported and (home := _module(module)) is not None:
                        yield _home(home, each.name)
            case ast.Constant(value=str(text)) if text.startswith("bateau.") and (found := _module(text)):
                yield found
            case _:
                pass


def _exported(tree: ast.Module) -> set[str]:
    """Return the names in `__all__`: a package that imports them does so for others."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
            return set(ast.literal_eval(node.value))
    return set()


def _home(module: str, name: str) -> str:
    """Return the module in which a name is written: a submodule, or where the package has it from."""
    if f"{module}.{name}" in _trees():
        return f"{module}.{name}"
    for node in _trees()[module].body if _is_package(module) else ():
        if isinstance(node, ast.ImportFrom) and node.module and name in {each.name for each in node.names}:
            home = _module(node.module)
            return module if home is None else _home(home, name)
    return module


def _module(dotted: str) -> str | None:
    name = dotted.removeprefix("bateau.")
    return name if dotted != name and name in _trees() else None


def _is_package(module: str) -> bool:
    return (SOURCE / module.replace(".", "/")).is_dir()


def _name(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


def _packages_of(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _covers(name: str, module: str) -> bool:
    return module == name or module.startswith(f"{name}.")


def _shortened(modules: list[str]) -> set[str]:
    """Replace the modules of a package by the package if they are many."""
    names = set(modules)
    for depth in (2, 1):
        groups: defaultdict[str, set[str]] = defaultdict(set)
        for name in names:
            if name.count(".") >= depth:
                groups[".".join(name.split(".")[:depth])].add(name)
        for package, members in groups.items():
            if len(members) > _MODULES_OF_A_PACKAGE_MAX or package in names:
                names = (names - members) | {package}
    return names if len(names) <= _NAMES_MAX else {name.split(".")[0] for name in names}
