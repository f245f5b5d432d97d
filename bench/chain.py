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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bateau.domain.endpoint import Backend, Endpoint, Traffic
from bateau.traffic.envoy import EnvoyPlane, FrontFiles
from bateau.wiring.envoy import envoy_binary
from bateau.wiring.listen import free_port
from bateau.wiring.this_process import SystemClock
from bench.report import figure

ROUNDS = 5
SECONDS = 4
_TYPE = "type.googleapis.com/envoy.extensions.filters"
_ANSWER = json.dumps({"id": "x", "object": "chat.completion", "choices": [{"message": {"content": "x" * 900}}]})
_SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"model":"chat","messages":[{"role":"user","content":"%s"}]}'
"""


def main() -> None:
    """Measure and report."""
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed: apt-get install wrk")
    asyncio.run(_measure())


async def _measure() -> None:
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir="/tmp"))
    upstream, bare, front = free_port(), free_port(), free_port()
    script = folder / "post.lua"
    script.write_text(_SCRIPT % ("x" * 900))
    plane = EnvoyPlane(
        binary=envoy_binary(os.environ),
        cache=folder,
        runtime=folder,
        listen=("127.0.0.1", front),
        control_socket=folder / "control.sock",
        files=FrontFiles(),
        concurrency=1,
        clock=SystemClock(),
    )
    endpoint = Endpoint(replica="model.chat.0", address=f"127.0.0.1:{upstream}")
    backend = Backend(service="model/chat", name="chat", protocol="openai", endpoints=(endpoint,))
    plane.publish(Traffic(backends=(backend,)))
    command = [
        word.replace("{replica}", "gateway.envoy.0").replace("{socket}", str(folder / "admin.sock"))
        for word in plane.template().command
    ]
    # Three programs for the whole run: nothing here waits for their output.
    processes = [
        _envoy(folder, "upstream", _static(upstream, _direct_route())),
        _envoy(folder, "bare", _static(bare, _proxy_route(), cluster_port=upstream)),
        _start(command),
    ]
    try:
        await asyncio.sleep(2)
        targets = {"directly": upstream, "bare Envoy": bare, "the whole chain": front}
        for connections in (1, 32):
            await _compare(targets, script, connections)
    finally:
        await plane.close()
        for process in processes:
            process.terminate()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


async def _compare(targets: dict[str, int], script: Path, connections: int) -> None:
    rounds: list[dict[str, tuple[float, float, float]]] = []
    for number in range(ROUNDS):
        order = list(targets) if number % 2 else list(reversed(targets))
        rounds.append({name: await asyncio.to_thread(_wrk, targets[name], script, connections) for name in order})
    at = f"{connections} connection{'s' if connections > 1 else ''}"
    chain, bare, direct = "the whole chain", "bare Envoy", "directly"
    figure(f"requests/s, {at}: chain ÷ bare Envoy", [r[chain][0] / r[bare][0] for r in rounds], unit="x")
    figure(f"requests/s, {at}: chain ÷ directly", [r[chain][0] / r[direct][0] for r in rounds], unit="x")
    for name in targets:
        figure(f"requests/s, {at}: {name}", [r[name][0] for r in rounds], unit="1/s")
        figure(f"p50, {at}: {name}", [r[name][1] for r in rounds], unit="ms")
        figure(f"p99, {at}: {name}", [r[name][2] for r in rounds], unit="ms")


def _wrk(port: int, script: Path, connections: int) -> tuple[float, float, float]:
    """Return requests/s, p50 and p99 in milliseconds."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", "-s", str(script)]
    out = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/v1/chat/completions"], check=True, capture_output=True, text=True
    ).stdout
    assert "Non-2xx" not in out, out
    rate = float(re.findall(r"Requests/sec:\s+([\d.]+)", out)[0])
    return rate, _milliseconds(out, "50%"), _milliseconds(out, "99%")


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
