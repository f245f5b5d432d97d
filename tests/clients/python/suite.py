"""Run the cases of one client program: a line `ok NAME` for each, and a traceback for the first that fails."""

import faulthandler
import os
import sys
import time
from collections.abc import Callable, Mapping

URL = os.environ["BATEAU_URL"]
KEY = os.environ["BATEAU_KEY"]
WRONG_KEY = os.environ["BATEAU_WRONG_KEY"]
QUESTION = "Why is the sky blue?"
PARALLEL = 8
LIMIT_S = 360  # less than that of the test, so that a case that hangs shows where


def run(cases: Mapping[str, Callable[[], object]]) -> None:
    """Run every case."""
    faulthandler.dump_traceback_later(LIMIT_S, exit=True)
    for name, case in cases.items():
        case()
        print(f"ok {name}", flush=True)
    sys.stdout.flush()


def raised(kind: type[BaseException], call: Callable[[], object]) -> BaseException:
    """Return the exception of this type that a call raises."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def quick(call: Callable[[], object]) -> None:
    """Check that a call ends soon: no slot is busy with an answer that nobody reads any longer."""
    started = time.monotonic()
    call()
    assert time.monotonic() - started < 20, "the answers that were left are still being written"
