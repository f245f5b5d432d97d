"""What a policy can say beyond the starter set, at a real API server: matches, exceptions, parameters, messages."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from bateau.policy import Policy, Subject, admission_policies, judge
from bateau.wiring.schemas import load_schemas
from policy.api_server import Answer, judging
from policy.documents import policy

TODAY: Final = date(2026, 11, 24)
MAPS: Final = "match: {kinds: [ConfigMap]}"
NEVER: Final = "rules: [{name: r, check: 'false', message: never}]"
# Each is judged by `judge` and by the server; the messages must be the same.
ALIKE: Final = {
    "names": f"match: {{kinds: [ConfigMap], names: ['shop-*', 'v[0-9]x', '[!a].b']}}\n{NEVER}",
    "spaces": f"match: {{namespaces: ['judged-*']}}\n{NEVER}",
    "everywhere": f"match: {{namespaces: ['*']}}\n{NEVER}",
    "labels": f"match: {{kinds: [ConfigMap, Namespace], labels: {{tier: web}}}}\n{NEVER}",
    "group": f"match: {{groups: [apps]}}\n{NEVER}",
    "core": f"match: {{groups: ['']}}\n{NEVER}",
    "exceptions": f"""
{MAPS}
rules:
  - {{name: r, check: object.data.a == 'x', message: "'a'"}}
  - {{name: w, check: 'false', message: b, severity: warning}}
exceptions:
  - {{rules: [r], owner: a, reason: b, until: '2027-01-01', names: ['shop-*']}}
  - {{owner: a, reason: b, until: '2026-11-23'}}
  - {{rules: [w], owner: a, reason: b, until: '2026-11-24', kinds: [ConfigMap], namespaces: ['judged-*'], names: [web]}}
""",
    "params": f"""
{MAPS}
params:
  {{i: 3, f: 1.5, b: true, nul: null, s: "q'\\"ü\\n\\\\", l: [1, a, [2]], m: {{a: {{b: 1}}}}, big: 9007199254740993}}
rules:
  - name: r
    check: params.i == 4
    message: >-
      string(params.i) + string(params.f) + string(params.b) + params.s + string(size(params.l)) + string(params.m.a.b)
      + string(params.big) + string(params.nul == null)
""",
    "lines": f"{MAPS}\nrules: [{{name: r, check: 'false', message: \"'a\\\\nb  c\\\\r\\\\n'\"}}]",
    "plain": f'{MAPS}\nrules: [{{name: r, check: "false", message: "too few\\n  of   them"}}]',
    "empty": f"{MAPS}\nrules: [{{name: r, check: 'false', message: \"''\"}}]",
    "dynamic": f"{MAPS}\nrules: [{{name: r, check: 'false', message: object.data.a}}]",
    "names-of-rules": f"""
{MAPS}
variables:
  - {{name: bad, expression: object.data.zz}}
  - {{name: ok, expression: "has(object.data.zz) ? variables.bad : 'no'"}}
rules:
  - {{name: r, check: kind == 'X' || has(spec.x) || variables.ok == 'x', message: kind + metadata.name + variables.ok}}
""",
    "no-kinds": "rules: [{name: r, check: kind != 'ConfigMap', message: no}]",
    "dynamic-check": "match: {kinds: [ClusterRole]}\n"
    "rules: [{name: r, check: \"object.rules.exists(r, 'x' in r.verbs) ? dyn(false) : dyn(true)\", message: dyn}]",
    "zeros": """
match: {kinds: [Deployment]}
variables: [{name: pod, expression: spec.template.spec}]
rules:
  - {name: r, check: has(variables.pod.hostNetwork) || has(metadata.annotations) || spec.replicas == 3, message: no}
""",
    "quantities": """
match: {kinds: [Deployment]}
variables: [{name: limits, expression: "spec.template.spec.containers[0].resources.limits"}]
rules: [{name: r, check: 'false', message: "variables.limits.cpu + ' ' + variables.limits.memory"}]
""",
}
DOCUMENTS: Final = """
{apiVersion: v1, kind: ConfigMap, metadata: {name: shop-1}, data: {a: x1}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: v5x}, data: {a: x}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: vxx}, data: {a: x}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: a.b}, data: {a: x}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: c.b}, data: {a: x}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: web, labels: {tier: web}}, data: {a: y}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: judged-z, labels: {tier: web}}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: judged},
 rules: [{apiGroups: [''], resources: [pods], verbs: [x]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, annotations: {}}
spec:
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec:
      hostNetwork: false
      containers: [{name: a, image: 'a:1', resources: {limits: {cpu: 1, memory: 1024Mi}}}]
"""
SENT: Final = {f"{each['kind']}-{each['metadata']['name']}": each for each in yaml.safe_load_all(DOCUMENTS)}
BROKEN: Final = {
    "error": f"{MAPS}\nrules: [{{name: r, check: object.data.zz == 'x', message: no}}]",
    "warning": f"{MAPS}\nrules: [{{name: r, check: object.data.zz == 'x', message: no, severity: warning}}]",
    "type": f"{MAPS}\nrules: [{{name: r, check: object.data.a, message: no}}]",
    "message": f"{MAPS}\nrules: [{{name: r, check: 'false', message: \"'a' + object.data.zz\"}}]",
}


def _policies(texts: Mapping[str, str]) -> list[Policy]:
    return [replace(policy(text), name=name) for name, text in texts.items()]


async def _ask(kubeconfig: Path, policies: list[Policy]) -> dict[str, Answer]:
    trees = [tree for each in policies for tree in admission_policies(each, today=TODAY)[0]]
    async with judging(kubeconfig, trees, by_label=True) as server:
        return dict(zip(SENT, await server.each(SENT.values()), strict=True))


@pytest.fixture(scope="module")
def answers(control_plane: Path) -> dict[str, Answer]:
    return asyncio.run(_ask(control_plane, _policies(ALIKE)))


def _judged(tree: dict[str, Any], policies: list[Policy]) -> dict[str, set[str]]:
    inside = {} if tree["kind"] in {"Namespace", "ClusterRole"} else {"namespace": "judged-1"}
    seen = load_schemas().with_defaults({**tree, "metadata": {**tree["metadata"], **inside}})
    found: dict[str, set[str]] = {}
    for each in judge([Subject(stage="manifest", label="", tree=seen)], policies, today=TODAY):
        if not each.rule.endswith("/exceptions"):
            found.setdefault(each.verdict, set()).add(" ".join(f"{each.rule}: {each.says}".split()))
    return found


@pytest.mark.parametrize("name", SENT)
def test_what_a_policy_says_is_said_by_the_server(answers: dict[str, Answer], name: str) -> None:
    found, answer = _judged(SENT[name], _policies(ALIKE)), answers[name]
    assert answer.refused is None
    ours = found.get("error", set()) | found.get("warning", set())
    assert ours
    assert {" ".join(each.split()) for each in answer.broken} == ours


def test_a_rule_that_cannot_be_evaluated_never_passes_at_the_server_either(control_plane: Path) -> None:
    """One difference is meant: here, a warning that cannot be evaluated blocks; a server cannot deny for it."""
    name = "ConfigMap-shop-1"
    answer = asyncio.run(_ask(control_plane, _policies(BROKEN)))[name]
    ours = _judged(SENT[name], _policies(BROKEN))
    assert {each.partition("/")[0] for each in ours["error"]} == BROKEN.keys()
    assert answer.verdict == "deny"
    says = "expression 'object.data.zz == 'x'' resulted in error: no such key: zz"
    assert answer.broken == {says, "type/r: no", "message/r: `false` is violated"}
    assert says in answer.warned
