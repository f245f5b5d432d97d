"""Write and delete spec files below a directory, as a whole or not at all.

Called by wiring.changing.

Invariant: no name, and no link on the way, leads out of the directory, and only files that are read as specs are
written or deleted. Held by tests/sources/test_spec_writing.py.
Invariant: a file that is not as its writer knows it is neither replaced nor deleted, and then no other file is either.
Held by tests/sources/test_spec_writing.py::test_a_file_that_has_changed_is_not_replaced and
tests/sources/test_spec_writing.py::test_a_file_that_has_changed_is_not_deleted.
Invariant: a reader sees the old text or the new one, and never a part of it. Held by
tests/sources/test_spec_writing.py::test_a_reader_never_sees_a_part_of_a_file.
Invariant: a document that moves from a deleted file to another one is in one of them at every moment. Held by
tests/sources/test_spec_writing.py::test_a_document_that_moves_is_always_in_a_file.
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from bateau.domain.errors import ControlError
from bateau.domain.text_change import ChangedMeanwhileError, TextChange
from bateau.sources.spec_names import ENDINGS, IGNORE_FILE, READ_BYTES_MAX, SpecNames, is_hidden, is_spec_file

NAME_CHARACTERS_MAX: Final = 200
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MODE: Final = 0o644


def why_not_a_name(name: str) -> str | None:
    """Return why a file of this name cannot be written, or None.

    >>> why_not_a_name("apps/shop.yaml"), why_not_a_name("../shop.yaml")
    (None, 'has a part that is empty, hidden or not searched for specs: `..`')
    """
    if not name or len(name) > NAME_CHARACTERS_MAX:
        return f"must have 1 to {NAME_CHARACTERS_MAX} characters"
    if not name.isprintable() or "\\" in name:
        return "has a character that is not allowed"
    *folders, last = name.split("/")
    for part in (*folders, last):
        if not part or part.startswith(".") or (part is not last and is_hidden(part)):
            return f"has a part that is empty, hidden or not searched for specs: `{part}`"
    return None if is_spec_file(last) else f"must end with {' or '.join(ENDINGS)}"


def write_specs(directory: Path, texts: Mapping[str, TextChange]) -> None:
    """Write files, and then delete those whose new text is None.

    Raises ChangedMeanwhileError, and ControlError if a file cannot be written or deleted; then none is.
    """
    for name in texts:
        if why := why_not_a_name(name):
            raise ControlError(f"{name!r} is not the name of a spec file: it {why}")
    try:
        with ExitStack() as stack:
            top = _opened(stack, str(directory), None)
            patterns = SpecNames(_ignored(top))
            for name in texts:
                if not patterns.is_read(name):
                    raise ControlError(f"{name} would not be read: {IGNORE_FILE} excludes it")
            files = [_File(stack, top, name, text) for name, text in texts.items()]
            changed = {each.name: found for each in files if (found := each.found()) != each.text.before}
            if changed:
                raise ChangedMeanwhileError(changed)
            for each in files:
                stack.enter_context(each.prepared())
            for each in sorted(files, key=lambda each: each.text.after is None):
                each.put()
    except OSError as error:
        raise ControlError(f"cannot write to {directory}: {error.strerror}") from error


class _File:
    """One file in its opened folder, which is created if it does not exist."""

    def __init__(self, stack: ExitStack, top: int, name: str, text: TextChange) -> None:
        *folders, self._last = name.split("/")
        self._folder = top
        self.name = name
        self.text = text
        for folder in folders:
            if text.before is None:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(folder, dir_fd=self._folder)
            try:
                self._folder = _opened(stack, folder, self._folder)
            except NotADirectoryError as error:
                raise ControlError(f"{name}: {folder} is a link, or not a directory") from error
        self._temporary = f".{self._last[:100]}.{secrets.token_hex(6)}"

    def found(self) -> str | None:
        """Return the text on disk, None if there is no file."""
        try:
            file = os.open(self._last, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=self._folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            if self._is_link():
                hint = "edit the file that it leads to"
                raise ControlError(
                    f"{self.name} is a link, which is neither replaced nor deleted", hint=hint
                ) from error
            raise
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise ControlError(f"{self.name} is not a regular file")
        with os.fdopen(file, "rb") as opened:
            return opened.read(READ_BYTES_MAX).decode("utf-8", "surrogateescape")

    @contextmanager
    def prepared(self) -> Generator[None]:
        """Write the text beside the file, and remove that again at the end if it was not put in place."""
        if self.text.after is None:
            yield
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(self._temporary, flags, _MODE, dir_fd=self._folder), "wb") as file:
                if self.text.before is not None:
                    mode = os.stat(self._last, dir_fd=self._folder, follow_symlinks=False).st_mode
                    os.fchmod(file.fileno(), stat.S_IMODE(mode))
                file.write(self.text.after.encode("utf-8", "surrogateescape"))
                file.flush()
                os.fsync(file.fileno())
            yield
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._temporary, dir_fd=self._folder)

    def put(self) -> None:
        """Put the text in place. A new file replaces no other, even one that was created a moment ago."""
        if self.text.after is None:
            if self.text.before is not None:
                os.unlink(self._last, dir_fd=self._folder)
        elif self.text.before is None:
            try:
                os.link(self._temporary, self._last, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            except FileExistsError:
                raise ChangedMeanwhileError({self.name: self.found()}) from None
        else:
            os.rename(self._temporary, self._last, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        os.fsync(self._folder)

    def _is_link(self) -> bool:
        try:
            return stat.S_ISLNK(os.stat(self._last, dir_fd=self._folder, follow_symlinks=False).st_mode)
        except OSError:
            return False


def _opened(stack: ExitStack, name: str, folder: int | None) -> int:
    # The directory itself may be a link: the user chose it.
    flags = _FOLDER if folder is not None else _FOLDER & ~os.O_NOFOLLOW
    found = os.open(name, flags, dir_fd=folder)
    stack.callback(os.close, found)
    return found


def _ignored(top: int) -> str:
    try:
        with os.fdopen(os.open(IGNORE_FILE, os.O_RDONLY | os.O_CLOEXEC, dir_fd=top), "rb") as file:
            return file.read(READ_BYTES_MAX).decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return ""
