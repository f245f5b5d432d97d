"""The dashboards over a real instance with traffic, by a real Prometheus and a real VictoriaMetrics."""

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from bateau.render.monitoring.dashboards import Panel, dashboard_json, dashboards
from local.stack import CHAT, Stack, chat_body, wait_for
from monitoring.servers import Server, prometheus, victoria_metrics

CONFIGURATION = """\
global: {{scrape_interval: 1s}}
scrape_configs:
- job_name: bateau
  static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
APP = """\
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {name: front}
spec:
  command: [python3, server.py, "${ ports.http }"]
  ports: {http: {protocol: http}}
  uses: [model/chat]
"""
SERVER = """\
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500 if "fail" in self.path else 200)
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def busy(cache: Path) -> Iterator[Stack]:
    """An instance with a model and an app."""
    made = Stack(cache)
    made.write(CHAT)
    made.write(APP, "app.yaml")
    (made.specs / "server.py").write_text(SERVER)
    try:
        assert made.up().code == 0
        yield made
    finally:
        made.destroy()


@pytest.fixture(scope="module")
def servers(busy: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequence[Server]]:
    """Both servers, with the series of an instance that has had traffic since they scrape it."""
    stack, folder = busy, tmp_path_factory.mktemp("monitoring")
    configuration, with_rules = folder / "scrape.yml", folder / "prometheus.yml"
    configuration.write_text(CONFIGURATION.format(port=stack.port))
    # VictoriaMetrics evaluates no rules, and refuses their fields.
    own = configuration.read_text().replace("{scrape_interval: 1s}", "{scrape_interval: 1s, evaluation_interval: 1s}")
    with_rules.write_text(f"rule_files: [rules.yml]\n{own}")
    assert stack.bateau("alerts", "rules", "-o", str(folder / "rules.yml")).code == 0
    with prometheus(folder, with_rules) as first, victoria_metrics(folder, configuration) as second:
        both = (first, second)
        # The first request of a kind makes its series; the next ones are an increase.
        for _ in range(3):
            _traffic(stack)
            time.sleep(3)
        for server in both:
            wait_for(lambda server=server: server.query("bateau_usage_tokens_out_total"), timeout_s=60)
        # Memory and CPU time are measured every 15 seconds.
        wait_for(lambda: first.query("rate(bateau_service_cpu_seconds_total[1m])"), timeout_s=60)
        _traffic(stack)
        time.sleep(3)
        yield both


def _traffic(stack: Stack) -> None:
    tree = stack.ask_status()
    assert tree
    address = next(each["address"] for each in tree["services"] if each["service"] == "app/front")
    for path in ("/", "/fail"):
        try:
            urllib.request.urlopen(address + path, timeout=20).close()
        except urllib.error.HTTPError as error:
            error.close()
    stack.post("/v1/chat/completions", chat_body())
    stack.post("/v1/chat/completions", {**chat_body(), "model": "none"})


def ready(expr: str) -> str:
    """Return a query with the values that Grafana fills in."""
    filled = expr.replace("$__rate_interval", "1m").replace("$instance", ".+").replace("$model", "chat")
    assert "$" not in filled, filled
    return filled


def test_every_panel_has_data_or_says_why_not(servers: Sequence[Server]) -> None:
    empty: list[str] = []
    for server in servers:
        for dashboard in dashboards():
            for panel, tree in zip(dashboard.panels, _panels(dashboard_json(dashboard)), strict=True):
                empty += _empty(server, panel, tree)
    assert empty == []


def _panels(tree: Any) -> list[Any]:
    return [each for each in tree["panels"] if each["type"] != "row"]


def _empty(server: Server, panel: Panel, tree: Any) -> Iterator[str]:
    """Yield the queries of a panel that return nothing. Those of a quiet one only need to be valid."""
    assert tree["title"] == panel.title
    for target in tree["targets"]:
        if not server.query(ready(target["expr"])) and not panel.quiet:
            yield f"{server.name}: {panel.title}: {target['expr']}"


def test_the_variables_have_values(servers: Sequence[Server]) -> None:
    for server in servers:
        for dashboard in dashboards():
            for variable in cast("Any", dashboard_json(dashboard))["templating"]["list"]:
                if variable["type"] == "query":
                    found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
                    assert found
                    values = {each["metric"][found[2]] for each in server.query(ready(found[1]))}
                    kept = {each for each in values if re.fullmatch(variable.get("regex", ".*"), each)}
                    assert kept, (server.name, variable["name"], values)
    assert json.dumps(dashboard_json(dashboards()[0]))


def test_prometheus_evaluates_every_rule_and_records_its_sums(servers: Sequence[Server]) -> None:
    server = servers[0]
    with urllib.request.urlopen(f"{server.url}/api/v1/rules", timeout=20) as response:
        groups = json.load(response)["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {group["name"] for group in groups} == {"bateau", "bateau/app/front", "bateau/model/chat"}
    assert [rule for rule in rules if rule["health"] != "ok"] == []
    recorded = [rule for rule in rules if rule["type"] == "recording"]
    for rule in recorded:
        labels = ",".join(f'{name}="{value}"' for name, value in rule["labels"].items())
        assert server.query(f"{rule['name']}{{{labels}}}"), rule["name"]
    (bad,) = server.query('service:bateau_bad_requests:increase5m{service="app/front",objective="availability"}')
    assert float(bad["value"][1]) > 0, "the app has failed"
    firing = {rule["name"] for rule in rules if rule["type"] == "alerting" and rule["state"] == "firing"}
    assert not firing & {"BateauDown", "BateauServiceDown", "BateauReplicasMissing", "BateauScrapeIncomplete"}


def test_top_and_graph_show_the_traffic_of_the_instance(busy: Stack) -> None:
    _traffic(busy)
    tree = json.loads(busy.bateau("top", "--json", "--sort", "memory").out)
    found = {each["service"]: each for each in tree["services"]}
    assert tree["services"][0]["service"] == "model/chat", "it has the most memory"
    assert found.keys() == {"app/front", "model/chat", "gateway/envoy"}
    assert all(each["memoryBytes"] > 0 and each["cpuCores"] is not None for each in found.values())
    assert found["gateway/envoy"]["requestsPerS"] is None
    table = busy.bateau("top").out
    assert [line.split()[:3] for line in table.splitlines()[3:5]] == [
        ["app/front", "Ready", "1/1"], ["model/chat", "Ready", "1/1"],
    ]  # fmt: skip
    lines = [line.split() for line in busy.bateau("graph").out.splitlines()]
    assert [(line[0], line[-1]) for line in lines] == [("app/front", "req/s"), ("└──", "req/s")]
