"""Which image serves a model, and with which arguments.

Called by render.kubernetes.pod, render.kubernetes.shape and render.kubernetes.target. Tags are pinned: an image that
moves cannot be explained.

Invariant: a model that no image can fetch by itself gives a reason and no container. Held by
tests/render/test_kubernetes.py::test_what_cannot_be_rendered_is_said.
"""

from dataclasses import dataclass
from typing import Final

from bateau.domain.workload import ModelServer, Workload
from bateau.render.marks import From, Marked, Rule

PORT: Final = 8080
IMAGES: Final[dict[tuple[str, str | None], str]] = {
    ("llama.cpp", None): "ghcr.io/ggml-org/llama.cpp:server-b11151",
    ("llama.cpp", "nvidia"): "ghcr.io/ggml-org/llama.cpp:server-cuda-b11151",
    ("vllm", "nvidia"): "docker.io/vllm/vllm-openai:v0.18.2",
}


@dataclass(frozen=True, slots=True)
class Server:
    """A container that serves a model: marked image, arguments, and the engine's name."""

    engine: str
    image: Rule[str]
    arguments: list[Marked]


def server_of(service: Workload, spec: ModelServer) -> Server | str:
    """Return the container that serves the model, or why there is none."""
    vendor = service.accelerator.vendor if service.accelerator else None
    file = spec.source.endswith(".gguf")
    engine = spec.engine or ("vllm" if vendor and not file else "llama.cpp")
    image = IMAGES.get((engine, vendor))
    if image is None:
        return f"there is no image for engine {engine} on {vendor or 'CPU'}"
    arguments = _vllm(service, spec) if engine == "vllm" else _llamacpp(service, spec)
    if isinstance(arguments, str):
        return arguments
    return Server(engine, Rule(image, f"image of {engine} for {vendor or 'CPU'}"), arguments)


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
