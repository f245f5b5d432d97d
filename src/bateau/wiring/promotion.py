"""Turn what one environment runs into a change to another: a commit on a branch, ready for a pull request.

Called by cli.promote.

Invariant: the work tree and the branch that is checked out stay as they are.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bateau.domain.errors import ControlError
from bateau.domain.revision import Commit
from bateau.ports.repository import Change
from bateau.sources.git import GitObjects, Promotion, Written, promote
from bateau.specs import read


@dataclass(frozen=True, kw_only=True)
class Promoted:
    """The changes of a promotion, and its commit (None if nothing changes).

    `backwards`: the source says that it comes after the target.
    """

    promotion: Promotion
    branch: str
    commit: Commit | None
    backwards: bool = False


async def promoted(directory: Path, *, service: str | None, source: str, target: str, branch: str | None) -> Promoted:
    """Make the commit. Raises ControlError and the SourceError family."""
    objects = await GitObjects.of_clone(directory, environ=os.environ)
    texts = await objects.texts_at("HEAD")
    environments = {spec.name: spec for spec in read(texts).specs if spec.kind == "Environment"}
    files = {name: spec.position.file for name, spec in environments.items()}
    missing = [name for name in (source, target) if name not in files]
    if missing:
        there = ", ".join(sorted(files)) or "none"
        raise ControlError(f"the last commit has no valid Environment {missing[0]}", hint=f"available: {there}")
    promotion = promote(
        Written(file=files[source], text=texts[files[source]], environment=source),
        Written(file=files[target], text=texts[files[target]], environment=target),
        service=service,
    )
    name = branch or f"promote-{service or 'all'}-{target}-{(await objects.id_of('HEAD'))[:7]}"
    if promotion.problems or not promotion.changes:
        return Promoted(promotion=promotion, branch=name, commit=None)
    body: Any = environments[source].tree.get("spec")
    after = cast("dict[str, Any]", body or {}).get("after") or ()
    message = f"Promote {service or 'everything'} from {source} to {target}\n\n" + "\n".join(promotion.changes)
    change = Change(
        branch=name,
        texts={objects.path_of(files[target]): promotion.text},
        message=message,
        author=await objects.author(),
        when_s=int(time.time()),
    )
    commit = await objects.commit_on_branch("HEAD", change)
    return Promoted(promotion=promotion, branch=name, commit=commit, backwards=target in after)
