"""Manifests for the tests of delivery plans: short, and as a render target would make them."""

from collections.abc import Mapping
from typing import Any

from bateau.domain.manifest import Manifest
from bateau.domain.origin import Origin
from bateau.kit.position import Position


def manifest(tree: Mapping[str, Any], *, service: str | None = None, origins: Any = None) -> Manifest:
    return Manifest(service=service, target="kubernetes", tree=tree, origins=origins or {})


def written(file: str, line: int, value: Any, says: str | None = None) -> tuple[Origin, ...]:
    """Return the chain of a value that stands in a file."""
    return (Origin("value" if says else "written", Position(file, line, 1), value, says),)


def deployment(name: str = "shop", *, image: str = "shop:1.4.1", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": name}},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app.kubernetes.io/name": name}},
            "template": {
                "metadata": {"labels": {"app.kubernetes.io/name": name}},
                "spec": {
                    "containers": [
                        {
                            "name": name,
                            "image": image,
                            "ports": [{"name": "http", "containerPort": 8080}],
                            "env": [{"name": "LEVEL", "value": "info"}, {"name": "REGION", "value": "eu"}],
                            "resources": {"limits": {"cpu": "0.5", "memory": "1Gi"}},
                        }
                    ]
                },
            },
            **spec,
        },
    }


def thing(name: str, kind: str = "ConfigMap", api_version: str = "v1", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **fields}


def container(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the first container of a Deployment, to be edited."""
    found: dict[str, Any] = tree["spec"]["template"]["spec"]["containers"][0]
    return found
