"""Turn files of Kubernetes manifests into manifests: nothing is changed, every leaf keeps its line and column.

Called by documents.ForeignDocuments for `spec.manifests`. Unquoted words mean what they mean to kubectl; a word that
only YAML 1.1 takes for a boolean is one here too, with a warning, as kustomize and YAML 1.2 take it for text.

Invariant: a file is read once, in the order in which the spec names it; those of one glob are sorted.
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
    """Return the objects of all files that the patterns name."""
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
        says = f"{len(names):,} files are named; more than {FILES_MAX:,} are not read"
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
            says = f"{name} has no object in it"
            findings.append(Finding(rule="foreign", subject=service.key, verdict="warning", says=says, where=where))
        kept, of_hooks = without_others(found, service=service.key, at=lambda number, path, f=found: f[number].at(path))
        findings += of_hooks
        for each in map(found.__getitem__, kept):
            findings += kept_as_text(tree, each, service=service.key, at=each.at)
            manifests.append(Manifest(service=service.key, target="foreign", tree=each.tree, origins=in_file(each)))
    return Expansion(manifests=() if problems else tuple(manifests), problems=tuple(problems), findings=tuple(findings))


def _files(tree: Tree, pattern: str, *, below: str, where: Position) -> list[str] | Problem:
    """Return the names of the files of one pattern: a file whatever its ending, and YAML and JSON of a glob."""
    if is_elsewhere(pattern):
        says = f"`{pattern}` is fetched from elsewhere, and nothing is fetched here"
        return Problem(where=where, says=says, hint="copy it into the repository, where it is reviewed")
    name = tree.named(pattern, below=below)
    if name is None:
        return Problem(
            where=where, says=f"`{pattern}` is outside of the directory that the specs are read from", hint=OUTSIDE_HINT
        )
    if is_glob(name):
        names = [each for each in tree.matches(name) if each.endswith(_ENDINGS)]
        if names:
            return names
        hint = f"paths are relative to the file of the App: this one is looked for as `{name}`"
        return Problem(where=where, says=f"`{pattern}` matches no file of YAML or JSON", hint=hint)
    if (tree.root / name).is_dir():
        return Problem(where=where, says=f"`{pattern}` is a directory", hint=f"write `{pattern.rstrip('/')}/*.yaml`")
    if not (tree.root / name).is_file():
        hint = tree.instead(name) or f"paths are relative to the file of the App: this one is looked for as `{name}`"
        return Problem(where=where, says=f"`{pattern}` does not exist", hint=hint)
    return [name]


def _warnings(service: Workload, text: str, objects: list[Found]) -> Iterator[Finding]:
    for word, value, at in switches(text, objects):
        meaning = str(value).lower()
        says = (
            f"`{word}` is taken as {meaning}, as kubectl does; to kustomize and YAML 1.2 it is text: "
            f"write {meaning}, or put it in quotes"
        )
        yield Finding(rule="foreign", subject=service.key, verdict="warning", says=says, where=at)
