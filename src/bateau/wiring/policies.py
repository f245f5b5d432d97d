"""Load the starter set of policies, which is part of the package.

Called by wiring. Passes documents to specs and policy.

The starter set is data, read like a user's policies; nothing in it is special.
Refused: enabling it by default; users ask for it with `--starter`.
"""

from functools import cache
from importlib.resources import files

from bateau.policy import Policy, understand
from bateau.specs import read


@cache
def starter_policies() -> tuple[Policy, ...]:
    """Return the policies of the starter set, in the order of their names."""
    directory = files("bateau") / "data" / "policies"
    texts = {f"starter/{each.name}": each.read_text("utf-8") for each in directory.iterdir() if each.name[0] != "."}
    reading = read(texts)
    policies, problems = understand(reading.specs)
    if wrong := (*reading.problems, *problems):
        raise AssertionError(wrong)
    return tuple(sorted(policies, key=lambda policy: policy.name))
