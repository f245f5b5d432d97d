"""Drafts: changed and deleted spec files of one session that are not applied yet.

Called by ui.

Invariant: a draft has a bound, and its author hears of it. Held by
tests/ui/test_change.py::test_a_draft_has_a_bound.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from bateau.control.preview import Preview
from bateau.domain.errors import ControlError
from bateau.domain.problem import Problem
from bateau.domain.text_change import TextChange
from bateau.kit.json_value import object_at, text_at
from bateau.kit.visible import visible
from bateau.kit.yaml_tree import read_documents

FILES_MAX: Final = 20
CHARACTERS_MAX: Final = 256 * 1024  # of all files together
UNKNOWN: Final = "\0"  # as the text before: the author has seen another one than there is now


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The changed files by name. `number` increases with each change of the draft."""

    number: int = 0
    files: Mapping[str, TextChange] = field(default_factory=dict[str, TextChange])

    def with_file(self, name: str, change: TextChange) -> "Draft":
        """Return the draft with a file; without it if the text is as before. Raises ControlError beyond the bound."""
        rest = {each: known for each, known in self.files.items() if each != name}
        files = rest if change.before == change.after else {**rest, name: change}
        if len(files) > FILES_MAX:
            raise ControlError(f"a draft has at most {FILES_MAX} files", hint="apply or discard some of them first")
        if sum(len(each.after or "") for each in files.values()) > CHARACTERS_MAX:
            says = f"a draft has at most {CHARACTERS_MAX:,} characters"
            raise ControlError(says, hint="edit larger files on the machine, where they are applied when saved")
        return replace(self, number=self.number + 1, files=dict(sorted(files.items())))

    def without(self, name: str | None) -> "Draft":
        """Return the draft without a file, or without any."""
        files = {} if name is None else {each: known for each, known in self.files.items() if each != name}
        return replace(self, number=self.number + 1, files=files)

    @property
    def deleted(self) -> tuple[str, ...]:
        """The names of the files that it deletes."""
        return tuple(name for name, each in self.files.items() if each.after is None)

    def missing(self) -> tuple[tuple[str, str], ...]:
        """Return the kinds and names of the documents that its files no longer have."""
        before, after = (
            {found for name, text in texts.items() for found in documents_in(name, text or "")}
            for texts in (
                {name: each.before for name, each in self.files.items()},
                {name: each.after for name, each in self.files.items()},
            )
        )
        return tuple(sorted(before - after))


@dataclass(frozen=True, kw_only=True)
class Planned:
    """The plan of a draft. `preview` is None if it could not be made; `failure` then says why, with a hint.

    `number` tells this plan from others of the session. `errors` are those that the draft adds: it cannot be applied.
    `missing` are the kinds and names of the documents that the draft deletes.
    """

    number: int
    preview: Preview | None = None
    failure: tuple[str, str | None] | None = None
    errors: tuple[Problem, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()

    @property
    def can_be_applied(self) -> bool:
        """Whether the draft may be applied."""
        return self.preview is not None and not self.errors


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOf:
    """The values that a plan depends on. Large values are compared as objects: they are replaced when they change."""

    draft: Draft
    texts: Mapping[str, str]
    release: object
    problems: tuple[Problem, ...]

    def is_as(self, other: "PlanOf | None") -> bool:
        """Whether a plan of the other one is a plan of this."""
        if other is None:
            return False
        same = self.draft is other.draft and self.texts is other.texts and self.release is other.release
        return same and self.problems == other.problems


@dataclass(frozen=True, slots=True)
class Notice:
    """The result of a form, for the page after it."""

    says: str
    hint: str | None = None
    bad: bool = False


def as_browsers_send(text: str, like: str | None) -> str:
    r"""Return the text of a form with the line ends of the text before. Browsers send CRLF.

    >>> as_browsers_send("a\r\nb", None), as_browsers_send("a\r\nb", "x\r\n")
    ('a\nb', 'a\r\nb')
    """
    lines = text.replace("\r\n", "\n")
    return lines.replace("\n", "\r\n") if like and "\r\n" in like else lines


def why_not_editable(text: str) -> str | None:
    r"""Return why a browser cannot show a text so that it comes back as it is, or None.

    >>> why_not_editable("kind: App\r\n"), why_not_editable("a\r\nb\n")
    (None, 'its lines end in two different ways')
    """
    if len(text) > CHARACTERS_MAX:
        return f"it has more than {CHARACTERS_MAX:,} characters"
    lines = text.replace("\r\n", "\n")
    if lines != text and lines.replace("\n", "\r\n") != text:
        return "its lines end in two different ways"
    if visible(lines) != lines:
        return "it has characters that a page cannot show"
    return None


def documents_in(name: str, text: str) -> tuple[tuple[str, str], ...]:
    r"""Return the kinds and names of the documents in a text, as far as it can be read.

    >>> documents_in("a.yaml", "kind: App\nmetadata: {name: shop}")
    (('App', 'shop'),)
    """
    documents, _ = read_documents(name, text)
    found = ((text_at(each.tree, "kind"), text_at(object_at(each.tree, "metadata"), "name")) for each in documents)
    return tuple((kind, name) for kind, name in found if kind and name)


def digest(text: str | None) -> str:
    """Return a short digest of a text, for a form that was made from it."""
    return "-" if text is None else hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
