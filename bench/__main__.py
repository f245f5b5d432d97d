"""Run benchmarks: all, or those that are named (`python -m bench tokens idle`)."""

import importlib
import os
import sys

from bench.report import write_page

PROGRAMS = (
    "startup",
    "idle",
    "many",
    "dashboard",
    "closing",
    "tokens",
    "chain",
    "overload",
    "cold",
    "affinity",
    "delivery",
    "charts",
    "peers",
    "growth",
    "kubernetes",
)


def main() -> None:
    """Run them one after another: they must not disturb each other."""
    # An installed package has its modules compiled; a process that may not keep them compiles them at every start.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    chosen = sys.argv[1:] or PROGRAMS
    unknown = set(chosen) - set(PROGRAMS)
    if unknown:
        sys.exit(f"no benchmark {', '.join(sorted(unknown))}; there is: {', '.join(PROGRAMS)}")
    for name in chosen:
        importlib.import_module(f"bench.{name}").main()
    write_page()


if __name__ == "__main__":
    main()
