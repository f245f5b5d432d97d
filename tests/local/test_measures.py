"""The history of a real instance: what is measured, also after its control plane died, and charts by Prometheus."""

import http.cookiejar
import os
import re
import signal
import time
import urllib.request
from pathlib import Path

import psutil

from bateau.domain.measures import ANSWERS, CPU, MEMORY, OUTPUT_TOKENS, REQUESTS, RESTARTS, SERVER_ERRORS, Measure
from bateau.store.measures import MeasureReader
from bateau.wiring.measures import measures_path
from bateau.wiring.paths import paths
from local.stack import Stack, chat_body, wait_for
from monitoring.servers import prometheus

CHAT, ENVOY = "model/chat", "gateway/envoy"
CONFIGURATION = """\
global: {{scrape_interval: 1s}}
scrape_configs:
- job_name: bateau
  static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class Watched:
    """The history of an instance, read by another process than its control plane."""

    def __init__(self, stack: Stack) -> None:
        self._directory = measures_path(paths(stack.name, stack.environ))
        self._began = time.time() - 60

    def reader(self) -> MeasureReader:
        return MeasureReader(self._directory, time.time)

    def total(self, measure: Measure, service: str = CHAT) -> float:
        return self.reader().total(service, measure, since=self._began, until=time.time() + 60) or 0.0

    def last(self) -> float:
        return self.reader().last or 0.0


def charts(stack: Stack, path: str = CHAT) -> str:
    """Return the charts of a service as the dashboard shows them."""
    link = re.search(r"http\S+", stack.bateau("open").out)
    assert link
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    opener.open(link[0], timeout=20).close()
    with opener.open(f"{stack.url}/ui/services/{path}", timeout=20) as answer:
        page = answer.read().decode()
    return page.partition('<section id="charts"')[2].partition("</section>")[0]


def values(html: str, chart: str) -> list[list[str]]:
    figure = html.partition(f'<figure id="chart-{chart}"')[2].partition("</figure>")[0]
    found = re.search(r'data-values="([^"]*)"', figure)
    assert found, chart
    return [line.split("|") for line in found[1].split("\n")]


def test_what_happens_is_measured_and_survives_a_killed_control_plane(stack: Stack):
    assert stack.up().code == 0
    watched = Watched(stack)
    wait_for(watched.last, timeout_s=40)
    for _ in range(3):
        assert "choices" in stack.post("/v1/chat/completions", chat_body())
    assert "error" in stack.post("/v1/chat/completions", {**chat_body(), "temperature": "hot"})
    wait_for(lambda: watched.total(REQUESTS) == 4 and watched.total(OUTPUT_TOKENS), timeout_s=40)
    assert watched.total(SERVER_ERRORS) == 0
    assert watched.total(ANSWERS) >= 3
    assert 3 <= watched.total(OUTPUT_TOKENS) <= 24
    assert watched.total(CPU) > 0 and watched.total(MEMORY) > 2**20 and watched.total(MEMORY, ENVOY) > 2**20
    shown = charts(stack)
    assert any(each not in {"0", "not known"} for each in values(shown, "requests")[0])
    assert "Ready" in shown and values(shown, "replicas")[1][-1] == "1"

    (replica,) = stack.replicas()
    os.kill(replica["pid"], signal.SIGKILL)
    wait_for(lambda: watched.total(RESTARTS) == 1, timeout_s=60)

    stack.kill_control()
    before, reader = watched.last(), watched.reader()
    assert reader.services() == [ENVOY, CHAT]
    assert watched.total(REQUESTS) == 4 and reader.latest(CHAT)["replicas_wanted"] == 1
    assert stack.up().code == 0
    wait_for(lambda: watched.last() > before, timeout_s=40)
    assert watched.total(REQUESTS) == 4, "nothing is counted twice"
    time.sleep(16)
    assert watched.total(REQUESTS) == 4
    assert not re.search("ERROR .*measure", paths(stack.name, stack.environ).control_log.read_text())


def test_charts_show_the_values_of_prometheus_and_the_own_ones_without_it(stack: Stack, tmp_path: Path):
    configuration = tmp_path / "scrape.yml"
    configuration.write_text(CONFIGURATION.format(port=stack.port))
    with prometheus(tmp_path, configuration) as server:
        assert stack.up("--prometheus", server.url, "--prometheus-label", "job=bateau").code == 0
        stack.post("/v1/chat/completions", chat_body())
        wait_for(lambda: server.query("bateau_requests_total"), timeout_s=40)
        time.sleep(3)
        for _ in range(4):
            stack.post("/v1/chat/completions", chat_body())
        wait_for(lambda: server.query('bateau_requests_total{gen_ai_request_model="chat"} >= 5'), timeout_s=40)
        wait_for(lambda: server.query("bateau_service_memory_bytes"), timeout_s=40)

        def shown() -> str | None:
            html = charts(stack)
            is_known = all(
                set(line) - {"not known"} for name in ("requests", "cpu", "memory") for line in values(html, name)
            )
            return html if f"from {server.url}" in html and is_known else None

        html = wait_for(shown, timeout_s=60, every_s=2)
        assert "says warn" not in html
        for chart in ("requests", "errors", "tokens", "waiting", "replicas", "cpu", "memory", "latency"):
            known = [line for line in values(html, chart) if set(line) - {"not known", "no requests"}]
            assert known, chart
        assert values(html, "replicas")[0][-1] == "1"
        day = charts(stack, f"{CHAT}/day")
        assert f"from {server.url}" in day and set(values(day, "requests")[0]) - {"not known", "0"}
        words = [each for process in psutil.process_iter(["cmdline"]) for each in process.info["cmdline"] or ()]
        assert server.url in words, "the option is passed on to the control plane in the background"

    def fallen_back() -> str | None:
        html = charts(stack)
        return html if "does not answer" in html else None

    html = wait_for(fallen_back, timeout_s=60, every_s=2)
    assert "from http" not in html and set(values(html, "memory")[0]) - {"not known"}


def test_an_option_that_is_wrong_is_an_error(stack: Stack):
    done = stack.up("--prometheus", "http://user:hush@127.0.0.1:9090")
    assert done.code == 2 and "BATEAU_PROMETHEUS_TOKEN" in done.err and "hush" not in done.err
    assert "NAME=VALUE" in stack.up("--prometheus", "http://127.0.0.1:9", "--prometheus-label", "x").err
