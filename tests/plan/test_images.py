"""Images are compared by their versions, container by container (F21)."""

from typing import Any

import pytest

from bateau.domain.manifest import Manifest
from bateau.domain.origin import Origin
from bateau.kit.position import Position, leaves
from bateau.plan import image_differences


def pod(name: str, *images: str, kind: str = "Pod") -> Manifest:
    containers = [{"name": f"c{number}", "image": image} for number, image in enumerate(images)]
    tree: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"containers": containers},
    }
    at = Position(f"{name}.yaml", 1, 1)
    origins = {path: (Origin("foreign", at, value),) for path, value in leaves(tree)}
    return Manifest(service="app/shop", target="foreign", tree=tree, origins=origins)


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        (pod("web", "r.example/web:2"), pod("web", "r.example/web:2")),
        (pod("staging-web", "r.example/web:2"), pod("prod-web", "r.example/web:2")),  # namePrefix
        (pod("web", "staging.example:5000/web:2"), pod("web", "prod.example/x/web:2")),  # a registry of its own
        (pod("web", "web:2", "debug:1"), pod("web", "web:2")),  # a container that one side does not have
        (pod("web", "web:2", kind="ConfigMap"), pod("web", "web:1", kind="ConfigMap")),
    ],
)
def test_images_of_equal_versions_do_not_differ(newer: Manifest, older: Manifest) -> None:
    assert image_differences([newer], [older]) == ()


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        ("r.example/web:2", "r.example/web:1"),
        ("r.example/web:2", "r.example/web"),
        ("r.example/web:2@sha256:1", "r.example/web:2@sha256:0"),
        ("r.example/web:2", "r.example/web-old:1"),  # the only container of this name
    ],
)
def test_another_tag_or_digest_is_a_difference_with_both_places(newer: str, older: str) -> None:
    (found,) = image_differences([pod("s-web", newer)], [pod("p-web", older)])
    assert (found.newer, found.older, found.kind, found.container) == (newer, older, "Pod p-web", "c0")
    assert (str(found.newer_at), str(found.older_at)) == ("s-web.yaml:1:1", "p-web.yaml:1:1")


def test_of_several_pods_with_one_image_each_version_counts() -> None:
    newer = [pod("a", "web:2"), pod("b", "web:2")]
    older = [pod("a", "web:2"), pod("b", "web:1")]
    (found,) = image_differences(newer, older)
    assert (found.newer, found.older) == ("web:2", "web:1")
