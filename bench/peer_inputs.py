"""What each peer reads: the services and environments of `bench.delivery.specs`, in the peer's own language.

Used by bench.peers. The templates are made of what Bateau renders of one service, with holes where services differ.

Invariant: a peer is asked for the Deployment, the Service and the ConfigMap of each service, and for no check.
Refused: templates by hand; they would soon render less than Bateau does, and nobody would see it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from bateau.control.delivery import deliver
from bateau.control.object_checks import Rules
from bateau.kit.yaml_writer import write
from bateau.specs import read
from bateau.wiring.schemas import load_schemas
from bench.delivery import ENVIRONMENTS, TODAY, specs

KINDS = ("ConfigMap", "Service", "Deployment")
_Tree = dict[str, Any]
_Services = Mapping[str, Mapping[str, Any]]
_Settings = Sequence[Mapping[str, Any]]
_HOLES = {"s0": "NAME", "r.example/s0:1.4.1": "IMAGE", "t0": "TEAM", "e0": "ENVIRONMENT", "r0": "REGION"}


def write_inputs(folder: Path, peer: str, *, services: int, environments: int) -> None:
    """Write what one peer, or Bateau, reads."""
    for name, text in _inputs(peer, services=services, environments=environments).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _inputs(peer: str, *, services: int, environments: int) -> dict[str, str]:
    if peer == "bateau":
        unasked = {f"environments/e{each}.yaml" for each in range(environments, ENVIRONMENTS)}
        return {name: text for name, text in specs(services).items() if name not in unasked}
    every = {
        f"s{number}": {"image": f"r.example/s{number}:1.4.1", "team": f"t{number % 7}", "replicas": 2}
        for number in range(services)
    }
    changed = {name: {"replicas": 3} for name in every if name.startswith("s1")}  # the patch of the environments
    settings = [{"name": f"e{each}", "region": f"r{each}", "services": changed} for each in range(environments)]
    shape = [_with_holes(tree) for tree in expected(services=1, environments=1)]
    return _LANGUAGES[peer](shape, every, settings)


def expected(*, services: int, environments: int) -> list[_Tree]:
    """Return what Bateau renders, as far as peers are asked for it: not the hash of the ConfigMap."""
    rules = Rules(schemas=load_schemas(), today=TODAY)
    reading = read(specs(services))
    trees: list[_Tree] = []
    for number in range(environments):
        for manifest in deliver(reading, f"e{number}", rules).manifests:
            if manifest.tree["kind"] in KINDS:
                tree = json.loads(json.dumps(manifest.tree))
                if tree["kind"] == "Deployment":
                    del tree["spec"]["template"]["metadata"]["annotations"]
                trees.append(tree)
    return trees


def _with_holes(tree: Any) -> Any:
    if isinstance(tree, dict):
        items = cast("_Tree", tree).items()
        return {key: "__REPLICAS__" if key == "replicas" else _with_holes(value) for key, value in items}
    if isinstance(tree, list):
        return [_with_holes(item) for item in cast("list[Any]", tree)]
    return f"__{_HOLES[tree]}__" if isinstance(tree, str) and tree in _HOLES else tree


def _filled(text: str, form: str = "{}", **values: str) -> str:
    """Fill the holes of `text`; `form` is how the language writes a value where a text could stand."""
    for hole, value in values.items():
        text = text.replace(f'"__{hole}__"', form.format(value)).replace(f"__{hole}__", form.format(value))
    return text


def _expressions(shape: Sequence[_Tree], *, environment: str = "environment") -> str:
    """Return the objects as JSON with expressions in their holes, which Jsonnet, CUE and KCL read."""
    fields = {"IMAGE": "service.image", "TEAM": "service.team", "REPLICAS": "service.replicas"}
    return _filled(
        json.dumps(shape, indent=2),
        NAME="name",
        ENVIRONMENT=f"{environment}.name",
        REGION=f"{environment}.region",
        **fields,
    )


def _kustomize_all(shape: Sequence[_Tree], services: _Services, settings: _Settings) -> dict[str, str]:
    """Return a base of all services, and an overlay for each environment."""
    files = {f"{setting['name']}/kustomization.yaml": _overlay(setting) for setting in settings}
    files["base/kustomization.yaml"] = _listed([f"{name}.yaml" for name in services])
    for name, service in services.items():
        files[f"base/{name}.yaml"] = _plain(shape, name, service)
    return files


def _kustomize_each(shape: Sequence[_Tree], services: _Services, settings: _Settings) -> dict[str, str]:
    """Return a base for each service, and an overlay for each of its environments."""
    files: dict[str, str] = {}
    for name, service in services.items():
        files[f"{name}/base/objects.yaml"] = _plain(shape, name, service)
        files[f"{name}/base/kustomization.yaml"] = _listed(["objects.yaml"])
        for setting in settings:
            files[f"{name}/{setting['name']}/kustomization.yaml"] = _overlay(setting)
    return files


def _plain(shape: Sequence[_Tree], name: str, service: Mapping[str, Any]) -> str:
    values = {key.upper(): str(value) for key, value in service.items()}
    return _filled(write(shape), NAME=name, ENVIRONMENT="base", REGION="base", **values)


def _listed(names: Sequence[str]) -> str:
    return "resources:\n" + "".join(f"- {name}\n" for name in names)


def _overlay(setting: Mapping[str, Any]) -> str:
    return f"""\
resources: [../base]
labels:
- pairs: {{bateau.dev/environment: {setting["name"]}}}
  includeTemplates: true
patches:
- target: {{kind: ConfigMap}}
  patch: '[{{"op": "replace", "path": "/data/REGION", "value": "{setting["region"]}"}}]'
- target: {{kind: Deployment, name: s1.*}}
  patch: '[{{"op": "replace", "path": "/spec/replicas", "value": 3}}]'
"""


def _helm(shape: Sequence[_Tree], services: _Services, settings: _Settings) -> dict[str, str]:
    """Return one chart whose template walks the services, and a values file for each environment."""
    objects = _filled(
        write(shape),
        "{{{{ {} }}}}",
        NAME="$name",
        IMAGE="$service.image",
        TEAM="$service.team",
        REPLICAS="$service.replicas",
        ENVIRONMENT="$.Values.name",
        REGION="$.Values.region",
    )
    return {
        "Chart.yaml": "apiVersion: v2\nname: services\nversion: 1.0.0\n",
        "values.yaml": json.dumps({"services": services}),
        "templates/services.yaml": f"{{{{- range $name, $service := .Values.services }}}}\n{objects}{{{{- end }}}}\n",
        **{f"environments/{setting['name']}.json": json.dumps(setting) for setting in settings},
    }


def _jsonnet(shape: Sequence[_Tree], services: _Services, settings: _Settings) -> dict[str, str]:
    """Return one program that gives a List for each environment."""
    lists = "".join(
        f"  '{setting['name']}.json': all(import 'environments/{setting['name']}.json'),\n" for setting in settings
    )
    return {
        "services.json": json.dumps(services),
        **{f"environments/{setting['name']}.json": json.dumps(setting) for setting in settings},
        "main.jsonnet": f"""\
local services = import 'services.json';
local objects(name, service, environment) = {_expressions(shape)};
local all(environment) =
  local merged = std.mergePatch(services, environment.services);
  {{
    apiVersion: 'v1',
    kind: 'List',
    items: std.flatMap(function(name) objects(name, merged[name], environment), std.objectFields(merged)),
  }};
{{
{lists}}}
""",
    }


def _kapitan(shape: Sequence[_Tree], services: _Services, settings: _Settings) -> dict[str, str]:
    """Return one target for each environment and a template for all services.

    Jinja2 is the quickest of Kapitan's input types here; a target for each service is ten times slower.
    """
    objects = _filled(
        write(shape),
        "{{{{ {} }}}}",
        NAME="name",
        IMAGE="service.image",
        TEAM="service.team",
        REPLICAS="service.replicas",
        ENVIRONMENT="parameters.name",
        REGION="parameters.region",
    )
    compiled = {"output_path": ".", "input_type": "jinja2", "input_paths": ["templates"]}
    files = {
        "inventory/classes/services.yml": json.dumps({"parameters": {"services": services}}),
        "templates/services.yaml": "{% set parameters = inventory.parameters %}"
        f"{{% for name, service in parameters.services.items() %}}\n{objects}{{% endfor %}}\n",
    }
    for setting in settings:
        kapitan = {"vars": {"target": setting["name"]}, "compile": [compiled]}
        files[f"inventory/targets/{setting['name']}.yml"] = json.dumps(
            {"classes": ["services"], "parameters": {**setting, "kapitan": kapitan}}
        )
    return files


def _cue(shape: Sequence[_Tree], services: _Services, settings: _Settings) -> dict[str, str]:
    """Return a package of all services, and one for each environment that inherits it."""
    defaults = {name: {**service, "replicas": "__DEFAULT__"} for name, service in services.items()}
    return {
        "cue.mod/module.cue": 'module: "bench.example"\nlanguage: version: "v0.9.0"\n',
        "services.cue": f"""\
package bench

environment: {{name: string, region: string}}
services: [string]: {{image: string, team: string, replicas: int}}
services: {_filled(json.dumps(defaults), DEFAULT="*2 | int")}
objects: [for name, service in services for object in {_expressions(shape)} {{object}}]
""",
        **{
            f"environments/{setting['name']}/environment.cue": f"package bench\n\n"
            f'environment: {{name: "{setting["name"]}", region: "{setting["region"]}"}}\n'
            f"services: {json.dumps(setting['services'])}\n"
            for setting in settings
        },
    }


def _kcl(shape: Sequence[_Tree], services: _Services, settings: _Settings) -> dict[str, str]:
    """Return a program of all services, and a file for each environment that goes with it."""
    objects = _expressions(shape).replace("false", "False").replace("true", "True")
    files = {
        "services.k": f"services = {json.dumps(services)}\n"
        f"build = lambda name: str, service, environment {{\n    {objects}\n}}\n"
    }
    for setting in settings:
        changed = json.dumps(setting["services"]).replace('"replicas":', '"replicas" =')  # `:` would only unite
        files[f"{setting['name']}.k"] = (
            f'environment = {{name = "{setting["name"]}", region = "{setting["region"]}"}}\n'
            f"merged = services | {changed}\n"
            "objects = [each for name, service in merged for each in build(name, service, environment)]\n"
        )
    return files


_LANGUAGES: Mapping[str, Callable[[Sequence[_Tree], _Services, _Settings], dict[str, str]]] = {
    "kustomize_all": _kustomize_all,
    "kustomize_each": _kustomize_each,
    "helm": _helm,
    "jsonnet": _jsonnet,
    "kapitan": _kapitan,
    "cue": _cue,
    "kcl": _kcl,
}
