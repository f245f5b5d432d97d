"""The change of a spec file that is not applied yet.

Made by ui; written by sources.spec_writing, or committed by sources.git.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bateau.domain.errors import ControlError


@dataclass(frozen=True, slots=True, kw_only=True)
class TextChange:
    """The text that a file gets, and the text that it has as its writer knows it; None: there is no such file.

    A file whose text is None afterwards is deleted.
    """

    before: str | None
    after: str | None


class ChangedMeanwhileError(ControlError):
    """A file is not as its writer knows it. `texts` has the files that differ, with their texts; None: it is gone."""

    def __init__(self, texts: Mapping[str, str | None]) -> None:
        names = ", ".join(texts)
        super().__init__(f"{names} has changed since this draft began", hint="compare the two, and apply again")
        self.texts = texts
