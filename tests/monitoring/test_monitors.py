"""Monitors from outside: what is asked where, and the programs and definitions that read them."""

import subprocess
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest
import yaml
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from bateau.cli.alerts import command
from bateau.cli.group import bateau
from monitoring.installed import ROOT, installed

SPECS = """\
apiVersion: bateau.dev/v1alpha1
kind: Model
metadata: {name: chat}
spec: {source: smollm2}
---
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {name: shop}
spec:
  image: acme/shop:1
  ports: {http: {protocol: http}}
  health: {path: /ready}
  route: {hostnames: [shop.example.com, "*.shop.example.com"], gateway: {name: public}}
---
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {name: plain}
spec:
  image: acme/plain:1
  ports: {http: {protocol: http}}
  route: {hostnames: [plain.example.com], gateway: {className: envoy}}
---
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {name: rpc}
spec:
  image: acme/rpc:1
  ports: {grpc: {protocol: grpc}}
  route: {hostnames: [rpc.example.com], gateway: {name: public}}
"""
URL = ("--url", "https://ai.example.org/")


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    (tmp_path / "specs.yaml").write_text(SPECS)
    return tmp_path


def run(specs: Path, form: str, *words: str) -> Result:
    return CliRunner().invoke(command, ["monitors", "-C", str(specs), "--format", form, *words])


def trees(specs: Path, form: str, *words: str) -> list[Any]:
    done = run(specs, form, *words)
    assert done.exit_code == 0, done.output
    return list(yaml.safe_load_all(done.stdout))


def targets(specs: Path, *words: str) -> dict[str, str]:
    """Return the module by the address."""
    (tree,) = trees(specs, "scrape", *words)
    return {
        target: each["labels"]["__param_module"]
        for job in tree["scrape_configs"]
        for each in job["static_configs"]
        for target in each["targets"]
    }


def test_services_are_asked_at_their_routes_by_their_health(specs: Path) -> None:
    assert targets(specs) == {
        "https://shop.example.com/ready": "bateau_get",
        "http://plain.example.com/": "bateau_get",
    }


def test_the_endpoint_is_asked_for_each_model(specs: Path) -> None:
    found = targets(specs, *URL, "--ask", "chat", "--url", "shop=https://elsewhere.example.com")
    assert found == {
        "https://ai.example.org/healthz": "bateau_get",
        "https://elsewhere.example.com/ready": "bateau_get",
        "http://plain.example.com/": "bateau_get",
        "https://ai.example.org/v1/models/chat": "bateau_get_with_key",
        "https://ai.example.org/v1/chat/completions": "bateau_ask_model_chat",
    }


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--url", "ai.example.org"), "is not an address"),
        (("--url", "https://"), "is not an address"),
        (("--url", "shopp=https://x.example.org"), "did you mean `shop`?"),
        (("--ask", "chat"), "--ask needs the address of the endpoint"),
        ((*URL, "--ask", "chta"), "did you mean `chat`?"),
        (("--key-file", "/k"), "--key-file is for --format blackbox"),
        (("-n", "x"), "--namespace is for --format probe and endpointmonitor"),
    ],
)
def test_wrong_options_are_named(specs: Path, words: tuple[str, ...], says: str) -> None:
    done = run(specs, "scrape", *words)
    assert done.exit_code == 2
    assert says in done.stderr


def test_shells_complete_the_models_of_the_specs(specs: Path) -> None:
    words = ["alerts", "monitors", "-C", str(specs), "--ask"]
    found = ShellComplete(bateau, {}, "bateau", "_BATEAU_COMPLETE").get_completions(words, "c")
    assert [each.value for each in found] == ["chat"]


def test_without_any_address_the_option_is_named(specs: Path) -> None:
    (specs / "specs.yaml").write_text(SPECS.partition("---")[0])
    done = run(specs, "probe")
    assert (done.exit_code, "--url" in done.stderr) == (2, True)


def test_the_blackbox_exporter_reads_its_modules(specs: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk-secret")
    done = run(specs, "blackbox", *URL, "--ask", "chat", "--key-file", str(key))
    (tmp_path / "blackbox.yml").write_text(done.stdout)
    checked = subprocess.run(
        [str(installed() / "prometheus-blackbox-exporter"), "--config.check", "--config.file=blackbox.yml"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr
    (scraped,) = trees(specs, "scrape", *URL, "--ask", "chat")
    (modules,) = yaml.safe_load_all(done.stdout)
    used = {each["labels"]["__param_module"] for job in scraped["scrape_configs"] for each in job["static_configs"]}
    assert used == modules["modules"].keys()


def test_a_key_is_named_by_its_file(specs: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk-secret")
    text = run(specs, "blackbox", *URL, "--key-file", str(key)).stdout
    assert "sk-secret" not in text
    http = yaml.safe_load(text)["modules"]["bateau_get_with_key"]["http"]
    assert http["authorization"] == {"type": "Bearer", "credentials_file": str(key)}
    assert "authorization" not in yaml.safe_load(text)["modules"]["bateau_get"]["http"]


def test_prometheus_reads_the_scrape_configuration(specs: Path, tmp_path: Path) -> None:
    (tmp_path / "prometheus.yml").write_text(run(specs, "scrape", *URL, "--ask", "chat").stdout)
    checked = subprocess.run(
        [str(installed() / "promtool"), "check", "config", "prometheus.yml"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("form", ["probe", "endpointmonitor"])
def test_objects_have_the_schemas_of_their_definitions(specs: Path, form: str) -> None:
    definition = yaml.safe_load((ROOT / f"tests/monitoring/crds/{form}s.yaml").read_text())
    version = definition["spec"]["versions"][0]
    validator: Any = jsonschema.Draft202012Validator(_closed(version["schema"]["openAPIV3Schema"]))
    found = trees(specs, form, *URL, "-n", "monitoring")
    assert len(found) == (4 if form == "probe" else 3), "an EndpointMonitor has no key"
    for each in found:
        validator.validate(each)
        assert each["kind"] == definition["spec"]["names"]["kind"]
        assert each["apiVersion"] == f"{definition['spec']['group']}/{version['name']}"
        assert each["metadata"]["namespace"] == "monitoring"
    names = [each["metadata"]["name"] for each in found]
    assert len(set(names)) == len(names)


def _closed(schema: Any) -> Any:
    """Return a schema that refuses fields it does not know, as a strict API server does; not those of metadata."""
    if not isinstance(schema, dict):
        return schema
    tree = cast("dict[str, Any]", schema)
    closed = {key: _closed(value) if key != "properties" else value for key, value in tree.items()}
    if "properties" in tree:
        closed["properties"] = {name: _closed(each) for name, each in tree["properties"].items()}
        closed.setdefault("additionalProperties", False)
    return closed
