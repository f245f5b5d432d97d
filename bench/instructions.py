"""How many instructions a request costs in Envoy, part by part: bare Envoy, the native chain, and it without one part.

    python -m bench.instructions [PATTERN]... [--requests 10] [--rounds 12]

All of them are listeners of one Envoy with one worker under callgrind, which counts from the first request on; an Envoy
outside of it answers. The least of many short rounds counts: timers, and counts that Envoy gets together, add to the
others. What the kernel does and what caches miss is not seen, so shares of CPU time (bench.chain) differ. Callgrind has
no SHA instructions: the hash of a key costs about 3,300 instructions more than on most processors.

It needs Debian's package `valgrind`, and `make gate`. Nothing of it is kept, so it is not one of `python -m bench`.
"""

import argparse
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from bateau.domain.endpoint import Backend, Endpoint
from bateau.traffic.envoy import FrontSettings
from bateau.traffic.envoy.bootstrap import connections_bound, stats_config
from bateau.traffic.envoy.clusters import cluster, load_assignment
from bateau.traffic.envoy.gate import Gate
from bateau.traffic.envoy.listener import front_filters, front_listener
from bateau.traffic.envoy.routes import front_routes
from bateau.wiring.envoy import envoy_binary
from bateau.wiring.filters import native_library
from bateau.wiring.listen import free_port
from bench import plain_proxies
from bench.chain import ANSWER
from bench.contenders import limited_key

_READY_S: Final = 400
_BODY: Final = json.dumps({"model": "chat", "messages": [{"role": "user", "content": "x" * 900}]})
_IDLE: Final = (
    *("bateau.dashboard", "bateau.tokens", "bateau.model-tokens", "bateau.listed", "bateau.model-requests"),
    *("envoy.filters.http.transform", "bateau.waiting", "envoy.filters.http.on_demand"),
)
_STRIPPED: Final = ("normalize_path", "merge_slashes", "path_with_escaped_slashes_action")
_LENGTH: Final = re.compile(rb"(?i)content-length: (\d+)")
_TOTAL: Final = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)
Json = dict[str, Any]


@dataclass(frozen=True)
class Chain:
    """The configuration of one listener: parts can be taken out."""

    manager: Json
    routes: Json
    cluster: Json

    @property
    def router(self) -> Json:
        """The configuration of the last filter."""
        return self.manager["http_filters"][-1]["typed_config"]

    def each_route(self, change: Callable[[Json], object]) -> None:
        """Change each route to the model."""
        for route in _routes_in(self.routes):
            change(route)

    def without_filters(self, *names: str) -> None:
        """Leave out filters."""
        self.manager["http_filters"] = [each for each in self.manager["http_filters"] if each["name"] not in names]

    def gate(self, change: Callable[[Json], object]) -> None:
        """Change the configuration of the native filter."""
        (found,) = (each for each in self.manager["http_filters"] if each["name"] == "bateau.gate")
        path = Path(found.pop("config_discovery")["config_source"]["path_config_source"]["path"])
        config = json.loads(path.read_text())["resources"][0]["typed_config"]
        tree = json.loads(config["filter_config"]["value"])
        change(tree)
        config["filter_config"]["value"] = json.dumps(tree)
        found["typed_config"] = config


def _routes_in(tree: Any) -> Iterator[Json]:
    """Yield the routes to the model."""
    if isinstance(tree, dict):
        found = cast("Json", tree)
        if found.get("name") == "chat" and "route" in found:
            yield found
        tree = [*found.values()]
    if isinstance(tree, list):
        for each in cast("list[Any]", tree):
            yield from _routes_in(each)


def _no_gate(chain: Chain) -> None:
    """Without the filter no model is known, so one route takes everything."""
    routes = [*_routes_in(chain.routes)]
    host = chain.routes["virtual_hosts"][0]
    del host["matcher"]
    host["routes"] = [{**routes[-1], "match": {"prefix": "/"}}]
    chain.without_filters("bateau.gate")


def _without(tree: Json, *names: str) -> None:
    for name in names:
        tree.pop(name, None)


def _no_limit(table: Json) -> None:
    for key in table["keys"]:
        del key["requests_per_minute"]


PARTS: Final[Mapping[str, Callable[[Chain], object]]] = {
    "the native filter": _no_gate,
    "its check of keys and limits": lambda chain: chain.gate(lambda table: table.update(required=False)),
    "its requests per minute, with six headers": lambda chain: chain.gate(_no_limit),
    "its line about the end": lambda chain: chain.gate(lambda table: table.update(ledger=None)),
    "its look at prompts and roles": lambda chain: chain.gate(lambda table: table.update(prompt_paths=[], roles={})),
    "the line about the beginning": lambda chain: _without(chain.router, "upstream_log", "upstream_log_options"),
    "counts and times by route": lambda chain: _without(chain.manager, "access_log"),
    "filters that do nothing here": lambda chain: chain.without_filters(*_IDLE),
    "retries": lambda chain: chain.each_route(lambda route: _without(route["route"], "retry_policy")),
    "headers that replicas do not get": lambda chain: chain.each_route(
        lambda route: _without(route, "request_headers_to_remove", "response_headers_to_remove")
    ),
    "the metadata of the route": lambda chain: chain.each_route(lambda route: _without(route, "metadata")),
    "one spelling of paths": lambda chain: _without(chain.manager, *_STRIPPED),
    "the time limit of headers": lambda chain: _without(chain.manager, "request_headers_timeout"),
    "the request id": lambda chain: chain.manager.update(
        generate_request_id=False, always_set_request_id_in_response=False
    ),
    "the address of the client": lambda chain: _without(chain.manager, "use_remote_address", "skip_xff_append"),
    "the texts of refusals": lambda chain: _without(chain.manager, "local_reply_config"),
    "circuit breakers": lambda chain: _without(chain.cluster, "circuit_breakers"),
    "outlier detection": lambda chain: _without(chain.cluster, "outlier_detection"),
    "the balancer of conversations": lambda chain: _without(chain.cluster, "load_balancing_policy"),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "patterns", nargs="*", help="which parts are taken out, by a part of their names [default: all]"
    )
    parser.add_argument("--requests", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    wanted: Sequence[str] = options.patterns or [""]
    parts = {name: take for name, take in PARTS.items() if any(each in name for each in wanted)}
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as name, ExitStack() as stack:
        counts = _measured(Path(name), parts, stack, options.requests, options.rounds)
    ours, bare = counts["the native chain"], counts["bare Envoy"]
    for each, count in counts.items():
        print(f"{each:50} {count / 1000:8.1f} k  {(count - ours) / 1000:+8.1f} k")
    print(f"bare Envoy ÷ the native chain: {bare / ours:.3f}")


def _measured(
    folder: Path, parts: Mapping[str, Callable[[Chain], object]], stack: ExitStack, requests: int, rounds: int
) -> Mapping[str, float]:
    """Return the instructions of a request by the name of the configuration."""
    upstream, library = free_port(), native_library()
    if library is None:
        sys.exit("the native filter is built by make gate")
    (folder / "answering").mkdir()
    _ended_with(stack, plain_proxies.answering_envoy(folder / "answering", upstream, ANSWER))
    keys, secret = limited_key(folder)
    front = FrontSettings(key_filters=keys.directory, ledger=folder / "requests.jsonl", library=library)
    keys.use(Gate(library=library, ledger=front.ledger))
    keys.publish(open_to_all=False)

    ports = {name: free_port() for name in ("bare Envoy", "the native chain", *(f"without {part}" for part in parts))}
    bare = plain_proxies.forwarding(ports["bare Envoy"], upstream)["static_resources"]
    listeners, clusters = [{**bare["listeners"][0], "name": "bare"}], list(bare["clusters"])
    for number, (name, port) in enumerate(list(ports.items())[1:]):
        listener, service = _chain(
            front, f"model/chat-{number}", port, upstream, parts.get(name.removeprefix("without "))
        )
        listeners.append({**listener, "name": name})
        clusters.append(service)
    clusters.append({"name": "bateau-control", "type": "STATIC"})
    config = {
        "admin": {"address": {"pipe": {"path": str(folder / "admin.sock")}}},
        "node": {"id": "bench", "cluster": "bench"},
        "static_resources": {"listeners": listeners, "clusters": clusters},
        "stats_flush_interval": "299s",
        "stats_config": stats_config(),
        "overload_manager": connections_bound(),
    }
    (folder / "envoy.json").write_text(json.dumps(config))
    envoy = [str(envoy_binary({})), "-c", str(folder / "envoy.json"), "--concurrency", "1", "--disable-hot-restart"]
    tool = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/count"]
    quiet = subprocess.DEVNULL
    process = _ended_with(stack, subprocess.Popen([*tool, *envoy], stdout=quiet, stderr=quiet))
    _wait_for(process, [*ports.values()])
    clients = {
        name: stack.enter_context(closing(socket.create_connection(("127.0.0.1", ports[name])))) for name in ports
    }
    for client in clients.values():
        _ask(client, secret, 10)
    _control(process, "-i", "on")
    counts: dict[str, list[float]] = {name: [] for name in clients}
    for _ in range(rounds):
        for name, client in clients.items():
            _ask(client, secret, 5)
            _control(process, "-z")
            _ask(client, secret, requests)
            before = {*folder.glob("count.*")}
            _control(process, "-d")
            (made, *_) = sorted({*folder.glob("count.*")} - before)
            counts[name].append(int(_TOTAL.findall(made.read_text())[-1]) / requests)
    return {name: min(each) for name, each in counts.items()}


def _chain(
    front: FrontSettings, service: str, port: int, upstream: int, take: Callable[[Chain], object] | None
) -> tuple[Json, Json]:
    """Return a listener of the native chain without a part, and its cluster: what comes over xDS is written in them."""
    endpoint = Endpoint(replica="model.chat.0", address=f"127.0.0.1:{upstream}")
    model = Backend(service=service, name="chat", protocol="openai", endpoints=(endpoint,), reuses_connections=True)
    listener = _copy(front_listener("127.0.0.1", port, front=front))
    manager: Json = listener["filter_chains"][0]["filters"][0]["typed_config"]
    del manager["rds"]
    over_ads = {each["name"]: each["typed_config"] for each in front_filters(front, [model])}
    for each in manager["http_filters"]:
        if "ads" in each.get("config_discovery", {}).get("config_source", {}):
            del each["config_discovery"]
            each["typed_config"] = over_ads[each["name"]]
    chain = Chain(manager, _copy(front_routes([model])), _copy(cluster(model, balancer=front.library)))
    del chain.cluster["eds_cluster_config"]
    chain.cluster.update(type="STATIC", load_assignment=load_assignment(model))
    if take:
        take(chain)
    manager["route_config"] = chain.routes
    return listener, chain.cluster


def _copy(tree: object) -> Json:
    return json.loads(json.dumps(tree))


def _ended_with(stack: ExitStack, process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    stack.callback(process.wait)
    stack.callback(process.terminate)
    return process


def _wait_for(process: subprocess.Popen[bytes], ports: Sequence[int]) -> None:
    deadline = time.monotonic() + _READY_S
    for port in ports:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit("Envoy does not start under callgrind: is valgrind installed?")
                time.sleep(0.3)


def _control(process: subprocess.Popen[bytes], *words: str) -> None:
    subprocess.run(["callgrind_control", *words, str(process.pid)], check=True, capture_output=True)


def _ask(client: socket.socket, secret: str, times: int) -> None:
    """Send requests, one after another; all must be answered with 200."""
    head = (
        "POST /v1/chat/completions HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Authorization: Bearer {secret}",
        f"Content-Length: {len(_BODY)}",
    )
    for _ in range(times):
        client.sendall("\r\n".join((*head, "", _BODY)).encode())
        got = b""
        while b"\r\n\r\n" not in got:
            got += client.recv(65_536)
        begin, _, body = got.partition(b"\r\n\r\n")
        assert begin.startswith(b"HTTP/1.1 200"), got
        (length,) = _LENGTH.findall(begin)
        while len(body) < int(length):
            body += client.recv(65_536)


if __name__ == "__main__":
    main()
