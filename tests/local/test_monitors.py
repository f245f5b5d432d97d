"""Monitors against a real instance, by a real blackbox exporter."""

import contextlib
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Generator
from pathlib import Path

import yaml

from local.stack import Stack, free_port, wait_for
from monitoring.installed import installed


@contextlib.contextmanager
def exporter(folder: Path, text: str) -> Generator[str]:
    (folder / "blackbox.yml").write_text(text)
    port = free_port()
    with (folder / "blackbox.log").open("w") as log:
        process = subprocess.Popen(
            [
                str(installed() / "prometheus-blackbox-exporter"),
                f"--config.file={folder / 'blackbox.yml'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
        try:
            wait_for(lambda: _page(f"http://127.0.0.1:{port}/-/healthy"))
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def _page(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=70) as response:
            return str(response.read().decode())
    except OSError:
        return ""


def test_the_exporter_finds_a_running_model_and_misses_it_when_it_is_gone(stack: Stack, tmp_path: Path) -> None:
    assert stack.up().code == 0
    made = stack.bateau("keys", "create", "probe", "--owner", "ops")
    assert made.code == 0, made.err
    key = made.out.strip()
    (tmp_path / "key").write_text(key)
    words = ("alerts", "monitors", "--url", stack.url, "--ask", "chat", "--format")
    modules = stack.bateau(*words, "blackbox", "--key-file", str(tmp_path / "key")).out
    scraped = yaml.safe_load(stack.bateau(*words, "scrape").out)
    targets = {
        each["labels"]["__param_module"]: each["targets"][0]
        for job in scraped["scrape_configs"]
        for each in job["static_configs"]
    }
    assert set(targets) == {"bateau_get", "bateau_get_with_key", "bateau_ask_model_chat"}

    def succeeds(module: str) -> bool:
        query = urllib.parse.urlencode({"target": targets[module], "module": module})
        return "\nprobe_success 1\n" in _page(f"{prober}/probe?{query}")

    with exporter(tmp_path, modules) as prober:
        wait_for(lambda: all(succeeds(each) for each in targets), timeout_s=60)
        (tmp_path / "key").write_text("sk-wrong")
        assert succeeds("bateau_get"), "the health of the gateway needs no key"
        assert not succeeds("bateau_ask_model_chat")
        (tmp_path / "key").write_text(key)
        stack.bateau("down")
        assert not any(succeeds(each) for each in targets)
