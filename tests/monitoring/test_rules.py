"""The rules for Prometheus, judged by promtool: they are valid, and each fires for bad series and not for good ones."""

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from bateau.cli.alerts import command
from bateau.domain.alert_rules import RULES, BurnRate, Fact
from bateau.domain.workload import Workload
from bateau.kit.yaml_writer import write_document
from bateau.render.monitoring.rules import OUTSIDE, prometheus_rule, rule_groups
from bateau.wiring.service_graph import written_in
from monitoring.installed import ROOT, installed

SPECS = """\
apiVersion: bateau.dev/v1alpha1
kind: Model
metadata: {name: chat}
spec:
  source: smollm2
  replicas: 2
  scale: {min: 2, max: 3}
  resources: {memory: 1Gi, cpu: "1"}
  slo: {availability: 99.9, ttftP95: 2s}
---
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {name: shop}
spec: {command: [sleep, "1"], ports: {http: {protocol: http}}, slo: {ttfbP95: 500ms}}
"""
MINUTES = 420
STEPS_OF_DAYS = 73 * 6  # of ten minutes
Series = Mapping[str, str]


def requests(good: float, bad: float, *, until: int | None = None, steps: int = MINUTES) -> Series:
    """Requests of the model in each step; the bad ones end at one."""
    series = 'bateau_requests_total{gen_ai_request_model="chat",http_response_status_code="%d"}'
    last = steps if until is None else until
    return {series % 200: f"0+{good:g}x{steps}", series % 503: f"0+{bad:g}x{last} {bad * last:g}x{steps - last}"}


def first_tokens(fast: float, slow: float) -> Series:
    """Answers of the model in each minute, faster or slower than two seconds."""
    return answers("gen_ai_server_time_to_first_token_seconds_%s{%s}", "chat", {"1": fast, "2.5": fast}, fast + slow)


def first_bytes(fast: float, slow: float) -> Series:
    """Answers of the app in each minute, faster or slower than half a second."""
    return answers("bateau_time_to_first_byte_seconds_%s{%s}", "app/shop/http", {"0.5": fast, "1": fast}, fast + slow)


def answers(series: str, route: str, faster: Mapping[str, float], count: float) -> Series:
    name = f'gen_ai_request_model="{route}"'
    buckets = {**faster, "+Inf": count}
    return {
        **{series % ("bucket", f'{name},le="{le}"'): f"0+{each:g}x{MINUTES}" for le, each in buckets.items()},
        series % ("count", name): f"0+{count:g}x{MINUTES}",
    }


def replicas(ready: int, wanted: int, state: str = "Starting") -> Series:
    return {
        'bateau_service_replicas_ready{service="model/chat"}': f"{ready}x60",
        'bateau_service_replicas_wanted{service="model/chat"}': f"{wanted}x60",
        f'bateau_service_state{{service="model/chat",state="{state}"}}': "1x60",
    }


UNFETCHED: Series = {'bateau_alert_firing{alertname="BateauFetchFailed",subject="model/chat"}': "1x60"}


def of(name: str, values: str) -> Series:
    label = "gen_ai_request_model" if name.startswith("bateau_model") else "service"
    service = "chat" if name.startswith("bateau_model") else "model/chat"
    return {f'{name}{{{label}="{service}"}}': values}


# The series for which a rule fires, those for which it does not, and the step when it is looked at.
CASES: Mapping[str, tuple[Sequence[Series], Sequence[Series], int]] = {
    "BateauErrorBudgetBurn": (
        [requests(100, 10)],
        [requests(1000, 1), requests(0.02, 0.02), requests(100, 10, until=30), {}],
        70,
    ),
    "BateauErrorBudgetBurnSlow": (
        [requests(1000, 2, steps=STEPS_OF_DAYS)],
        [
            requests(1000, 0.5, steps=STEPS_OF_DAYS),
            requests(1000, 2, until=60 * 6, steps=STEPS_OF_DAYS),
            requests(0.01, 0.01, steps=STEPS_OF_DAYS),
        ],
        STEPS_OF_DAYS,
    ),
    "BateauLatencyBudgetBurn": ([first_tokens(1, 50), first_tokens(10, 5)], [first_tokens(100, 1), {}], 400),
    "BateauServiceDown": (
        [replicas(0, 2)],
        [replicas(1, 2), replicas(0, 0), replicas(0, 2, "Pulling"), {**replicas(0, 2), **UNFETCHED}, {}],
        5,
    ),
    "BateauReplicasMissing": ([replicas(1, 2)], [replicas(2, 2), replicas(1, 2, "Pulling")], 20),
    "BateauRestartLoop": (
        [of("bateau_replica_restarts_total", "0x3 1 2 3x20")],
        [of("bateau_replica_restarts_total", "0x3 1x20"), of("bateau_replica_restarts_total", "7x20")],
        12,
    ),
    "BateauMemoryNearLimit": (
        [of("bateau_service_memory_bytes", f"{1.9 * 2**30:.0f}x20")],
        [of("bateau_service_memory_bytes", f"{2**30}x20")],
        8,
    ),
    "BateauCPUSaturated": (
        [of("bateau_service_cpu_seconds_total", "0+120x60")],
        [of("bateau_service_cpu_seconds_total", "0+60x60")],
        40,
    ),
    "BateauQueueFull": (
        [of("bateau_model_requests_waiting", "64x20")],
        [of("bateau_model_requests_waiting", "63x20")],
        5,
    ),
    "BateauDown": ([{}], [{'bateau_build_info{version="1"}': "1x20"}], 10),
    "BateauMonitorFails": (
        [{'probe_success{job="bateau-monitors",service="app/shop",instance="https://a/"}': "1 0x20"}],
        [{'probe_success{job="bateau-monitors-ask",service="app/shop",instance="https://a/"}': "1 0x2 1x20"}, {}],
        9,
    ),
    "BateauScrapeIncomplete": ([{"bateau_scrape_failures": "1x20"}], [{"bateau_scrape_failures": "0x20"}], 15),
    **{
        rule.name: (
            [{f'bateau_alert_firing{{alertname="{rule.name}",severity="{rule.severity}",subject="a b"}}': "1x5"}],
            [{'bateau_alert_firing{alertname="Other",severity="warning",subject="a"}': "1x5"}],
            1,
        )
        for rule in RULES
        if isinstance(rule.when, Fact)
    },
}


@pytest.fixture
def services(tmp_path: Path) -> tuple[Workload, ...]:
    (tmp_path / "specs.yaml").write_text(SPECS)
    written = written_in(tmp_path, None)
    assert not written.problems
    return written.release.services


def promtool(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(installed() / "promtool"), *words], cwd=folder, capture_output=True, text=True, check=False
    )


def test_every_rule_has_bad_and_good_series() -> None:
    assert set(CASES) == {each.name for each in RULES} | {each.name for each in OUTSIDE}


def test_promtool_accepts_the_rules(services: tuple[Workload, ...], tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(write_document(rule_groups(services)))
    done = promtool(tmp_path, "check", "rules", "--lint-fatal", "rules.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_that_each_rule_fires_for_bad_series_only(
    services: tuple[Workload, ...], tmp_path: Path
) -> None:
    tree = cast("Any", rule_groups(services))
    (tmp_path / "rules.yml").write_text(write_document(tree))
    days = [name for name, (_, _, step) in CASES.items() if step == STEPS_OF_DAYS]
    for every, names in (("1m", CASES.keys() - days), ("10m", days)):
        done = judged(tmp_path, [test for name in sorted(names) for test in _tests(tree, name, every)], every)
        assert done.returncode == 0, done.stdout + done.stderr


def test_an_app_that_answers_too_late_fires(services: tuple[Workload, ...], tmp_path: Path) -> None:
    name, tree = "BateauLatencyBudgetBurn", cast("Any", rule_groups(services))
    (tmp_path / "rules.yml").write_text(write_document(tree))
    rules = [rule for group in tree["groups"] for rule in group["rules"] if rule.get("alert") == name]
    (rule,) = (each for each in rules if each["labels"]["service"] == "app/shop")
    labels = {**rule["labels"], "objective": "latency"}
    at = (400, "1m")
    tests = [
        _test(name, first_bytes(1, 50), at, [{"exp_labels": labels, "exp_annotations": rule["annotations"]}]),
        _test(name, first_bytes(100, 1), at, []),
    ]
    done = judged(tmp_path, tests, "1m")
    assert done.returncode == 0, done.stdout + done.stderr


def judged(folder: Path, tests: Sequence[Any], every: str) -> subprocess.CompletedProcess[str]:
    """Run tests whose series have a sample for each time of evaluation."""
    tree = {"rule_files": ["rules.yml"], "evaluation_interval": every, "tests": list(tests)}
    (folder / "tests.yml").write_text(yaml.safe_dump(tree))
    return promtool(folder, "test", "rules", "tests.yml")


def _tests(tree: Any, name: str, every: str) -> Iterator[dict[str, Any]]:
    bad, good, minute = CASES[name]
    rules = [rule for group in tree["groups"] for rule in group["rules"] if rule.get("alert") == name]
    rule = next(each for each in rules if each["labels"].get("service") in (None, "model/chat"))
    kind = next((each.when for each in RULES if each.name == name), None)
    for series in bad:
        labels, notes = dict(rule["labels"]), rule["annotations"]
        if isinstance(kind, BurnRate):
            labels["objective"] = kind.objective
        if name == "BateauMonitorFails":
            labels |= {"service": "app/shop", "instance": "https://a/"}
            notes = {key: _filled(text, labels) for key, text in notes.items()}
        if isinstance(kind, Fact):
            labels["subject"] = "a b"
            notes = {key: _filled(text, labels) for key, text in notes.items()}
        yield _test(name, series, (minute, every), [{"exp_labels": labels, "exp_annotations": notes}])
    for series in good:
        yield _test(name, series, (minute, every), [])


def _filled(text: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"{{ \$labels.(\w+) }}", lambda found: labels[found[1]], text)


def _test(name: str, series: Series, at: tuple[int, str], expected: list[Any]) -> dict[str, Any]:
    return {
        "name": f"{name} {'fires' if expected else 'does not fire'} for {list(series.items())[:2]}",
        "interval": at[1],
        "input_series": [{"series": each, "values": values} for each, values in series.items()],
        "alert_rule_test": [{"eval_time": f"{at[0] * int(at[1][:-1])}m", "alertname": name, "exp_alerts": expected}],
    }


def test_a_planted_error_in_a_rule_is_found(services: tuple[Workload, ...], tmp_path: Path) -> None:
    """The test above would find a rule that never fires."""
    tree = cast("Any", rule_groups(services))
    (tmp_path / "rules.yml").write_text(write_document(tree).replace(" == 0 and ", " == 3 and "))
    done = judged(tmp_path, [*_tests(tree, "BateauServiceDown", "1m")], "1m")
    assert done.returncode != 0
    assert "BateauServiceDown fires for" in done.stdout + done.stderr


def test_the_object_for_the_operator_has_its_schema(services: tuple[Workload, ...]) -> None:
    schema = yaml.safe_load((ROOT / "tests/monitoring/crds/prometheusrules.yaml").read_text())
    tree = prometheus_rule(services, name="bateau", namespace="monitoring")
    version = next(each for each in schema["spec"]["versions"] if each["name"] == "v1")
    # Its schema has a pattern that only Go can read, for a field that is not set.
    validator: Any = jsonschema.Draft202012Validator(version["schema"]["openAPIV3Schema"])
    validator.validate(tree)
    assert cast("Any", tree)["metadata"]["namespace"] == "monitoring"


def test_a_service_has_only_the_rules_that_apply_to_it(services: tuple[Workload, ...]) -> None:
    names = {
        rule["alert"]
        for group in cast("Any", rule_groups(services))["groups"]
        if group["name"] == "bateau/app/shop"
        for rule in group["rules"]
        if "alert" in rule
    }
    assert names == {
        "BateauErrorBudgetBurn", "BateauErrorBudgetBurnSlow", "BateauLatencyBudgetBurn", "BateauServiceDown",
        "BateauReplicasMissing",
        "BateauRestartLoop",
    }  # fmt: skip


def test_the_command_prints_rules_and_reports_errors(tmp_path: Path) -> None:
    (tmp_path / "specs.yaml").write_text(SPECS)
    run = CliRunner()
    done = run.invoke(command, ["rules", "-C", str(tmp_path)], standalone_mode=False)
    assert (done.return_value, done.stderr) == (0, "")
    assert re.search(r"^groups:\n- name: bateau/app/shop\n", done.stdout)
    object_ = run.invoke(
        command, ["rules", "-C", str(tmp_path), "--format", "prometheusrule", "-n", "mon"], standalone_mode=False
    )
    assert yaml.safe_load(object_.stdout)["metadata"]["namespace"] == "mon"
    wrong = run.invoke(command, ["rules", "-C", str(tmp_path), "-n", "mon"])
    assert wrong.exit_code == 2
    (tmp_path / "specs.yaml").write_text(SPECS.replace("smollm2", "[1]"))
    broken = run.invoke(command, ["rules", "-C", str(tmp_path)], standalone_mode=False)
    assert (broken.return_value, broken.stdout) == (1, "")
    assert "specs.yaml:" in broken.stderr
