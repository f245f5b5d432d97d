"""Peers of the gateway, each with one thread for requests: Envoy that only forwards, nginx, haproxy and LiteLLM.

Used by bench.contenders, bench.chain and bench.instructions.

Invariant: each is configured as its documentation says for fast proxying: connections to the upstream are kept, answers
are not buffered, and nothing is logged.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bateau.wiring.envoy import envoy_binary
from bench.peer_installs import NotInstalledError, python_with

# The proxy of 1.110 needs the package litellm-proxy, which pip does not find.
LITELLM_VERSION = "1.106.12"
_TYPE = "type.googleapis.com/envoy.extensions.filters"
_SBIN = ("/usr/sbin", "/usr/local/sbin")

_NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 100000000;
  upstream engine {{
    server 127.0.0.1:{upstream};
    keepalive 128;
    keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://engine;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""
_HAPROXY = """\
global
  nbthread 1
  maxconn 1024
defaults
  mode http
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 600s
  timeout server 600s
frontend clients
  bind 127.0.0.1:{port}
  default_backend engine
backend engine
  server engine 127.0.0.1:{upstream}
"""
_LITELLM = """\
model_list:
  - model_name: chat
    litellm_params: {{model: openai/chat, api_base: "http://127.0.0.1:{upstream}/v1", api_key: none}}
general_settings: {{master_key: "{secret}"}}
"""


def envoy(folder: Path, port: int, upstream: int) -> subprocess.Popen[bytes]:
    """Start an Envoy that only forwards."""
    return _envoy(folder, forwarding(port, upstream))


def forwarding(port: int, upstream: int) -> dict[str, Any]:
    """Return the configuration of an Envoy that only forwards."""
    route = {"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "0s"}}
    return _static(port, route, clusters=[_cluster(upstream)])


def answering_envoy(folder: Path, port: int, answer: str) -> subprocess.Popen[bytes]:
    """Start an Envoy that gives the same answer to every request by itself: an upstream that is never the limit.

    It reads the whole request first: an Envoy that answers before the end of a body closes the connection.
    """
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": answer}}}
    whole = {"@type": f"{_TYPE}.http.buffer.v3.Buffer", "max_request_bytes": 2**20}
    return _envoy(folder, _static(port, route, clusters=[], filters=[{"name": "whole", "typed_config": whole}]))


def nginx(folder: Path, port: int, upstream: int) -> subprocess.Popen[bytes]:
    """Start nginx. Raises NotInstalledError."""
    program = _program("nginx")
    text = _NGINX.format(folder=folder, port=port, upstream=upstream)
    if os.geteuid() == 0:
        text = f"user root;\n{text}"
    path = folder / "nginx.conf"
    path.write_text(text)
    return _start([program, "-c", str(path), "-p", str(folder), "-e", str(folder / "error.log")])


def haproxy(folder: Path, port: int, upstream: int) -> subprocess.Popen[bytes]:
    """Start haproxy. Raises NotInstalledError."""
    program = _program("haproxy")
    path = folder / "haproxy.cfg"
    path.write_text(_HAPROXY.format(port=port, upstream=upstream))
    return _start([program, "-db", "-f", str(path)])


def litellm(folder: Path, port: int, upstream: int, secret: str) -> subprocess.Popen[bytes]:
    """Start LiteLLM's proxy with one worker, which `secret` opens. Raises NotInstalledError."""
    program = python_with(f"litellm[proxy]=={LITELLM_VERSION}").with_name("litellm")
    path = folder / "litellm.yaml"
    path.write_text(_LITELLM.format(upstream=upstream, secret=secret))
    words = [str(program), "--config", str(path), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    # It is a program of others that listens: it gets no variable of this environment that it does not need.
    environ = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(folder),
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    return _start(words, environ)


def _program(name: str) -> str:
    path = os.pathsep.join((os.environ.get("PATH", ""), *_SBIN))
    found = shutil.which(name, path=path)
    if found is None:
        raise NotInstalledError(f"there is no program `{name}`: apt-get install {name}")
    return found


def _start(command: Sequence[str], environ: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    # Programs for the whole run: nothing waits for their output.
    return subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _envoy(folder: Path, config: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    path = folder / "envoy.json"
    path.write_text(json.dumps(config))
    binary = str(envoy_binary(os.environ))
    return _start([binary, "--config-path", str(path), "--concurrency", "1", "--disable-hot-restart"])


def _static(
    port: int,
    route: Mapping[str, Any],
    *,
    clusters: Sequence[Mapping[str, Any]],
    filters: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    manager = {
        "@type": f"{_TYPE}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "http_filters": [
            *filters,
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPE}.http.router.v3.Router"}},
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
            "clusters": list(clusters),
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
