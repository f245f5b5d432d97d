"""Check the names in a policy that refer to something: kinds, groups, environments, documents, files.

Called by policy.written. It takes all specs of a directory.

A name that is close to an existing one is an error: it is a misspelling, and the policy would judge nothing. Any other
unknown name is a warning, because it may belong to another repository. A kind that nothing here knows is not reported
here: it may be a custom resource, and only `check`, which renders all objects, can tell.

Invariant: a name that exists is never reported, and neither is one that an unreadable document may have. Held by
tests/policy/test_names.py.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final

from bateau.domain.api_resources import API_RESOURCES
from bateau.domain.kinds import KINDS, SERVICE_KINDS
from bateau.domain.problem import Problem, Severity
from bateau.domain.rules import PolicySpec
from bateau.domain.spec import Spec
from bateau.kit.position import item, nearest
from bateau.kit.suggest import closest, listed
from bateau.policy.matching import stage_of

KUBERNETES_KINDS: Final = frozenset(kind for _, kind in API_RESOURCES)
GROUPS: Final = frozenset(group for group, _ in API_RESOURCES)
_CORE: Final = 'the core group is the empty string: write `groups: [""]`'
_CUSTOM: Final = "for a custom resource of this name, write its group in spec.match.groups"


def misnamed(
    document: Spec, policy: PolicySpec, specs: Sequence[Spec], *, doubtful: Collection[str] = ()
) -> Iterator[Problem]:
    """Yield a problem for each name in a policy that refers to nothing.

    `specs` are all documents; `doubtful` are words of documents that could not be read.
    """
    names = _Names(document, policy, specs, doubtful)
    yield from names.of_match()
    for index, _ in enumerate(policy.exceptions):
        yield from names.of_exception(index)


class _Names:
    def __init__(self, document: Spec, policy: PolicySpec, specs: Sequence[Spec], doubtful: Collection[str]) -> None:
        self._document = document
        self._policy = policy
        self._doubtful = doubtful
        stage, kinds = stage_of(policy.match), policy.match.kinds
        judged = kinds or (SERVICE_KINDS if stage == "release" else KINDS)
        self._environments = [spec.name for spec in specs if spec.kind == "Environment"]
        # Objects in manifests may have any name; documents and their files are all here.
        self._documents = None if stage == "manifest" else [spec.name for spec in specs if spec.kind in judged]
        self._files = None if stage == "manifest" else [spec.position.file for spec in specs]

    def of_match(self) -> Iterator[Problem]:
        match = self._policy.match
        yield from self._groups(match.groups)
        yield from self._kinds("spec.match.kinds", match.kinds)
        yield from self._existing("spec.match.environments", match.environments, "Environment", self._environments)
        yield from self._existing("spec.match.names", match.names, "document", self._documents)

    def of_exception(self, index: int) -> Iterator[Problem]:
        waiver, path = self._policy.exceptions[index], item("spec.exceptions", index)
        matched = self._policy.match.kinds
        for at, kind in enumerate(waiver.kinds):
            if matched and kind not in matched:
                says = f"the exception is for the kind `{kind}`, which this policy does not match"
                near = closest(kind, matched)
                hint = f"did you mean `{near}`?" if near else f"the policy matches {listed(matched)}"
                severity = Severity.ERROR if near else Severity.WARNING
                yield self._problem(item(f"{path}.kinds", at), says, hint, severity)
        if not matched:
            yield from self._kinds(f"{path}.kinds", waiver.kinds)
        yield from self._existing(f"{path}.environments", waiver.environments, "Environment", self._environments)
        yield from self._existing(f"{path}.names", waiver.names, "document", self._documents)
        yield from self._existing(f"{path}.files", waiver.files, "spec file", self._files)

    def _kinds(self, path: str, kinds: Sequence[str]) -> Iterator[Problem]:
        groups = self._policy.match.groups
        for index, kind in enumerate(kinds):
            if kind in KINDS:
                continue
            of = sorted(group for group, each in API_RESOURCES if each == kind)
            custom = any(group not in GROUPS for group in groups)
            if of and groups and not custom and not set(of) & set(groups):
                says = f"{kind} is never matched: it is in {_named(of)}, and not in {_named(groups)}"
                yield self._problem(
                    item(path, index), says, f"write `groups: [{of[0] or chr(34) * 2}]`, or leave it out"
                )
            elif not of and not custom and (near := closest(kind, KUBERNETES_KINDS | KINDS)):
                says = f"there is no kind `{kind}`"
                yield self._problem(item(path, index), says, f"did you mean `{near}`? {_CUSTOM}")

    def _groups(self, groups: Sequence[str]) -> Iterator[Problem]:
        kinds = self._policy.match.kinds
        for index, group in enumerate(groups):
            if group in GROUPS:
                continue
            path, says = item("spec.match.groups", index), f"there is no API group `{group}`"
            near = closest(group, GROUPS - {""})
            if group in {"core", "v1"}:
                yield self._problem(path, says, _CORE)
            elif near and (not kinds or any((near, kind) in API_RESOURCES for kind in kinds)):
                yield self._problem(path, says, f"did you mean `{near}`?")

    def _existing(self, path: str, globs: Sequence[str], what: str, known: Iterable[str] | None) -> Iterator[Problem]:
        """Yield a problem for each name, or glob of names, that nothing known matches."""
        if known is None:
            return
        known = list(known)
        for index, glob in enumerate(globs):
            if glob in self._doubtful or any(fnmatchcase(name, glob) for name in known):
                continue
            near = closest(glob, known)
            hint = f"did you mean `{near}`?" if near else f"available: {listed(known)}" if known else None
            severity = Severity.ERROR if near else Severity.WARNING
            yield self._problem(item(path, index), f"no {what} matches `{glob}`", hint, severity)

    def _problem(self, path: str, says: str, hint: str | None, severity: Severity = Severity.ERROR) -> Problem:
        where = nearest(self._document.positions, path, self._document.position)
        return Problem(where=where, says=says, hint=hint, severity=severity)


def _named(groups: Iterable[str]) -> str:
    """Return groups in words.

    >>> _named(["", "apps"])
    'the core group, apps'
    """
    return ", ".join(group or "the core group" for group in groups)
