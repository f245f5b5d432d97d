"""Wait for shared ticks, so that periodic work wakes an idle process together and not one after another.

Called by cli.up, runtimes.local.upkeep, ui.live and wiring.chores.

Invariant: work with periods that are multiples of each other is due at the same times. Held by
tests/kit/test_ticks.py::test_work_with_multiples_of_a_period_is_due_together.
"""

import asyncio
import math


async def tick(every_s: float) -> None:
    """Wait until the time of the event loop is a multiple of `every_s`. With 0, let others run."""
    now = asyncio.get_running_loop().time()
    await asyncio.sleep(next_tick(now, every_s) - now)


def next_tick(now: float, every_s: float) -> float:
    """Return the first multiple of a period after `now`; `now` if there is no period.

    >>> next_tick(7.2, 0.5), next_tick(7.2, 5.0), next_tick(7.5, 0.5), next_tick(7.2, 0)
    (7.5, 10.0, 8.0, 7.2)
    """
    return (math.floor(now / every_s) + 1) * every_s if every_s else now
