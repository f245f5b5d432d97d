"""Choose the image that serves a model, its arguments, and the way in which it gets the file.

The images of llama.cpp and vLLM fetch models of hf:// and https:// by themselves. All other sources are served by
Bateau's own image: an init container fetches the file, or the model is an image of its own, mounted as a volume
(KEP-4639).

Called by render. Tags are pinned: an image that
moves cannot be explained.

Invariant: a model that no image can fetch by itself gives a reason and no container. Held by
tests/render/test_kubernetes.py::test_what_cannot_be_rendered_is_said.
"""

import math
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Final

from bateau import __version__
from bateau.domain.workload import ModelServer, Workload
from bateau.render.marks import From, Marked, Rule

PORT: Final = 8080
IMAGES: Final[dict[tuple[str, str | None], str]] = {
    ("llama.cpp", None): "ghcr.io/ggml-org/llama.cpp:server-b11151",
    ("llama.cpp", "nvidia"): "ghcr.io/ggml-org/llama.cpp:server-cuda-b11151",
    ("vllm", "nvidia"): "docker.io/vllm/vllm-openai:v0.18.2",
}


OWN_IMAGE: Final = f"bateau.dev/bateau:{__version__}"
_SERVER: Final = ("python3", "-m", "bateau.runtimes.programs.llamacpp_server")
_FILE: Final = "/models/model.gguf"
_CLAIM: Final = "spec.cache.claimName"


@dataclass(frozen=True, slots=True)
class Server:
    """A container that serves a model: marked image, arguments, and the engine's name.

    `command` replaces that of the image. `fetch` is the command of an init container that fetches the model;
    `mounted` is the reference of the image that has it. Without either, the server fetches the model itself. `claim` is
    the PersistentVolumeClaim that keeps fetched files.
    """

    engine: str
    image: Rule[str]
    arguments: list[Marked]
    command: list[Marked] = field(default_factory=list[Marked])
    fetch: list[Marked] = field(default_factory=list[Marked])
    mounted: From[str] | None = None
    claim: From[str] | None = None


def server_of(service: Workload, spec: ModelServer) -> Server | str:
    """Return the container that serves the model, or why there is none."""
    server = _server(service, spec)
    if isinstance(server, str) or spec.cache_claim is None or server.mounted:
        return server
    return replace(server, claim=From(spec.cache_claim, _CLAIM))


def _server(service: Workload, spec: ModelServer) -> Server | str:
    vendor = service.accelerator.vendor if service.accelerator else None
    file = spec.source.endswith(".gguf")
    engine = spec.engine or ("vllm" if vendor and not file else "llama.cpp")
    if engine == "llama.cpp" and vendor is None and not spec.source.startswith(("hf://", "https://")):
        return _own(service, spec)
    image = IMAGES.get((engine, vendor))
    if image is None:
        return f"there is no image for engine {engine} on {vendor or 'CPU'}"
    arguments = _vllm(service, spec) if engine == "vllm" else _llamacpp(service, spec)
    if isinstance(arguments, str):
        return arguments
    return Server(engine, Rule(image, f"image of {engine} for {vendor or 'CPU'}"), arguments)


def _own(service: Workload, spec: ModelServer) -> Server | str:
    """Return the server of Bateau's own image, for a source that only Bateau can fetch, or an image with the model."""
    source = spec.source
    if source.startswith((".", "/", "~")):
        return f'a pod cannot read the file "{source}"; write the name of a model, or a source that can be fetched'
    made = _pair("--alias", service.name, "metadata.name")
    made += _constants("--address", f"0.0.0.0:{PORT}")
    made += _pair("--parallel", str(spec.parallel), "spec.parallel")
    if spec.context_length:
        made += _pair("--context", str(spec.context_length), "spec.contextLength")
    if spec.threads:
        made += _pair("--threads", str(spec.threads), "spec.threads")
    elif service.resources.cpu:
        made += _pair("--threads", str(math.ceil(service.resources.cpu)), "spec.resources.cpu", "one for each core")
    image = Rule(OWN_IMAGE, "image of Bateau, with llama.cpp for CPU")
    command: list[Marked] = [Rule(word, "program of the image") for word in _SERVER]
    if source.startswith("oci://"):
        mounted = From(source.removeprefix("oci://"), "spec.source", "mounted as a volume")
        arguments = [*_constants("--model", "/models"), *made]
        return Server("llama.cpp", image, arguments, command=command, mounted=mounted)
    # A claim may have the files of several models.
    name = f"/models/{blake2b(source.encode(), digest_size=8).hexdigest()}.gguf" if spec.cache_claim else _FILE
    fetch: list[Marked] = [Rule(word, "command that fetches the model") for word in ("bateau", "models", "pull")]
    fetch += [From(source, "spec.source"), *_constants("--output", name)]
    return Server("llama.cpp", image, [*_constants("--model", name), *made], command=command, fetch=fetch)


def _llamacpp(service: Workload, spec: ModelServer) -> list[Marked] | str:
    source = spec.source
    made: list[Marked] = []
    if source.startswith("hf://") and source.count("/") >= 4 and source.endswith(".gguf"):  # noqa: PLR2004
        owner, repository, file = source.removeprefix("hf://").split("/", 2)
        made += _pair("--hf-repo", f"{owner}/{repository}", "spec.source")
        made += _pair("--hf-file", file, "spec.source")
    elif source.startswith("https://"):
        made += _pair("--model-url", source, "spec.source")
    else:
        return f'llama.cpp in a container cannot fetch "{source}"; write hf://ORG/REPOSITORY/FILE.gguf or https://'
    made += _pair("--alias", service.name, "metadata.name")
    made += _constants("--host", "0.0.0.0", "--port", str(PORT), "--metrics")  # noqa: S104 - inside the pod
    made += _pair("--parallel", str(spec.parallel), "spec.parallel")
    if spec.context_length:
        total = str(spec.context_length * spec.parallel)
        made += _pair("--ctx-size", total, "spec.contextLength", "tokens of all slots together")
    if spec.threads:
        made += _pair("--threads", str(spec.threads), "spec.threads")
    if service.accelerator:
        made += _constants("--n-gpu-layers", "999")
    return made


def _vllm(service: Workload, spec: ModelServer) -> list[Marked] | str:
    source = spec.source
    if "://" in source.removeprefix("hf://") or source.removeprefix("hf://").count("/") != 1:
        return f'vLLM cannot fetch "{source}"; write hf://ORG/REPOSITORY'
    made = _pair("--model", source.removeprefix("hf://"), "spec.source")
    made += _pair("--served-model-name", service.name, "metadata.name")
    made += _constants("--host", "0.0.0.0", "--port", str(PORT))  # noqa: S104 - inside the pod
    made += _pair("--max-num-seqs", str(spec.parallel), "spec.parallel")
    if spec.context_length:
        made += _pair("--max-model-len", str(spec.context_length), "spec.contextLength")
    if service.accelerator and service.accelerator.count > 1:
        made += _pair("--tensor-parallel-size", str(service.accelerator.count), "spec.accelerator.count")
    return made


def _pair(flag: str, value: str, path: str, says: str | None = None) -> list[Marked]:
    return [Rule(flag, "argument of the server"), From(value, path, says)]


def _constants(*words: str) -> list[Marked]:
    return [Rule(word, "argument of the server") for word in words]
