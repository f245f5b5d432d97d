"""Documents as the pipeline would hand them to policy: small builders for these tests."""

from collections.abc import Mapping
from typing import Any

import yaml

from bateau.domain.problem import Problem, Severity
from bateau.kit.position import Position
from bateau.policy import Policy, Subject, understand
from bateau.specs import read


def policy(text: str) -> Policy:
    """Return the policy whose spec is `text`."""
    found, problems = policies(text)
    assert [each for each in problems if each.severity is Severity.ERROR] == []
    return found[0]


def policies(text: str) -> tuple[tuple[Policy, ...], tuple[Problem, ...]]:
    """Read a policy named house whose spec is `text`."""
    body = "\n".join(f"  {line}" for line in text.strip().splitlines())
    document = f"apiVersion: bateau.dev/v1alpha1\nkind: Policy\nmetadata: {{name: house}}\nspec:\n{body}\n"
    reading = read({"house.yaml": document})
    assert reading.problems == (), reading.problems
    return understand(reading.specs)


def manifest(tree: Mapping[str, Any], *, owner: str | None = None) -> Subject:
    """Return a manifest that stands in a file."""
    name = tree["metadata"]["name"]
    position = Position(f"{name}.yaml", 1, 1)
    return Subject(stage="manifest", label=f"{tree['kind']} {name}", tree=tree, position=position, owner=owner)


def service(text: str, **places: Position) -> Subject:
    """Return an app named shop as an environment has it; its metadata and spec are `text`."""
    tree = {"apiVersion": "bateau.dev/v1alpha1", "kind": "App", **yaml.safe_load(text)}
    positions = {path.replace("_", "."): position for path, position in places.items()}
    return Subject(
        stage="release", label="app/shop", tree=tree, position=Position("shop.yaml", 1, 1), positions=positions
    )
