"""What the whole chain costs short requests: against an Envoy that only forwards, and against no proxy at all.

The upstream is an Envoy that answers 1 kB by itself; the load comes from wrk (Debian package `wrk`).
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bateau.domain.api_key import ApiKey
from bateau.domain.endpoint import Backend, Endpoint, Traffic
from bateau.traffic.envoy import EnvoyPlane, FrontFiles
from bateau.wiring.envoy import envoy_binary
from bateau.wiring.keys import Keys
from bateau.wiring.listen import free_port
from bateau.wiring.this_process import SystemClock
from bench.report import figure

DIRECT, BARE, OPEN, KEYED = "directly", "bare Envoy", "the chain without keys", "keys, limits and ledger"
ROUNDS = 5
SECONDS = 4
_TYPE = "type.googleapis.com/envoy.extensions.filters"
_ANSWER = json.dumps({"id": "x", "object": "chat.completion", "choices": [{"message": {"content": "x" * 900}}]})
_SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer %s"
wrk.body = '{"model":"chat","messages":[{"role":"user","content":"%s"}]}'
"""


def main() -> None:
    """Measure and report."""
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed: apt-get install wrk")
    asyncio.run(_measure())


@dataclass
class _Target:
    """An address to ask, and the process in front of the upstream, if there is one."""

    port: int
    process: psutil.Process | None = None


async def _measure() -> None:
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir="/tmp"))
    upstream, bare = free_port(), free_port()
    keys = Keys("bench", {"XDG_STATE_HOME": str(folder), "HOME": str(folder)})
    _, secret = keys.create(
        ApiKey(
            name="bench",
            owner="bench",
            created_at=0.0,
            models=("ch*",),
            requests_per_minute=10**9,
            expires_at=4e9,
        )
    )
    script = folder / "post.lua"
    script.write_text(_SCRIPT % (secret, "x" * 900))
    open_to_all = _Chain(folder / "open", upstream, FrontFiles())
    keyed = _Chain(folder / "keyed", upstream, FrontFiles(key_filters=keys.directory, ledger=folder / "requests.jsonl"))
    # Programs for the whole run: nothing here waits for their output.
    processes = {
        "upstream": _envoy(folder, "upstream", _static(upstream, _direct_route())),
        BARE: _envoy(folder, "bare", _static(bare, _proxy_route(), cluster_port=upstream)),
        OPEN: _start(open_to_all.command),
        KEYED: _start(keyed.command),
    }
    try:
        await asyncio.sleep(3)
        targets = {
            DIRECT: _Target(upstream),
            BARE: _Target(bare, psutil.Process(processes[BARE].pid)),
            OPEN: _Target(open_to_all.port, psutil.Process(processes[OPEN].pid)),
            KEYED: _Target(keyed.port, psutil.Process(processes[KEYED].pid)),
        }
        for connections in (1, 32):
            await _compare(targets, script, connections)
    finally:
        await open_to_all.plane.close()
        await keyed.plane.close()
        for process in processes.values():
            process.terminate()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


class _Chain:
    """Bateau's Envoy with one model, and the control plane that feeds it."""

    def __init__(self, folder: Path, upstream: int, files: FrontFiles) -> None:
        folder.mkdir()
        self.port = free_port()
        self.plane = EnvoyPlane(
            binary=envoy_binary(os.environ),
            cache=folder.parent,
            runtime=folder,
            listen=("127.0.0.1", self.port),
            control_socket=folder / "control.sock",
            files=files,
            concurrency=1,
            clock=SystemClock(),
        )
        endpoint = Endpoint(replica="model.chat.0", address=f"127.0.0.1:{upstream}")
        backend = Backend(service="model/chat", name="chat", protocol="openai", endpoints=(endpoint,))
        self.plane.publish(Traffic(backends=(backend,)))
        self.command = [
            word.replace("{replica}", "gateway.envoy.0").replace("{socket}", str(folder / "admin.sock"))
            for word in self.plane.template().command
        ]


async def _compare(targets: Mapping[str, _Target], script: Path, connections: int) -> None:
    rounds: list[dict[str, _Round]] = []
    for number in range(ROUNDS):
        order = [*targets] if number % 2 else [*targets][::-1]
        rounds.append({name: await asyncio.to_thread(_wrk, targets[name], script, connections) for name in order})
    at = f"{connections} connection{'s' if connections > 1 else ''}"
    for chain in (OPEN, KEYED):
        figure(f"requests/s, {at}: {chain} ÷ bare Envoy", [r[chain].rate / r[BARE].rate for r in rounds], unit="x")
        figure(f"CPU, {at}: bare Envoy ÷ {chain}", [r[BARE].cpu_us / r[chain].cpu_us for r in rounds], unit="x")
    for name in targets:
        figure(f"requests/s, {at}: {name}", [r[name].rate for r in rounds], unit="1/s")
        figure(f"p50, {at}: {name}", [r[name].p50_ms for r in rounds], unit="ms")
        figure(f"p99, {at}: {name}", [r[name].p99_ms for r in rounds], unit="ms")
        if targets[name].process:
            figure(f"CPU per request, {at}: {name}", [r[name].cpu_us for r in rounds], unit="us")


@dataclass
class _Round:
    """Requests per second, latencies, and the CPU time of the proxy for each request, in microseconds."""

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


def _wrk(target: _Target, script: Path, connections: int) -> _Round:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", "-s", str(script)]
    before = _cpu_s(target.process)
    out = subprocess.run(
        [*command, f"http://127.0.0.1:{target.port}/v1/chat/completions"], check=True, capture_output=True, text=True
    ).stdout
    assert "Non-2xx" not in out, out
    requests = int(re.findall(r"(\d+) requests in", out)[0])
    return _Round(
        rate=float(re.findall(r"Requests/sec:\s+([\d.]+)", out)[0]),
        p50_ms=_milliseconds(out, "50%"),
        p99_ms=_milliseconds(out, "99%"),
        cpu_us=(_cpu_s(target.process) - before) / requests * 1e6,
    )


def _cpu_s(process: psutil.Process | None) -> float:
    if process is None:
        return 0.0
    times = process.cpu_times()
    return times.user + times.system


def _milliseconds(out: str, percentile: str) -> float:
    value, unit = re.findall(rf"{percentile}\s+([\d.]+)(us|ms|s)", out)[0]
    return float(value) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def _envoy(folder: Path, name: str, config: dict[str, Any]) -> subprocess.Popen[bytes]:
    path = folder / f"{name}.json"
    path.write_text(json.dumps(config))
    command = [str(envoy_binary(os.environ)), "--config-path", str(path), "--concurrency", "1", "--disable-hot-restart"]
    return _start(command)


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def _direct_route() -> dict[str, Any]:
    return {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": _ANSWER}}}


def _proxy_route() -> dict[str, Any]:
    return {"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "0s"}}


def _static(port: int, route: dict[str, Any], *, cluster_port: int | None = None) -> dict[str, Any]:
    manager = {
        "@type": f"{_TYPE}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPE}.http.router.v3.Router"}}
        ],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    }
    return {
        "static_resources": {
            "listeners": [
                {
                    "address": _address(port),
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                }
            ],
            "clusters": [] if cluster_port is None else [_cluster(cluster_port)],
        }
    }


def _cluster(port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(port)}}
    return {
        "name": "upstream",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "upstream", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


if __name__ == "__main__":
    main()
