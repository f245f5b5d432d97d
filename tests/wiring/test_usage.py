"""When processes began, by which the ledger is compared with engines."""

import subprocess
import sys
import time

from bateau.wiring.usage import began


def test_a_process_began_when_it_was_started() -> None:
    """A gateway that ends is started again at once, so a second beside the truth counts requests twice, or never."""
    before = time.time()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        after = time.time()
        found = began([process.pid, None])
        assert before - 0.02 <= found[process.pid] <= after + 0.02
        process.kill()
    assert began([process.pid]) == {}
