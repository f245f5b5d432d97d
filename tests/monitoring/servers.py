"""Real Prometheus and VictoriaMetrics that scrape an instance, and their queries."""

import contextlib
import json
import math
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.stack import free_port, wait_for
from monitoring.installed import installed


@dataclass(frozen=True)
class Server:
    """A server with the API of Prometheus."""

    name: str
    url: str

    def query(self, expr: str) -> list[Any]:
        """Return the values of an instant query that are numbers."""
        query = urllib.parse.urlencode({"query": expr})
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/query?{query}", timeout=20) as response:
                found = json.load(response)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{self.name}: {expr}: {error.read().decode()}") from error
        return [each for each in found["data"]["result"] if not math.isnan(float(each["value"][1]))]


@contextlib.contextmanager
def prometheus(folder: Path, configuration: Path) -> Generator[Server]:
    """Run Prometheus."""
    port = free_port()
    words = [
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with _running("prometheus", words, folder, f"http://127.0.0.1:{port}", "/-/ready") as server:
        yield server


@contextlib.contextmanager
def victoria_metrics(folder: Path, configuration: Path) -> Generator[Server]:
    """Run VictoriaMetrics, which shows new samples at once."""
    port = free_port()
    words = [
        f"-promscrape.config={configuration}",
        f"-storageDataPath={folder / 'victoria'}",
        f"-httpListenAddr=127.0.0.1:{port}",
        "-search.latencyOffset=0s",
    ]
    with _running("victoria-metrics", words, folder, f"http://127.0.0.1:{port}", "/health") as server:
        yield server


@contextlib.contextmanager
def _running(name: str, words: list[str], folder: Path, url: str, ready: str) -> Generator[Server]:
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen([str(installed() / name), *words], stdout=log, stderr=log)
        try:
            wait_for(lambda: _answers(url + ready))
            yield Server(name, url)
        finally:
            process.terminate()
            process.wait(20)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except OSError:
        time.sleep(0.1)
        return False
