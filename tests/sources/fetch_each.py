"""Fetch references, each into a cache of its own, and print the outcomes: python fetch_each.py CACHE REFERENCE..."""

import asyncio
import json
import os
import sys
from pathlib import Path

from bateau.domain.errors import SourceError
from bateau.sources.models import Models
from bateau.sources.patience import Patience

QUICK = Patience(tries=2, delay_s_first=0.01)


async def outcome(cache: Path, reference: str) -> str:
    """Return the sha256 of a reference, or the error in the form of the command line."""
    models = Models(cache=cache, base=cache, environ=os.environ, patience=QUICK)
    try:
        return str((await models.fetch(reference, lambda _: None)).path).rpartition("/")[2]
    except SourceError as error:
        return f"error: {error.message}\n  hint: {error.hint}"


async def main() -> None:
    cache, *references = sys.argv[1:]
    found = {each: await outcome(Path(cache, str(place)), each) for place, each in enumerate(references)}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
