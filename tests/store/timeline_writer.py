"""Write events into a timeline until killed, and print the number of each that is surely kept. Run by test_timeline."""

import sys
import time
from pathlib import Path

from bateau.domain.event import Event
from bateau.store.timeline import Timeline, TimelineReader

if __name__ == "__main__":
    path = Path(sys.argv[1])
    timeline, reader = Timeline(path), TimelineReader(path)
    for number in range(1, 100_000):
        timeline.emit(Event(when_s=float(number), subject="app/shop", reason="Ready"))
        while not reader.entries(service=None, since=float(number), limit=1):
            time.sleep(0.001)
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
