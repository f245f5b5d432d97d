"""The command line: one file per command, each listed in the table of `group`.

`main` hands over to `edge`, the only place where errors become text and exit codes.
"""

import os

# Also in `exit_codes`. The first imports are guarded: each takes long enough to press Ctrl-C.
_EXIT_INTERRUPTED = 130

try:
    import signal
    from types import FrameType
except KeyboardInterrupt:
    os._exit(_EXIT_INTERRUPTED)


def main() -> None:
    """Run the command line and exit with its code. Ctrl-C never shows a traceback, whatever is being imported."""
    is_ignored = signal.getsignal(signal.SIGINT) is not signal.default_int_handler  # as after `nohup` or `trap`
    if not is_ignored:
        signal.signal(signal.SIGINT, _exit_at_once)
    from bateau.cli import edge

    try:
        if not is_ignored:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        edge.main()
    except KeyboardInterrupt:  # it arrived while the exit code was decided
        raise SystemExit(_EXIT_INTERRUPTED) from None
    finally:
        if not is_ignored:
            signal.signal(signal.SIGINT, _exit_at_once)


def _exit_at_once(_number: int, _frame: FrameType | None) -> None:
    os._exit(_EXIT_INTERRUPTED)
