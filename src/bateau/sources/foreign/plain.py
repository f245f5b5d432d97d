"""Read files of Kubernetes manifests: the objects are unchanged, and every leaf keeps its line and column.

Called by sources.foreign.documents. It handles `spec.manifests`. Unquoted words mean the same as for kubectl. A word
that only YAML 1.1 reads as a boolean gives a warning, because kustomize and YAML 1.2 read it as text.

Invariant: a file is read once, in the order of the spec; the files of one glob are sorted. Held by
tests/sources/foreign/test_plain.py::test_globs_go_down_and_sort_and_name_a_file_once.
"""

from collections.abc import Iterator
from typing import Final

from bateau.domain.finding import Finding
from bateau.domain.manifest import Manifest
from bateau.domain.problem import Problem
from bateau.domain.workload import Workload
from bateau.kit.position import Position, item
from bateau.ports.foreign import Expansion
from bateau.sources.foreign.hooks import without_others
from bateau.sources.foreign.kustomization import is_elsewhere
from bateau.sources.foreign.naming import directory_of, named_at
from bateau.sources.foreign.objects import Found, in_file, read_objects, switches
from bateau.sources.foreign.substitution import kept_as_text
from bateau.sources.foreign.tree import FILES_MAX, OUTSIDE_HINT, Tree, is_glob

_ENDINGS: Final = (".yaml", ".yml", ".json")


def expand_files(tree: Tree, service: Workload, patterns: tuple[str, ...]) -> Expansion:
    """Return the objects of all files that match the patterns."""
    problems: list[Problem] = []
    names: dict[str, Position] = {}
    for index, pattern in enumerate(patterns):
        where = named_at(service, item("spec.manifests", index))
        named = _files(tree, pattern, below=directory_of(service), where=where)
        if isinstance(named, Problem):
            problems.append(named)
        else:
            names |= {name: where for name in named if name not in names}
    if len(names) > FILES_MAX:
        says = f"spec.manifests matches {len(names):,} files; Bateau reads at most {FILES_MAX:,} for one App"
        return Expansion(problems=(Problem(where=named_at(service, "spec.manifests"), says=says),))
    manifests: list[Manifest] = []
    findings: list[Finding] = []
    for name, where in names.items():
        text = tree.text(name, where=where)
        if isinstance(text, Problem):
            problems.append(text)
            continue
        found, wrong = read_objects(name, text)
        problems += wrong
        findings += _warnings(service, text, found)
        if not found and not wrong:
            says = f"{name} contains no object"
            findings.append(Finding(rule="foreign", subject=service.key, verdict="warning", says=says, where=where))
        kept, of_hooks = without_others(found, service=service.key, at=lambda number, path, f=found: f[number].at(path))
        findings += of_hooks
        for each in map(found.__getitem__, kept):
            findings += kept_as_text(tree, each, service=service.key, at=each.at)
            manifests.append(Manifest(service=service.key, target="foreign", tree=each.tree, origins=in_file(each)))
    return Expansion(manifests=() if problems else tuple(manifests), problems=tuple(problems), findings=tuple(findings))


def _files(tree: Tree, pattern: str, *, below: str, where: Position) -> list[str] | Problem:
    """Return the files of one pattern: a file with any ending, or the YAML and JSON files that a glob matches."""
    if is_elsewhere(pattern):
        says = f"`{pattern}` is remote, and Bateau does not fetch manifests"
        return Problem(
            where=where, says=says, hint="copy the file into the repository, where it is reviewed, and name the copy"
        )
    name = tree.named(pattern, below=below)
    if name is None:
        return Problem(where=where, says=f"`{pattern}` is outside the directory of the specs", hint=OUTSIDE_HINT)
    if is_glob(name):
        names = [each for each in tree.matches(name) if each.endswith(_ENDINGS)]
        if names:
            return names
        hint = f"paths are relative to the file of the App; Bateau looked for `{name}`"
        return Problem(where=where, says=f"`{pattern}` matches no YAML or JSON file", hint=hint)
    if (tree.root / name).is_dir():
        return Problem(where=where, says=f"`{pattern}` is a directory", hint=f"write `{pattern.rstrip('/')}/*.yaml`")
    if not (tree.root / name).is_file():
        hint = tree.instead(name) or f"paths are relative to the file of the App; Bateau looked for `{name}`"
        return Problem(where=where, says=f"`{pattern}` does not exist", hint=hint)
    return [name]


def _warnings(service: Workload, text: str, objects: list[Found]) -> Iterator[Finding]:
    for word, value, at in switches(text, objects):
        meaning = str(value).lower()
        says = (
            f"`{word}` means {meaning}, as for kubectl, but kustomize and YAML 1.2 read it as text; "
            f"write {meaning}, or put it in quotes"
        )
        yield Finding(rule="foreign", subject=service.key, verdict="warning", says=says, where=at)
