"""Where a piece of text stands: file, line and column.

Called by every stage that reads or reports what people wrote. Knows nothing of YAML or of Bateau.

Invariant: lines and columns count from 1, as editors and compilers print them.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a text file.

    >>> str(Position("chat.yaml", 7, 14))
    'chat.yaml:7:14'
    """

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"
