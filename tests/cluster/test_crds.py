"""The CustomResourceDefinitions in the real API server: it accepts valid specs, and names the field of an error."""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from bateau.control.path import understand
from bateau.kit.quantity import QuantityError, parse_bytes, parse_cores, parse_seconds
from bateau.kit.secret_key import ENTROPY_BYTES, hash_of, key_of
from bateau.kit.yaml_writer import write
from bateau.specs import custom_resource_definitions, read
from bateau.specs.kinds import KINDS
from bateau.specs.kinds.model import wrong_source
from cluster.kubectl import Kubectl

ROOT = Path(__file__).parents[2]
MISTAKES = ROOT / "tests/mistakes"
SECRET = key_of(bytes(range(ENTROPY_BYTES)))
HASH = hash_of(SECRET)
TODAY = date(2026, 11, 24)

# Errors in one document, with the field and the words that the server's message must have.
REFUSED = {
    "app-brings-two-things": ("spec", "keep one of command, image"),
    "app-command-empty": ("spec.command", "command is empty"),
    "app-runs-nothing": ("spec", "an App needs one of command, image"),
    "app-runs-two-things": ("spec", "keep one of command, image"),
    "bound-context": ("spec.contextLength", "greater than or equal to 16"),
    "bound-port": ("spec.ports.http.port", "less than or equal to 65535"),
    "bound-too-large": ("spec.replicas", "less than or equal to 1000"),
    "bound-too-small": ("spec.parallel", "greater than or equal to 1"),
    "enum-engine": ("spec.engine", '"llama.cpp", "vllm", "ollama", "external"'),
    "enum-protocol": ("spec.ports.http.protocol", '"http", "grpc", "websocket", "tcp"'),
    "expression-of-wrong-type": ("spec.replicas", "expected numeric"),
    "external-without-engine": ("spec.external", "external requires engine: external"),
    "external-without-url": ("spec.source", 'with engine external the source must be a URL, not "gpt-4o"'),
    "field-empty": ("spec.source", "must be of type string"),
    "field-in-metadata": (".metadata.lables", "field not declared in schema"),
    "field-missing": ("spec.source", "Required value"),
    "field-snake-case": (".spec.context_length", "field not declared in schema"),
    "field-unknown": (".spec.replcias", "field not declared in schema"),
    "field-unknown-nested": (".spec.health.intervall", "field not declared in schema"),
    "field-unknown-top-level": (".speck", "field not declared in schema"),
    "health-path-relative": ("spec.health.path", "expected a path that begins with '/'"),
    "name-upper-case": ("metadata.name", "lowercase RFC 1123"),
    "name-too-long": ("metadata.name", "63"),
    "policy-severity": ("spec.rules[0].severity", '"error", "warning"'),
    "port-of-health-unknown": ("spec.health.port", "health.port is `htp`, but there is no such port"),
    "reference-to-itself": ("spec.uses", "an App cannot use itself"),
    "reference-without-kind": ("spec.uses[0]", "write `model/NAME` or `app/NAME`"),
    "route-without-host": ("spec.route.hostnames", "a route needs a host name"),
    "route-host-malformed": ("spec.route.hostnames[0]", "a host name has lower-case letters"),
    "route-without-gateway": ("spec.route", "a route needs a Gateway"),
    "route-certificate-of-other": ("spec.route.gateway", "certificate needs className"),
    "route-gateway-elsewhere": (
        "spec.route.gateway",
        "is in the namespace of its document",
    ),
    "spec-is-a-list": ("spec", "expected map"),
    "spec-missing": ("spec", "Required value"),
    "type-boolean-for-string": ("spec.env.DEBUG", "expected string"),
    "type-fraction": ("spec.replicas", "must be of type integer"),
    "type-mapping-for-scalar": ("spec.source", "expected string"),
    "type-number-in-command": ("spec.command[1]", "expected string"),
    "type-number-in-quotes": ("spec.replicas", "expected numeric"),
    "type-scalar-for-list": ("spec.command", "expected list"),
    "type-scalar-for-mapping": ("spec.ports", "expected map"),
    "type-word-for-number": ("spec.parallel", "expected numeric"),
    "unit-cpu": ("spec.resources.cpu", "expected cores such as `500m` or `2`"),
    "unit-duration-bare": ("spec.drainTimeout", "expected a duration such as `30s`"),
    "unit-duration-negative": ("spec.drainTimeout", "expected a duration such as `30s`"),
    "unit-duration-words": ("spec.drainTimeout", "expected a duration such as `30s`"),
    "unit-memory": ("spec.resources.memory", "expected a size such as `2Gi`"),
    "unit-memory-millibytes": ("spec.resources.memory", "expected a size such as `2Gi`"),
    "url-of-a-source": ("spec.source", "the URL of the source is not valid"),
    "version-unknown": ("bateau.dev/v1", "no matches for kind"),
}


@pytest.fixture(scope="module")
def kubectl(control_plane: Path) -> Iterator[Kubectl]:
    """A namespace of its own in a server that has the definitions. Those that were not there before are removed."""
    server = Kubectl(control_plane)
    name = f"crds-{os.getpid()}"
    before = {each["metadata"]["name"] for each in server.get("crds")["items"]}
    names = [f"{each.resource.plural}.bateau.dev" for each in KINDS.values() if each.resource]
    definitions = write(custom_resource_definitions())
    server("apply", "--server-side", "--filename=-", stdin=definitions)
    server("create", "namespace", name)
    server("wait", "--for=condition=Established", "--timeout=60s", *[f"crd/{each}" for each in names])
    yield Kubectl(control_plane, name)
    server("delete", "namespace", name, "--wait=false")
    if added := [each for each in names if each not in before]:
        server("delete", "crd", *added, "--wait=false")


def definitions_of(server: Kubectl) -> list[Any]:
    items = server.get("crds", "--selector=app.kubernetes.io/part-of=bateau")["items"]
    assert len(items) == len(custom_resource_definitions())
    return items


def dry_run(kubectl: Kubectl, *documents: Mapping[str, Any]) -> str:
    """Apply documents strictly, without storing them, and return the messages of the server."""
    text = "\n---\n".join(json.dumps(each) for each in documents)
    words = ("apply", "--server-side", "--validate=strict", "--dry-run=server", "--filename=-")
    return kubectl.run(*words, stdin=text).stderr


def texts(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.yaml"))}


def app(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "bateau.dev/v1alpha1", "kind": "App", "metadata": {"name": "shop"}, "spec": spec}


def model(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "bateau.dev/v1alpha1", "kind": "Model", "metadata": {"name": "chat"}, "spec": spec}


def test_every_definition_is_established_and_structural(kubectl: Kubectl) -> None:
    for each in definitions_of(kubectl):
        conditions = {condition["type"]: condition for condition in each["status"]["conditions"]}
        assert conditions["Established"]["status"] == "True", conditions
        assert conditions["NamesAccepted"]["status"] == "True", conditions
        assert "NonStructuralSchema" not in conditions, conditions


@pytest.mark.parametrize("folder", sorted(path.name for path in (ROOT / "examples").iterdir() if path.is_dir()))
def test_the_server_accepts_every_example(kubectl: Kubectl, folder: str) -> None:
    found = texts(ROOT / "examples" / folder)
    specs = read(found).specs
    assert dry_run(kubectl, *[each.tree for each in specs]) == ""
    environments = [each.name for each in specs if each.kind == "Environment"] or [None]
    for environment in environments:
        release = understand(found, environment, today=TODAY).release
        hydrated = [{**each.tree} for each in release.services]
        assert hydrated
        assert dry_run(kubectl, *hydrated) == "", environment


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_the_server_refuses_an_error_and_names_its_field(kubectl: Kubectl, name: str) -> None:
    field, words = REFUSED[name]
    path = MISTAKES / f"{name}.yaml"
    done = kubectl.run("apply", "--server-side", "--validate=strict", "--dry-run=server", f"--filename={path}")
    assert done.returncode != 0
    assert field in done.stderr
    assert words in done.stderr


FORMS = (
    *(
        "2Gi",
        "1.5G",
        "1e3",
        "1E",
        "1Ei",
        "512m",
        "2GB",
        "2 Gi",
        "-1",
        "+1",
        ".5",
        "5.",
        ".",
        "",
        "1k",
        "1K",
        "0",
        "9Pi",
    ),
    *(
        "500m",
        "2",
        "0.5",
        "100u",
        "1n",
        "1M",
        "1e-1",
        "500MB",
        "1h30m",
        "250ms",
        "30",
        "1.5s",
        "5 minutes",
        "-5s",
        "0s",
    ),
    *("1us", "1\u00b5s", "1d", "10h5", "1h 5m", "\u0661s", "\u0661", "2Gi\n", "1s\n"),
)


@pytest.mark.parametrize(
    ("parse", "field"),
    [(parse_bytes, "resources.memory"), (parse_cores, "resources.cpu"), (parse_seconds, "drainTimeout")],
)
def test_the_server_accepts_the_same_quantities_as_the_specs(
    kubectl: Kubectl, parse: Callable[[str | float], float], field: str
) -> None:
    forms: list[str | int] = [*FORMS, 0, 1, 30, 2**40, -1]
    outer, _, inner = field.partition(".")
    documents = [
        {**model(source="smollm2", **{outer: {inner: form} if inner else form}), "metadata": {"name": f"q{index}"}}
        for index, form in enumerate(forms)
    ]
    refused = set(re.findall(r'"(q\d+)" is invalid', dry_run(kubectl, *documents)))
    differ = [form for index, form in enumerate(forms) if _parses(parse, form) == (f"q{index}" in refused)]
    assert differ == []


def _parses(parse: Callable[[str | float], float], form: str | int) -> bool:
    try:
        parse(form)
    except QuantityError:
        return False
    return True


URLS = (
    *(
        "https://host/m.gguf",
        "https://host:99999/m",
        "https://host:abc/v1",
        "https://host:/v1",
        "https://[::1]:8080/v1",
    ),
    *(
        "https://[::1/v1",
        "https:///v1",
        "https://host/%zz",
        "https://user:p@host/v1",
        "HTTPS://Host/x",
        "https://host:0/",
    ),
    *("https://b\u00fccher.example/m.gguf", "https://host_name/x", "https://host:65535", "https://host:65536"),
    *("https://host?x=1", "https://host#f", "https://host:8443#f", "http://127.0.0.1:11434/v1", "https://a:b:c/"),
    *(
        "https://",
        "https:/x",
        "smollm2",
        "hf://org/repo/f.gguf",
        "./models/x.gguf",
        "https://host:8080x/",
        "https://h:007/",
    ),
)


def test_the_server_accepts_the_same_urls_as_the_specs(kubectl: Kubectl) -> None:
    """Host names and spaces are checked by the specs only."""
    documents = [{**model(source=url), "metadata": {"name": f"u{index}"}} for index, url in enumerate(URLS)]
    refused = set(re.findall(r'"(u\d+)" is invalid', dry_run(kubectl, *documents)))
    differ = [url for index, url in enumerate(URLS) if (wrong_source(url) is not None) != (f"u{index}" in refused)]
    assert differ == []


def test_a_probe_interval_has_a_minimum(kubectl: Kubectl) -> None:
    for short in ("50ms", 0):
        assert "spec.health.interval: Invalid value" in dry_run(
            kubectl, model(source="smollm2", health={"interval": short})
        )
    assert "use 100ms or more" in dry_run(kubectl, model(source="smollm2", health={"interval": "50ms"}))
    assert dry_run(kubectl, model(source="smollm2", health={"interval": "0.1s"})) == ""


def test_the_server_fills_the_same_defaults_as_hydration(kubectl: Kubectl) -> None:
    documents = [app(command=["serve"], ports={"http": {}}), model(source="smollm2", accelerator={}, scale={"max": 2})]
    services = understand({"a.yaml": write(documents)}, today=TODAY).release.services
    kubectl.apply(*documents)
    for service in services:
        hydrated = service.tree["spec"]
        assert isinstance(hydrated, Mapping)
        stored = kubectl.get(service.key.replace("/", "s.bateau.dev/"))["spec"]
        # Hydration keeps a mapping whose fields have no default, such as `resources`; the server does not.
        assert stored == {key: value for key, value in hydrated.items() if value != {}}


def test_free_values_and_patches_keep_nulls_and_types(kubectl: Kubectl) -> None:
    spec = {
        "values": {"a": None, "b": {"c": [1, None, "x"], "d": 1.5}},
        "patches": [{"match": {"kind": "App"}, "set": {"spec.replicas": None, "spec.command[0]": {"x": [True]}}}],
    }
    name = f"free-{os.getpid()}"
    kubectl.apply(
        {"apiVersion": "bateau.dev/v1alpha1", "kind": "Environment", "metadata": {"name": name}, "spec": spec}
    )
    stored = kubectl.get(f"environments.bateau.dev/{name}")["spec"]
    kubectl("delete", f"environments.bateau.dev/{name}")
    assert {"values": stored["values"], "patches": stored["patches"]} == spec


def test_explain_shows_the_documentation_of_the_fields(kubectl: Kubectl) -> None:
    scale = " ".join(kubectl("explain", "model.spec.scale").split())
    assert "How the number of replicas follows the load, instead of" in scale
    assert "Smallest number of replicas; 0 lets the model sleep, on one machine only. Default: 1." in scale
    assert "Container image, on clusters only." in kubectl("explain", "apps.bateau.dev.spec.image")
    rollout = " ".join(kubectl("explain", "model.spec.rollout").split())
    assert "this version does not act on it yet" in rollout


def key(**spec: Any) -> dict[str, Any]:
    fields = {"sha256": HASH, **spec}
    return {"apiVersion": "bateau.dev/v1alpha1", "kind": "Key", "metadata": {"name": "ci"}, "spec": fields}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"sha256": SECRET}, "it is not a SHA-256"),
        ({"sha256": f"Authorization: Bearer {SECRET} # the key of ci"}, "spec.sha256"),
        ({"hint": SECRET}, "spec.hint"),
        ({"hint": "a-b"}, "write the last 4 characters only"),
        ({"note": f"it is {SECRET}!"}, "note contains the secret of a key"),
        ({"owner": SECRET}, "owner contains the secret of a key"),
        ({"models": [SECRET]}, "an item is not a name of models"),
        ({"models": ["chat|embed"]}, "an item is not a name of models"),
        ({"models": []}, "the key may use no model"),
        ({"expiresAt": "soon"}, "it is not a time"),
        ({"limits": {"requestsPerMinute": 0}}, "greater than or equal to 1"),
        ({"limits": {"moneyPerDay": "0 EUR"}}, "it is not an amount of money"),
        ({"limits": {"kwhPerDay": 0}}, "use 0.001 or more"),
        ({"environments": ["prod"]}, "environments are those of a repository"),
    ],
)
def test_the_server_refuses_a_wrong_key_and_repeats_no_secret(
    kubectl: Kubectl, fields: dict[str, Any], words: str
) -> None:
    says = dry_run(kubectl, key(**fields))
    assert words in says
    assert SECRET[7:] not in says


def test_keys_have_columns_and_a_status(kubectl: Kubectl) -> None:
    name = f"ci-{os.getpid()}"
    limits = {"requestsPerMinute": 60, "moneyPerDay": "5 EUR", "kwhPerMonth": 1.5}
    whole = key(
        hint="a1b2", owner="team-ci", models=["chat*", "embed"], expiresAt="2027-01-31", limits=limits, note="n"
    )
    kubectl.apply({**whole, "metadata": {"name": name}})
    try:
        header, row = (re.split(r"\s{2,}", line) for line in kubectl("get", "keys", name).splitlines())
        assert header == ["NAME", "OWNER", "MODELS", "EXPIRES", "REASON", "AGE"]
        assert row[:4] == [name, "team-ci", '["chat*","embed"]', "2027-01-31"]
        assert kubectl.get("keys.bateau.dev", name)["spec"] == whole["spec"]
        patch = json.dumps({"status": {"observedGeneration": 1}})
        kubectl("patch", "key", name, "--subresource=status", "--type=merge", "--patch", patch)
    finally:
        kubectl("delete", "keys.bateau.dev", name)


def test_scale_changes_the_replicas_and_the_columns_show_them(kubectl: Kubectl) -> None:
    kubectl.apply(model(source="smollm2"), app(image="registry.example/shop:1"))
    for kind, name in (("model", "chat"), ("app", "shop")):
        kubectl("scale", kind, name, "--replicas=2")
        assert kubectl.get(kind, name)["spec"]["replicas"] == 2
        refused = kubectl.run("scale", kind, name, "--replicas=5000")
        assert "spec.replicas" in refused.stderr
    header, row = (line.split() for line in kubectl("get", "models").splitlines())
    assert header == ["NAME", "SOURCE", "ENGINE", "DESIRED", "CURRENT", "READY", "REASON", "AGE"]
    assert row[:3] == ["chat", "smollm2", "2"]
    assert {"model.bateau.dev/chat", "app.bateau.dev/shop"} <= set(kubectl("get", "bateau", "--output=name").split())


def test_a_status_is_written_beside_the_spec_and_has_conditions(kubectl: Kubectl) -> None:
    kubectl.apply({**model(source="smollm2"), "metadata": {"name": "state"}, "status": {"replicas": 7}})
    assert "status" not in kubectl.get("model", "state"), "only the subresource changes the status"
    condition = {
        "type": "Ready",
        "status": "False",
        "reason": "ImageNotFound",
        "message": "spec.source: no such image",
        "lastTransitionTime": "2026-11-24T00:00:00Z",
        "observedGeneration": 1,
    }
    status = {"observedGeneration": 1, "replicas": 1, "readyReplicas": 0, "selector": "a=b", "conditions": [condition]}
    patch = ("patch", "model", "state", "--subresource=status", "--type=merge", "--patch")
    kubectl(*patch, json.dumps({"status": status}))
    found = kubectl.get("model", "state")
    assert (found["status"], found["metadata"]["generation"]) == (status, 1)
    assert kubectl.get("model", "state", "--subresource=scale")["status"] == {"replicas": 1, "selector": "a=b"}
    assert "ImageNotFound" in kubectl("get", "model", "state")
    kubectl("wait", "model/state", "--for=condition=Ready=False", "--timeout=10s")
    wrong = {"status": {"conditions": [{**condition, "status": "Perhaps"}]}}
    assert "status.conditions[0].status" in kubectl.run(*patch, json.dumps(wrong)).stderr
