"""Record and mark revisions without end, and say so only once each is kept. Killed by test_revisions."""

import random
import sys
from pathlib import Path

from bateau.domain.revision import Draft
from bateau.store.revisions import RevisionStore


def main() -> None:
    store = RevisionStore(Path(sys.argv[1]))
    chance = random.Random(int(sys.argv[2]))  # noqa: S311 - a seeded test
    while True:
        number = chance.randrange(10**9)
        texts = {f"{name}.yaml": f"{number} {chance.random()}\n" * chance.randrange(1, 400) for name in "abc"}
        draft = Draft(environment="prod", content=texts, services={"app/shop": str(number)}, who="ada", when_s=number)
        revision = store.record(draft)
        say(f"recorded {revision.id} {revision.digest}")
        store.mark(revision.id, when_s=number + 1, says="all probes are good", outcome="healthy")
        say(f"marked {revision.id} {revision.digest}")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
