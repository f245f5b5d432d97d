"""Load the starter set of policies that the package brings along.

Called by the commands that judge, and by tests. Hands documents to specs and policy.

Invariant: the starter set is data, read as a user's policies are; nothing in it is special.
Refused: switching it on by itself; whoever wants it names it.
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
