"""What the pages about changes show: the specs, a draft with its plan, and the revisions.

Called by ui.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from bateau.domain.offered import Offered
from bateau.domain.revision import Commit, Revision
from bateau.domain.status import Follows
from bateau.ui.drafts import Draft, Notice, Planned, why_not_editable
from bateau.ui.secret_text import secret_at

Aspect = Literal["", "change", "new"]
"""What a page needs beside the rest of a view: nothing, that of changes, or the models of the catalogue, too."""


@dataclass(frozen=True, kw_only=True)
class ChangeView:
    """The specs of an instance, as one session sees them.

    `token` is for forms. `why_read_only` says why the session cannot change the specs, None if it can. `texts` are the
    specs that were read last; those in `default` are in no file. `held` are the services that a rollback holds, each
    with its revision. `revisions` is None if the history cannot be read; `newest_revisions` has each service of the
    whole history, with the newest revision that has it. `offered` are the models of the catalogue,
    for the page that needs them.
    """

    token: str
    follows: Follows
    why_read_only: str | None = None
    texts: Mapping[str, str] = field(default_factory=dict[str, str])
    default: frozenset[str] = frozenset()
    environments: tuple[str, ...] = ()
    commit: Commit | None = None
    held: Mapping[str, int] = field(default_factory=dict[str, int])
    revisions: tuple[Revision, ...] | None = ()
    newest_revisions: Mapping[str, int] = field(default_factory=dict[str, int])
    draft: Draft = field(default_factory=Draft)
    planned: Planned | None = None
    notice: Notice | None = None
    offered: tuple[Offered, ...] = ()

    def text(self, name: str) -> str | None:
        """Return the text of a file: that of the draft, or the current one. None: it is deleted, or does not exist."""
        drafted = self.draft.files.get(name)
        return drafted.after if drafted else self.texts.get(name)

    def current(self, name: str) -> str | None:
        """Return the text that is in a file now; None if there is no such file."""
        return None if name in self.default else self.texts.get(name)

    def why_hidden(self, name: str) -> str | None:
        """Return why no page shows the text of a file, None if one may."""
        current = self.texts.get(name)
        return None if current is None else _why_hidden(name, current)

    def has_changed(self, name: str) -> bool:
        """Whether a file of the draft is no longer as its author has seen it."""
        drafted = self.draft.files.get(name)
        return drafted is not None and drafted.before != self.current(name)


@lru_cache(maxsize=64)
def _why_hidden(name: str, text: str) -> str | None:
    if where := secret_at(name, text):
        return f"it has the value of a secret at {where}"
    return why_not_editable(text)
