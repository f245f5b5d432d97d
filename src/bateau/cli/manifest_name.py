"""Find the manifest that a command line names: KIND/NAME, KIND/NAMESPACE/NAME, or KIND.GROUP instead of KIND.

Called by cli.explain.

Invariant: a name that fits several objects is an error that lists them; it never picks one. Held by
tests/wiring/test_explain_names.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from bateau.domain.manifest import Manifest

_LISTED_MAX: Final = 8


@dataclass(frozen=True)
class ManifestName:
    """The name of an object on the command line. Without `namespace`, any namespace fits; `text` is the original."""

    text: str
    kind: str
    namespace: str | None
    name: str

    @classmethod
    def read(cls, text: str, namespace: str | None) -> "ManifestName":
        """Return the parts of "Deployment/shop/web"; `namespace` is the one of an option. Raises UsageError."""
        kind, *between, name = text.split("/")
        if len(between) > 1 or not (kind and name and all(between)):
            raise click.UsageError(f"{text} is not the name of an object: write KIND/NAME or KIND/NAMESPACE/NAME")
        return cls(text, kind, between[0] if between else namespace, name)

    def fits(self, manifest: "Manifest") -> bool:
        """Whether an object has this name. Kinds are read in upper and lower case, as by kubectl."""
        group, kind, namespace, name = manifest.key
        kinds = {kind.lower(), f"{kind}.{group}".lower()}
        return self.kind.lower() in kinds and self.name == name and self.namespace in (None, namespace)


def choose(asked: ManifestName, manifests: "Iterable[Manifest]", *, where: str) -> "Manifest":
    """Return the one manifest that fits. `where` ends the message. Raises UsageError if none or several fit."""
    from bateau.kit.suggest import did_you_mean, listed

    every = list(manifests)
    found = [each for each in every if asked.fits(each)]
    if len(found) == 1:
        return found[0]
    if found:
        names = _apart(found)
        more = f" and {len(names) - _LISTED_MAX} more" if len(names) > _LISTED_MAX else ""
        raise click.UsageError(f"{asked.text} fits {len(found)} objects: {', '.join(names[:_LISTED_MAX])}{more}")
    anywhere = ManifestName(asked.text, asked.kind, None, asked.name)
    if elsewhere := [each for each in every if anywhere.fits(each)]:
        names = f"; it exists as {', '.join(_apart(elsewhere)[:_LISTED_MAX])}"
        raise click.UsageError(f"{asked.text} is not in namespace {asked.namespace}{names}")
    known = list(dict.fromkeys(f"{kind}/{name}" for _, kind, _, name in (each.key for each in every)))
    hint = did_you_mean(f"{asked.kind}/{asked.name}", known) or f"available: {listed(known) or 'none'}"
    raise click.UsageError(f"no manifest {asked.text} {where}: {hint}")


def _apart(manifests: "Iterable[Manifest]") -> list[str]:
    """Return the shortest names that distinguish objects: with the namespace, and with the group if groups differ."""
    keys = [manifest.key for manifest in manifests]
    groups = {group for group, *_ in keys}
    return [
        f"{kind}{f'.{group}' if group and len(groups) > 1 else ''}/{f'{namespace}/' if namespace else ''}{name}"
        for group, kind, namespace, name in sorted(keys)
    ]
