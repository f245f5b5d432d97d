"""What the exit status of a command says.

Called by the commands and by edge.

Exit codes: 0 done, 1 what people wrote is wrong, 2 usage, 3 the world failed, 4 changes are pending
(`plan --exit-code`), 5 only policies forbid it, 130 Ctrl-C, 70 a bug of ours (EX_SOFTWARE of sysexits.h), with what to
report.

Invariant: a code means the same in every command.
"""

EXIT_WRITTEN_WRONG = 1
EXIT_USAGE = 2
EXIT_WORLD_FAILED = 3
EXIT_PENDING = 4
EXIT_FORBIDDEN = 5
EXIT_BUG = 70
EXIT_INTERRUPTED = 130


def written_code(*, wrong: bool, mistaken: bool) -> int:
    """Return the code for what people wrote: `wrong` in any way, or `mistaken` beyond what policies say."""
    if not wrong:
        return 0
    return EXIT_WRITTEN_WRONG if mistaken else EXIT_FORBIDDEN
