"""Turn the versions that one environment pins into a change to another: a commit on a branch for a pull request.

Called by cli.promote, ui.changes and wiring.changing. Pins are in the Environment documents, in kustomizations and in
the value files of charts.

Invariant: the work tree and the checked-out branch are not changed. Held by tests/wiring/test_promotion.py.
Invariant: the images of both environments are rendered and compared, so a version that could not be promoted is
reported, wherever it is pinned. Held by tests/wiring/test_promotion.py.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from posixpath import dirname, join, normpath
from typing import Final

from bateau.control.delivery import Rendered
from bateau.domain.errors import ControlError
from bateau.domain.manifest import Manifest
from bateau.domain.problem import Problem
from bateau.domain.revision import Commit
from bateau.domain.spec import Spec
from bateau.domain.workload import Documents, Workload
from bateau.kit.json_value import array_at
from bateau.plan import image_differences
from bateau.ports.repository import Change
from bateau.sources.git import FilePromotion, Files, Promotion, Written, promote
from bateau.specs import read
from bateau.wiring.delivery import Base, base_at, rendered_at
from bateau.wiring.question import Question

_FILE_BYTES_MAX: Final = 8 << 20

# Makes a commit on a new branch: the name of the branch, the texts by file, and the message. Raises the SourceError
# family.
Committing = Callable[[str, Mapping[str, str], str], Commit]


@dataclass(frozen=True, kw_only=True)
class Promoted:
    """The changes of a promotion, and its commit (None if nothing changes).

    `backwards`: the source says that it comes after the target. `differing` has one line for each image whose version
    still differs between the environments; `unknown` one for each service whose images could not be compared.
    """

    promotion: Promotion
    branch: str
    commit: Commit | None
    backwards: bool = False
    differing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(slots=True)
class _Files:
    """The texts of the files of a commit, which are read once each."""

    base: Base
    others: dict[str, str | None] = field(default_factory=dict[str, "str | None"])

    def text(self, file: str) -> str | None:
        """Return the text of a file; None if there is no such file. Raises the SourceError family."""
        base = self.base
        if file in base.texts:
            return base.texts[file]
        if file not in self.others:
            found = base.listing.find(file).entry
            self.others[file] = None
            if found is not None and found.is_file:
                heads = base.objects.blobs.heads([found], base.commit_id, bytes_max=_FILE_BYTES_MAX)
                self.others[file] = asyncio.run(heads)[0].decode("utf-8", "surrogateescape")
        return self.others[file]


def promoted(
    where: Question,
    revision: str,
    *,
    service: str | None,
    source: str,
    target: str,
    branch: str | None = None,
    commit: Committing | None = None,
) -> Promoted:
    """Copy the pinned versions at a commit of the repository `where`. Raises ControlError and the SourceError family.

    The environment of `where` does not matter. `commit` makes the commit on a new branch; None: in this repository, by
    git's own author.
    """
    base = asyncio.run(base_at(where, revision))
    environments = {spec.name: spec for spec in read(base.texts).specs if spec.kind == "Environment"}
    missing = [name for name in (source, target) if name not in environments]
    if missing:
        there = ", ".join(sorted(environments)) or "none"
        raise ControlError(f"the last commit has no valid Environment {missing[0]}", hint=f"available: {there}")
    ours, theirs = (rendered_at(replace(where, environment=name), base.commit_id) for name in (source, target))
    promotion, files = _promotion(base, (environments[source], environments[target]), (ours, theirs), service)
    name = branch or f"promote-{service or 'all'}-{target}-{base.commit_id[:7]}"
    made = None
    if promotion.changes and not promotion.problems:
        message = f"Promote {service or 'everything'} from {source} to {target}\n\n" + "\n".join(promotion.changes)
        made = commit(name, files, message) if commit else asyncio.run(_commit(base, name, files, message))
        theirs = rendered_at(replace(where, environment=target), made.id)
    differing, unknown = _left_over((source, ours), (target, theirs), service)
    if promotion.unpinned and not (promotion.changes or differing or unknown):
        promotion = replace(promotion, problems=(*promotion.problems, promotion.unpinned))
    return Promoted(
        promotion=promotion,
        branch=name,
        commit=made,
        backwards=made is not None and target in array_at(environments[source].fields, "after"),
        differing=differing,
        unknown=unknown,
    )


async def _commit(base: Base, branch: str, files: Mapping[str, str], message: str) -> Commit:
    texts = {base.objects.path_of(file): text for file, text in files.items()}
    change = Change(
        branch=branch, texts=texts, message=message, author=await base.objects.author(), when_s=int(time.time())
    )
    return await base.objects.commit_on_branch(base.commit_id, change)


def _promotion(
    base: Base, environments: tuple[Spec, Spec], sides: tuple[Rendered, Rendered], service: str | None
) -> tuple[Promotion, Mapping[str, str]]:
    """Return the changes to the environment and to the files of its apps, and the new texts of all of them."""
    source, target = (
        Written(file=spec.position.file, text=base.texts[spec.position.file], environment=spec.name)
        for spec in environments
    )
    found = promote(source, target, service=service)
    files = FilePromotion()
    ours, theirs = ({each.key: each for each in _of(side, service)} for side in sides)
    texts_of = _Files(base)
    for key in ours.keys() & theirs.keys():
        files.promote(_files(ours[key]), _files(theirs[key]), texts_of.text)
    texts = {**files.texts, target.file: found.text} if found.changes else files.texts
    problems: tuple[Problem, ...] = (*found.problems, *files.problems)
    changes, left = (*found.changes, *files.changes), (*found.left, *files.left)
    unpinned = None if files.pins else found.unpinned
    return replace(found, changes=changes, left=left, problems=problems, unpinned=unpinned), texts


def _of(side: Rendered, service: str | None) -> list[Workload]:
    return [each for each in side.written.release.services if service in (None, each.key.name)]


def _files(service: Workload) -> Files:
    """Return the files of an App that pin versions, below the directory of the specs."""
    runs, folder = service.runs, dirname(service.position.file)
    if not isinstance(runs, Documents):
        return Files()
    value_files = runs.chart.value_files if runs.chart else ()
    return Files(
        kustomization=None if runs.kustomization is None else normpath(join(folder, runs.kustomization)),
        value_files=tuple(normpath(join(folder, each)) for each in value_files),
    )


def _left_over(
    source: tuple[str, Rendered], target: tuple[str, Rendered], service: str | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the images whose versions still differ, and the services whose images could not be compared."""
    keys: set[str] = set(map(str, {each.key for each in _of(source[1], service)}))
    keys &= set(map(str, {each.key for each in _of(target[1], service)}))
    differing = [
        f"{each.service} {each.kind}: image {each.older}{_placed(each.older_at)}; "
        f"{source[0]} has {each.newer}{_placed(each.newer_at)}"
        for each in image_differences(_manifests(source[1], keys), _manifests(target[1], keys))
    ]
    unknown = [
        f"{key}: images were not compared: {reason} (in {name})"
        for key in sorted(keys)
        for name, side in (source, target)
        if (reason := side.missing.reason(key, {str(each.service) for each in side.manifests}))
    ]
    return tuple(differing), tuple(unknown)


def _manifests(side: Rendered, services: set[str]) -> list[Manifest]:
    return [each for each in side.manifests if str(each.service) in services]


def _placed(at: object) -> str:
    return f" at {at}" if at else ""
