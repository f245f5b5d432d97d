"""Rules over manifests see the object that the same rules see at an API server."""

from pathlib import Path

import pytest

from bateau.wiring.written import check_directory

SPECS = """\
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {{name: shop}}
spec: {{manifests: [k/*.yaml]}}
---
apiVersion: bateau.dev/v1alpha1
kind: Policy
metadata: {{name: house}}
spec:
  match: {{kinds: [{kind}], stage: manifest}}
  rules: [{{name: rule, check: "{check}", message: broken}}]
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  paused: null
  selector: {matchLabels: {a: b}}
  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: a}]}}
"""
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec: {ports: [{port: 80}]}\n"
CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.acme.dev}
spec:
  group: acme.dev
  names: {kind: Boat, plural: boats}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              default: {}
              properties: {size: {type: integer, default: 7}, name: {type: string, default: x, nullable: true}}
"""
BOAT = "apiVersion: acme.dev/v1\nkind: Boat\nmetadata: {name: shop}\nspec: {size: null, name: null}\n"


@pytest.mark.parametrize(
    ("kind", "check", "kept"),
    [
        ("Deployment", "!has(spec.replicas) || spec.replicas >= 2", False),
        ("Deployment", "spec.template.spec.containers.all(c, c.imagePullPolicy == 'Always')", True),
        ("Deployment", "!has(spec.paused)", True),
        ("Service", "spec.type == 'ClusterIP'", True),
        ("Boat", "spec.size == 7 && spec.name == null", True),
    ],
)
def test_a_rule_sees_what_the_server_fills_in(tmp_path: Path, kind: str, check: str, kept: bool) -> None:
    """F9: rules saw the object as it is written, and `admission` wrote the same rule for another object."""
    (tmp_path / "k").mkdir()
    for name, text in (("d", DEPLOYMENT), ("s", SERVICE), ("c", CRD), ("b", BOAT)):
        (tmp_path / "k" / f"{name}.yaml").write_text(text)
    (tmp_path / "specs.yaml").write_text(SPECS.format(kind=kind, check=check))
    found = check_directory(tmp_path)
    assert [each.says for each in found.problems if "house/rule" in each.says] == (
        [] if kept else [f"policy house/rule, {kind} default/shop: broken"]
    )


def test_a_message_over_an_object_that_its_schema_rejects_is_left_out(tmp_path: Path) -> None:
    """F8: a null among containers gave `its message cannot be evaluated: Applying SELECT to non-message type`."""
    (tmp_path / "k").mkdir()
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: x}, null]}\n"
    (tmp_path / "k" / "d.yaml").write_text(pod)
    (tmp_path / "specs.yaml").write_text(SPECS.format(kind="Pod", check="true"))
    found = [each.says for each in check_directory(tmp_path, starter=True).problems]
    assert "schema, Pod a: `spec.containers[1]` must not be null" in found
    (pinned,) = [says for says in found if "images/pinned" in says]
    assert pinned.endswith("` is violated")
    assert not any("cannot be evaluated: " in says for says in found)


def test_rules_over_an_object_that_its_schema_rejects_are_not_checked_and_no_errors(tmp_path: Path) -> None:
    """F8: one null gave fifteen errors about rules of the starter set that could not be evaluated."""
    (tmp_path / "k").mkdir()
    broken = DEPLOYMENT.partition("  template:")[0] + "  template: null\n"
    (tmp_path / "k" / "d.yaml").write_text(broken.replace("name: shop", "name: shop, labels: {team: a}"))
    (tmp_path / "specs.yaml").write_text(SPECS.format(kind="Deployment", check="spec.replicas == 1"))
    found = check_directory(tmp_path, starter=True).problems
    assert [each.says for each in found if each.severity == "error" and "policy owners/" not in each.says] == [
        "schema, Deployment shop: `spec.template` must not be null"
    ]
    unevaluated = [each.says for each in found if "rules cannot be evaluated" in each.says]
    assert len(unevaluated) == len(set(unevaluated)) > 1
    assert "policy probes/*, Deployment default/shop: not checked: rules cannot be evaluated on this object" in str(
        found
    )
