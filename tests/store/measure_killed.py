"""Add points until killed, and print the number of each that is surely on disk. Run by test_measures."""

import sys
import time
from pathlib import Path

from bateau.domain.measures import INTERVAL_S
from bateau.store.measure_writer import MeasureWriter
from bateau.store.measures import MeasureReader
from store.measure_points import START, values

if __name__ == "__main__":
    directory = Path(sys.argv[1])
    writer, reader = MeasureWriter(directory, lambda: START), MeasureReader(directory, lambda: START)
    first = 1 if writer.last is None else round((writer.last - START) / INTERVAL_S) + 1
    for number in range(first, 100_000):
        writer.add(START + INTERVAL_S * number, values(number, "app/shop", "model/chat"))
        while reader.last != START + INTERVAL_S * number:
            time.sleep(0.0005)
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
