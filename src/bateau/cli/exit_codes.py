"""Define the exit codes of the commands.

Called by cli.

Exit codes: 0 success, 1 the specs have errors, 2 wrong usage, 3 a failure outside the specs (network, disk, a replica
or the control plane), 4 changes are pending (`plan --exit-code`), 5 only policies forbid the change, 130 Ctrl-C, 70 a
bug in Bateau (EX_SOFTWARE of sysexits.h).

A code means the same in every command.
"""

EXIT_WRITTEN_WRONG = 1
EXIT_USAGE = 2
EXIT_WORLD_FAILED = 3
EXIT_PENDING = 4
EXIT_FORBIDDEN = 5
EXIT_BUG = 70
EXIT_INTERRUPTED = 130


def written_code(*, wrong: bool, mistaken: bool) -> int:
    """Return the code for specs: `wrong` if they have any error, `mistaken` if they have errors beside policies."""
    if not wrong:
        return 0
    return EXIT_WRITTEN_WRONG if mistaken else EXIT_FORBIDDEN
