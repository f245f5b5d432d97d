"""Recognise a pointer of Git LFS: the small text in a commit that replaces a large file.

Called by sources.foreign.tree, sources.git.work_tree and specs.reading.
"""

from typing import Final

_FIRST_LINE: Final = "version https://git-lfs.github.com/spec/"
_BYTES_MAX: Final = 1024  # the specification requires less


def is_pointer(content: bytes | str) -> bool:
    r"""Whether the content of a file is a pointer.

    >>> is_pointer(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"), is_pointer("a: 1\n")
    (True, False)
    """
    if len(content) >= _BYTES_MAX:
        return False
    return content.startswith(_FIRST_LINE) if isinstance(content, str) else content.startswith(_FIRST_LINE.encode())
