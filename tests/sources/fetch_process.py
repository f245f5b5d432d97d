"""Fetch one reference in a process of its own: python fetch_process.py CACHE REFERENCE."""

import asyncio
import sys
from pathlib import Path

from bateau.sources.models import Models


async def main() -> None:
    models = Models(cache=Path(sys.argv[1]), base=Path(sys.argv[1]), environ={})
    file = await models.fetch(sys.argv[2], lambda _: None)
    sys.stdout.write(f"{file.path}\n")


if __name__ == "__main__":
    asyncio.run(main())
