"""The command line: one file per command, each listed in the table of `group`.

`main` is the edge: the only place where errors become text and exit codes.
"""

from bateau.cli.edge import main

__all__ = ["main"]
