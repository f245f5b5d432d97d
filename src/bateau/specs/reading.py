"""Turn the texts of spec files into specs and problems.

Called by control, specs.keeping and wiring.

Invariant: all errors of all files are found at once, each with its position; nothing here raises. Held by
tests/test_mistakes.py and tests/specs/test_reading.py.
Invariant: documents of other programs are skipped and counted. Held by tests/specs/test_reading.py.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from bateau.domain.problem import Problem, Severity
from bateau.domain.spec import API_VERSION, Metadata, Spec
from bateau.kit.cel_text import OPEN
from bateau.kit.git_lfs import is_pointer
from bateau.kit.json_value import Json, object_at, text_at
from bateau.kit.position import Flaw, Position, nearest
from bateau.kit.schema import Checker, shown
from bateau.kit.suggest import closest, did_you_mean, listed
from bateau.kit.yaml_go import is_ambiguous
from bateau.kit.yaml_tree import BYTES_MAX, Dialect, Document, Unread, plain_scalar, read_documents
from bateau.specs.ambiguity import ambiguous_scalars
from bateau.specs.kinds import KINDS
from bateau.specs.references import reference_problems

GROUP: Final = "bateau.dev/"
IGNORE_FILE: Final = ".bateauignore"
_UTF_16: Final = ("\udcff\udcfe", "\udcfe\udcff")  # its byte order marks, decoded with "surrogateescape"
_NOT_TEXT: Final = re.compile("[\0\udc80-\udcff]")
_EXCLUDE_HINT: Final = f"save it as UTF-8 if it has specs; otherwise exclude it in {IGNORE_FILE}"
_DIALECT: Final = Dialect(value=plain_scalar, key=plain_scalar, is_ambiguous=is_ambiguous)
_TOP_LEVEL: Final = ("apiVersion", "kind", "metadata", "spec")
# The API server adds this field to documents that `kubectl get` returns.
_IGNORED: Final = ("status",)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The result of reading all texts: the specs without errors, and the problems of all.

    `foreign` has the file of every third-party document. If it is not `whole`, documents may be missing; `doubtful` are
    the names that they may have.
    """

    specs: tuple[Spec, ...]
    problems: tuple[Problem, ...]
    foreign: tuple[str, ...]
    whole: bool = True
    doubtful: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReading:
    """The result of reading one text, without the others. `doubtful` are words of documents that could not be read.

    `unsound` has the indexes in `specs` of those with errors; `foreign` counts the third-party documents.
    """

    file: str
    specs: tuple[Spec, ...] = ()
    unsound: frozenset[int] = frozenset()
    problems: tuple[Problem, ...] = ()
    foreign: int = 0
    doubtful: frozenset[str] = frozenset()


def read(texts: Mapping[str, str]) -> Reading:
    """Read texts by file name. The order of the files never matters."""
    return link(read_file(file, text) for file, text in texts.items())


def read_file(file: str, text: str) -> FileReading:
    """Read one text: its specs, and the problems that can be found without the other texts."""
    if (unreadable := _unreadable(file, text)) is not None:
        return FileReading(file=file, problems=(unreadable,))
    documents, unread = read_documents(file, text, dialect=_DIALECT)
    ours = [document for document in documents if _is_ours(document.tree)]
    foreign = len(documents) - len(ours)
    if unread and not ours and GROUP not in text:
        # Templates of other programs are often not valid YAML. Only a file that is not text at all is worth a warning.
        warnings = _not_text(unread, len(text)) if _NOT_TEXT.search(text) else ()
        return FileReading(file=file, foreign=foreign + 1, problems=warnings)
    problems = [_problem(flaw) for broken in unread for flaw in broken.flaws]
    problems += [_without_version(document) for document in documents if _lacks_version(document.tree)]
    unnamed = [broken.text for broken in unread]  # they may define names that other documents refer to
    specs: list[Spec] = []
    unsound: set[int] = set()
    for document in ours:
        spec, found = _spec(document)
        found += [_problem(flaw) for flaw in document.flaws]
        problems += found
        if spec is None:
            unnamed.append(str(object_at(document.tree).get("metadata")))
            continue
        if _any_error(found):
            unsound.add(len(specs))
        specs.append(spec)
    return FileReading(
        file=file,
        specs=tuple(specs),
        unsound=frozenset(unsound),
        problems=tuple(problems),
        foreign=foreign,
        doubtful=_words(unnamed),
    )


def link(files: Iterable[FileReading]) -> Reading:
    """Combine the readings of all files, and find the problems between files: repeated and unknown names."""
    every = sorted(files, key=lambda each: each.file)
    problems = [problem for each in every for problem in each.problems]
    unsound = {id(each.specs[index]) for each in every for index in each.unsound}
    specs = [spec for each in every for spec in each.specs]
    specs.sort(key=lambda spec: (spec.kind, spec.name, spec.position))
    unique, repeated = _without_repeated(specs)
    problems += repeated
    doubtful = frozenset[str]().union(*(each.doubtful for each in every))
    for spec, problem in reference_problems(unique, doubtful=doubtful):
        problems.append(problem)
        if problem.severity is Severity.ERROR:
            unsound.add(id(spec))
    sound = tuple(spec for spec in unique if id(spec) not in unsound)
    problems.sort(key=lambda problem: (problem.where or Position("", 0, 0), problem.says))
    foreign = tuple(each.file for each in every for _ in range(each.foreign))
    whole = not _any_error(problems)
    doubtful |= {spec.name for spec in unique if id(spec) in unsound}
    return Reading(specs=sound, problems=tuple(problems), foreign=foreign, whole=whole, doubtful=doubtful)


def _words(texts: list[str]) -> frozenset[str]:
    return frozenset(word for text in texts for word in re.findall(r"[a-z0-9][-a-z0-9]*", text))


def _any_error(problems: list[Problem]) -> bool:
    return any(problem.severity is Severity.ERROR for problem in problems)


def _unreadable(file: str, text: str) -> Problem | None:
    """Return the problem of a file whose text cannot be read: an error if it mentions Bateau, else a warning."""
    where = Position(file, 1, 1)
    if is_pointer(text):
        says = "the file is a pointer of Git LFS, so it is not read"
        hint = f"run `git lfs pull`; keep specs out of LFS, or exclude the file in {IGNORE_FILE}"
        return Problem(where=where, says=says, hint=hint, severity=Severity.WARNING)
    if not text.startswith(_UTF_16):
        return None
    if GROUP in text.encode("utf-8", "surrogateescape").decode("utf-16", "replace"):
        says, hint = "the file is UTF-16, but specs must be UTF-8", f"iconv -f UTF-16 -t UTF-8 {file}"
        return Problem(where=where, says=says, hint=hint)
    says = "the file is UTF-16, so it is not read"
    return Problem(where=where, says=says, hint=_EXCLUDE_HINT, severity=Severity.WARNING)


def _not_text(unread: list[Unread], characters: int) -> tuple[Problem, ...]:
    flaw = unread[0].flaws[0]
    # Of a large file, nothing is parsed that could have a position.
    says = (
        "the file is not UTF-8 text, so it is not read"
        if characters > BYTES_MAX
        else f"{flaw.says}, so the file is not read"
    )
    return (Problem(where=flaw.position, says=says, hint=_EXCLUDE_HINT, severity=Severity.WARNING),)


def _is_ours(tree: Json) -> bool:
    """Whether a document is Bateau's: by its group, or by a misspelt group and a kind of Bateau."""
    document = object_at(tree)
    version, kind = document.get("apiVersion"), document.get("kind")
    if not isinstance(version, str):
        return False
    if version.startswith(GROUP):
        return True
    near = closest(version.partition("/")[0], [GROUP.strip("/")]) is not None
    return near and isinstance(kind, str) and closest(kind, KINDS) is not None


def _lacks_version(tree: Json) -> bool:
    """Whether a document seems to be one of Bateau's without its apiVersion."""
    document = object_at(tree)
    kind, metadata = document.get("kind"), document.get("metadata")
    ours = isinstance(kind, str) and kind in KINDS
    return ours and "apiVersion" not in document and isinstance(metadata, dict) and "name" in metadata


def _without_version(document: Document) -> Problem:
    says = f"this {text_at(document.tree, 'kind')} has no apiVersion, so it is not read as a spec"
    hint = f"add `apiVersion: {API_VERSION}`; if it is for another program, exclude the file in {IGNORE_FILE}"
    return Problem(where=document.position, says=says, hint=hint, severity=Severity.WARNING)


def _spec(document: Document) -> tuple[Spec | None, list[Problem]]:
    """Check one of Bateau's documents. The spec is None if its kind, name or shape is unusable."""
    tree = object_at(document.tree)
    checker = Checker(
        value_at=lambda path: nearest(document.positions, path, document.position),
        key_at=lambda path: document.keys.get(path) or nearest(document.positions, path, document.position),
    )
    problems = _version_problems(document)
    kind = tree.get("kind")
    problems += [
        _at_key(
            document, key, f"unknown field `{key}`", did_you_mean(key, _TOP_LEVEL) or f"available: {listed(_TOP_LEVEL)}"
        )
        for key in tree
        if key not in (*_TOP_LEVEL, *_IGNORED)
    ]
    if not isinstance(kind, str) or kind not in KINDS:
        problems.append(_kind_problem(document, kind))
        return None, problems
    if "metadata" in tree:
        metadata = _without_server_fields(tree["metadata"])
        checker.check(metadata, Metadata, "metadata")
        if isinstance(metadata, dict) and "namespace" in metadata and not KINDS[kind].to_workload:
            says = f"metadata.namespace has no effect on a document of kind {kind}"
            problems.append(
                replace(_at_key(document, "metadata.namespace", says, "remove it"), severity=Severity.WARNING)
            )
    else:
        problems.append(
            Problem(where=document.position, says="metadata is missing", hint="add `metadata: {name: ...}`")
        )
    checker.check({} if tree.get("spec") is None else tree["spec"], KINDS[kind].schema, "spec")
    problems += map(_problem, (*checker.flaws, *ambiguous_scalars(document, KINDS[kind].schema)))
    name = object_at(tree, "metadata").get("name")
    if isinstance(name, str) and OPEN in name:
        where = document.positions.get("metadata.name", document.position)
        says = "metadata.name is an expression, but names must be known before expressions are evaluated"
        problems.append(Problem(where=where, says=says, hint="write the name itself"))
        return None, problems
    if not isinstance(name, str) or any(
        flaw for flaw in checker.flaws if not flaw.warning and flaw.says.startswith("spec is ")
    ):
        return None, problems
    spec = Spec(
        definition=KINDS[kind],
        name=name,
        tree=tree,
        position=document.positions.get("metadata.name", document.position),
        positions=document.positions,
    )
    return spec, problems


def _version_problems(document: Document) -> list[Problem]:
    version = object_at(document.tree).get("apiVersion")
    if version == API_VERSION:
        return []
    where = document.positions.get("apiVersion", document.position)
    return [
        Problem(where=where, says=f"apiVersion is {shown(version)}, which is not known", hint=f"use `{API_VERSION}`")
    ]


def _kind_problem(document: Document, kind: Json) -> Problem:
    if kind is None:
        return Problem(where=document.position, says="kind is missing", hint=f"one of: {' | '.join(KINDS)}")
    near = did_you_mean(str(kind), KINDS)
    hint = f"{near or 'one of:'} ({' | '.join(KINDS)})" if near else f"one of: {' | '.join(KINDS)}"
    where = document.positions.get("kind", document.position)
    return Problem(where=where, says=f"kind is {shown(kind)}, which is not known", hint=hint)


def _without_server_fields(metadata: Json) -> Json:
    """Remove the metadata fields of the API server, so that the output of `kubectl get -o yaml` is a valid spec."""
    if not isinstance(metadata, dict):
        return metadata
    server = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid")
    return {key: value for key, value in metadata.items() if key not in server}


def _without_repeated(specs: list[Spec]) -> tuple[list[Spec], list[Problem]]:
    first: dict[tuple[str, str], Spec] = {}
    problems: list[Problem] = []
    for spec in specs:
        earlier = first.setdefault((spec.kind, spec.name), spec)
        if earlier is not spec:
            says = f"there are two documents {spec.kind} {spec.name}"
            hint = f"the other is at {earlier.position}; rename or remove one"
            problems.append(Problem(where=spec.position, says=says, hint=hint))
    return list(first.values()), problems


def _at_key(document: Document, key: str, says: str, hint: str) -> Problem:
    return Problem(where=document.keys.get(key, document.position), says=says, hint=hint)


def _problem(flaw: Flaw) -> Problem:
    severity = Severity.WARNING if flaw.warning else Severity.ERROR
    return Problem(where=flaw.position, says=flaw.says, hint=flaw.hint, severity=severity)
