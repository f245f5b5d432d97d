"""A repository in a temporary directory, and the foreign documents of one of its Apps."""

import os
from collections.abc import Mapping
from pathlib import Path

from bateau.domain.manifest import Manifest
from bateau.domain.problem import Problem
from bateau.domain.workload import Workload
from bateau.hydrate import hydrate
from bateau.kit.position import leaves
from bateau.ports.foreign import Expansion
from bateau.sources.foreign import ForeignDocuments
from bateau.specs import read

HEAD = "apiVersion: bateau.dev/v1alpha1\nkind: App\nmetadata: {name: shop}\n"


def service_of(spec: str, file: str = "shop/app.yaml") -> Workload:
    """Return the App `shop` with a spec in block style."""
    reading = read({file: f"{HEAD}spec:\n{spec}"})
    release, problems = hydrate(reading.specs)
    assert [problem.says for problem in (*reading.problems, *problems) if problem.severity == "error"] == []
    (service,) = release.services
    return service


def write(root: Path, files: Mapping[str, str]) -> None:
    """Write files by name."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def expand(root: Path, spec: str, *, namespace: str = "default", environ: Mapping[str, str] | None = None) -> Expansion:
    """Return the foreign documents of the App `shop` in `shop/app.yaml`."""
    foreign = ForeignDocuments(root, environ=environ if environ is not None else {"PATH": os.environ["PATH"]})
    return foreign.expand(service_of(spec), namespace=namespace)


def sound(expansion: Expansion) -> tuple[Manifest, ...]:
    """Return the manifests of an expansion that has no problems, each leaf with a chain that ends in its value."""
    assert shown(expansion.problems) == ""
    for manifest in expansion.manifests:
        assert_explained(manifest)
    return expansion.manifests


def assert_explained(manifest: Manifest) -> None:
    """Every leaf has a chain, the last step of it gave the value, and there is no chain for anything else."""
    values = dict(leaves(manifest.tree))
    assert set(manifest.origins) == set(values)
    for path, chain in manifest.origins.items():
        assert chain, path
        assert {origin.how for origin in chain} <= {"foreign", "value"}
        assert chain[-1].value == values[path]
        assert type(chain[-1].value) is type(values[path])


def chain(manifest: Manifest, path: str) -> list[str]:
    """Return the chain of a leaf as lines: place, value and explanation."""
    return [
        f"{origin.at} {origin.value!r}" + (f" {origin.says}" if origin.says else "")
        for origin in manifest.origins[path]
    ]


def shown(problems: tuple[Problem, ...]) -> str:
    """Return problems as they are shown."""
    lines = [f"{each.where}  {each.says}\n" + (f"hint: {each.hint}\n" if each.hint else "") for each in problems]
    return "".join(lines)


def stories(name: str) -> list[tuple[str, str]]:
    """Return the cases of a file: the input, a line `----`, and the messages, with a line `====` between cases."""
    text = (Path(__file__).parent / "data" / name).read_text(encoding="utf-8")
    return [(given, said) for given, said in (case.split("----\n") for case in text.split("====\n"))]
