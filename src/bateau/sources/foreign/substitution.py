"""Report the variables that Flux would substitute in manifests and kustomizations, and that Bateau keeps as text.

Called by sources.foreign.kustomize and sources.foreign.plain. In most fields, `${name}` has no other meaning. Shell
scripts, arguments and configuration files use the same form themselves; there it counts only if a Flux Kustomization of
the repository substitutes variables.

Invariant: each object that Flux would change gives one finding; an object that opts out of substitution gives none.
Held by tests/sources/foreign/test_accepted.py.
"""

from collections.abc import Callable, Iterator
from typing import Final

from bateau.domain.finding import Finding
from bateau.kit.flux_variable import flux_variable
from bateau.kit.json_value import object_at
from bateau.kit.position import Position, leaves, steps
from bateau.sources.foreign.objects import Found
from bateau.sources.foreign.tree import Tree

_OPT_OUT: Final = "kustomize.toolkit.fluxcd.io/substitute"
_FREE_TEXT: Final = frozenset(("data", "stringData", "binaryData"))
_OF_CONTAINERS: Final = frozenset(("command", "args", "env"))


def kept_as_text(tree: Tree, found: Found, *, service: str, at: Callable[[str], Position | None]) -> Iterator[Finding]:
    """Yield the finding about an object that has variables. `at` returns the place of a field."""
    if "disabled" in (object_at(found.tree, "metadata", "labels").get(_OPT_OUT), found.annotations.get(_OPT_OUT)):
        return
    texts = ((path, value) for path, value in leaves(found.tree) if isinstance(value, str))
    variables = [(path, value, name) for path, value in texts if (name := flux_variable(value))]
    clear = [each for each in variables if not _is_free_text(each[0], each[1])]
    if not clear and not (variables and tree.substitutes):
        return
    path, _, name = (clear or variables)[0]
    more = f" and {len(variables) - 1} more" if len(variables) > 1 else ""
    says = (
        f"{found.kind[1]} {found.name}: `{name}` in {path}{more} is kept as text, because Bateau does not substitute "
        "variables as Flux's postBuild does"
    )
    yield Finding(rule="foreign", subject=service, verdict="not checked", says=says, where=at(path), path=path)


def _is_free_text(path: str, value: str) -> bool:
    taken = steps(path)
    return "\n" in value or taken[0] in _FREE_TEXT or not _OF_CONTAINERS.isdisjoint(map(str, taken))
