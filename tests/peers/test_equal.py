"""Stand-ins with the shapes of nine public repositories: what Bateau renders is what kubectl and Helm render.

Each text in `repositories` holds the files of one repository, the commands of its own tools (`peers`), and the hooks
that Bateau leaves out. The comparison is object by object, value by value, through `bateau render`.
"""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from bateau.cli.render import command as render
from sources.foreign.programs import helm, kubectl

REPOSITORIES = sorted((Path(__file__).parent / "repositories").glob("*.txt"))
# What `kubectl apply` gives no namespace; a kind whose CRD is not in the repository gets none either.
WITHOUT_NAMESPACE = {
    "Namespace", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "PersistentVolume", "APIService",
    "PriorityClass",
}  # fmt: skip
THIRD_PARTY = {"GatewayClass", "Certificate", "HelmRelease", "HelmRepository", "Application", "Kustomization", "Web"}


class _Loader(yaml.SafeLoader):
    """PyYAML reads numbers and words as Go does, except dates and numbers with an exponent."""


_LOADER_TABLE: dict[str, Any] = {
    first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.yaml_implicit_resolvers = _LOADER_TABLE


def files_of(text: str) -> dict[str, str]:
    """Return the parts of a text by the names in their headings."""
    parts = re.split(r"^-- (.+) --\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def documents(text: str) -> list[Any]:
    """Return the objects of a stream of YAML, or of JSON objects that follow each other; lists are unpacked."""
    trees: list[Any] = []
    if text.startswith("{"):
        while text.strip():
            tree, end = json.JSONDecoder().raw_decode(text.lstrip())
            trees.append(tree)
            text = text.lstrip()[end:]
    else:
        trees = [each for each in yaml.load_all(text, _Loader) if each]
    return [item for each in trees for item in (each["items"] if each["kind"] == "List" else [each])]


def printed_by(peer: str, root: Path) -> Iterator[Any]:
    """Yield the objects that a tool prints, or that files hold."""
    tool, *words = shlex.split(peer)
    if tool == "files":
        for pattern in words:
            for path in sorted(root.glob(pattern)):
                yield from documents(path.read_text()) if path.is_file() else ()
        return
    if tool == "kustomize":
        words = [kubectl(), "kustomize", *words]
    else:
        chart, release, *options = words
        words = [helm(), "template", release, chart, "--include-crds", "--kube-version=1.37.0", *options]
        words += ["--namespace=default", "--api-versions=apiregistration.k8s.io/v1"]
    yield from documents(subprocess.run(words, cwd=root, check=True, capture_output=True, text=True).stdout)


def expected(files: Mapping[str, str], root: Path) -> list[Any]:
    """Return the objects of all peers, in the namespace that `kubectl apply` would give them."""
    left_out = files.get("left out", "").splitlines()
    found: list[Any] = []
    for peer in files["peers"].splitlines():
        for tree in printed_by(peer, root):
            if title(tree) in left_out:
                continue
            if tree["kind"] not in WITHOUT_NAMESPACE | THIRD_PARTY:
                tree["metadata"].setdefault("namespace", "default")
            found.append(tree)
    return found


def title(tree: Any) -> str:
    """Return kind and name of an object."""
    return f"{tree['kind']} {tree['metadata'].get('name') or tree['metadata']['generateName']}"


def sorted_by_key(trees: list[Any]) -> list[Any]:
    """Return objects in one order."""
    return sorted(trees, key=lambda each: (each["apiVersion"], title(each), str(each["metadata"].get("namespace"))))


@pytest.mark.parametrize("path", REPOSITORIES, ids=lambda path: path.stem)
def test_what_is_rendered_equals_what_the_tools_of_the_repository_render(path: Path, tmp_path: Path) -> None:
    kubectl()
    helm()
    files = files_of(path.read_text())
    for name, text in files.items():
        if name not in ("peers", "left out"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
    done = CliRunner().invoke(render, ["-C", str(tmp_path), "--no-cache"], standalone_mode=False)
    assert done.return_value == 0, done.stderr
    made, wanted = sorted_by_key(documents(done.stdout)), sorted_by_key(expected(files, tmp_path))
    assert [title(each) for each in made] == [title(each) for each in wanted]
    for ours, theirs in zip(made, wanted, strict=True):
        assert ours == theirs


def test_there_are_nine_repositories() -> None:
    assert len(REPOSITORIES) == 9
