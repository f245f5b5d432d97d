"""Hide the values that nobody may see in what a field is explained with: its value, and the steps that led to it.

Called by cli.explain and ui.spec_tree.

Invariant: no value of a Secret, of a variable that is named like one, or of `env()` is shown. Held by
tests/local/test_variables.py and tests/ui/test_pages.py::test_secrets_of_a_spec_are_hidden.
"""

from dataclasses import replace

from bateau.domain.change import SECRET
from bateau.domain.origin import Origins, OverlaidOrigins
from bateau.domain.secrecy import is_secret, reads_environment
from bateau.hydrate.paths import set_at
from bateau.kit.json_value import ReadJson, ReadObject
from bateau.kit.position import below, leaves


def without_secrets(tree: ReadObject, origins: Origins, path: str = "") -> tuple[ReadJson, Origins]:
    """Return a tree and its chains; at and below `path`, values of Secrets, secret variables and `env()` are hidden."""
    hidden = [
        at
        for at, _ in leaves(tree)
        if is_at(at, path) and (is_secret(tree, at) or reads_environment(origins.get(at, ())))
    ]
    if not hidden:
        return tree, origins
    found: ReadJson = tree
    for each in hidden:
        found = set_at(found, each, SECRET).tree
    chains = {at: tuple(replace(each, value=SECRET, says=None) for each in origins[at]) for at in hidden}
    return found, OverlaidOrigins(origins, chains, replaced=dict.fromkeys(chains))


def is_at(at: str, path: str) -> bool:
    """Whether a path is equal to another one, or below it."""
    return not path or at == path or below(at, path)
