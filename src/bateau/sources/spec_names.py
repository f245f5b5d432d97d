"""Decide which files below a directory are read as specs: by their names, and by the patterns of `.bateauignore`.

Called by sources.git.objects, sources.spec_files, sources.spec_writing and wiring.key_documents. So a directory and a
commit are read by the same rules.

Invariant: an ignored directory is not searched, so a later `!pattern` cannot bring back a file in it. Git has the same
rule. Held by tests/kit/test_ignore_patterns.py::test_the_same_files_are_ignored_as_by_git and
tests/sources/test_spec_files.py.
Refused: reading `.gitignore`. Files that Git ignores may be specs, such as generated ones.
"""

from typing import Final

from bateau.kit.ignore_patterns import IgnorePatterns

ENDINGS: Final = (".yaml", ".yml")
IGNORE_FILE: Final = ".bateauignore"
READ_BYTES_MAX: Final = 4 * 2**20 + 1  # one byte more than a spec may have, so that the reader can reject larger ones
_DEPENDENCIES: Final = frozenset({"node_modules", "__pycache__", "venv", "site-packages"})


class SpecNames:
    """The names that are read below one directory. `ignore` is the text of its `.bateauignore`."""

    def __init__(self, ignore: str = "") -> None:
        self._patterns = IgnorePatterns(ignore) if ignore else None
        self._searched: dict[str, bool] = {"": True}

    def is_ignored(self, path: str, *, directory: bool = False) -> bool:
        """Whether a pattern excludes `path` itself; the directories around it are not considered."""
        return self._patterns is not None and self._patterns.excludes(path, directory=directory)

    def is_searched(self, folder: str) -> bool:
        """Whether the files in `folder` may be specs.

        >>> names = SpecNames("/testdata/")
        >>> [names.is_searched(folder) for folder in ("deploy", "deploy/.git", "testdata/a", "node_modules")]
        [True, False, False, False]
        """
        if folder not in self._searched:
            above, _, name = folder.rpartition("/")
            self._searched[folder] = (
                not is_hidden(name) and self.is_searched(above) and not self.is_ignored(folder, directory=True)
            )
        return self._searched[folder]

    def is_read(self, path: str) -> bool:
        """Whether the file at `path` is read.

        >>> names = SpecNames("*.tmpl.yaml")
        >>> [names.is_read(path) for path in ("a/b.yaml", "a/b.tmpl.yaml", "a/.b.yaml", "a/b.json", ".a/b.yaml")]
        [True, False, False, False, False]
        """
        folder, _, name = path.rpartition("/")
        return is_spec_file(name) and self.is_searched(folder) and not self.is_ignored(path)


def is_hidden(folder: str) -> bool:
    """Whether a directory of this name is never searched: hidden ones, virtual environments and dependencies."""
    return folder.startswith(".") or folder in _DEPENDENCIES


def is_spec_file(name: str) -> bool:
    """Whether a file of this name may have specs."""
    return name.endswith(ENDINGS) and not name.startswith(".")
