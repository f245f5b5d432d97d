"""The normal form of a service, which is the same for every kind of document, and its parts.

Made by specs.kinds at the end of hydration; read by place, render, policy, plan and control. The parts are schemas
too, because documents of several kinds contain them.

Invariant: no code after hydrate asks which kind a workload came from; it matches on `runs`, and the type checker lists
every place that has to handle a new variant. Held by
tests/test_house.py::test_no_package_after_hydrate_asks_for_the_kind_of_a_workload.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bateau.domain.chart import Chart
from bateau.domain.costs import Costs
from bateau.domain.origin import Origin, Origins
from bateau.domain.route import Route
from bateau.domain.slo import Slo
from bateau.kit.json_value import ReadJson, ReadObject
from bateau.kit.position import Position
from bateau.kit.schema import Bytes, Cores, Seconds, described


class ServiceKey(str):
    """The key of a service: its kind in lower case and its name.

    >>> ServiceKey("model/chat").name
    'chat'
    >>> ServiceKey.of("App", "shop") == "app/shop"
    True
    """

    __slots__ = ()

    @classmethod
    def of(cls, kind: str, name: str) -> "ServiceKey":
        """Return the key of a document."""
        return cls(f"{kind.lower()}/{name}")

    @property
    def kind(self) -> str:
        """The kind in lower case, for people and labels. No decision may depend on it."""
        return self.partition("/")[0]

    @property
    def name(self) -> str:
        """The name of the document."""
        return self.partition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Resources:
    """The limits of one replica, as in Kubernetes."""

    cpu: Cores | None = described("CPU limit of a replica, in cores.", default=None, examples=("500m", "2"))
    memory: Bytes | None = described("Memory limit of a replica.", default=None, examples=("512Mi", "2Gi"))


@dataclass(frozen=True, kw_only=True)
class Health:
    """How a replica is probed. Absent fields are derived from the protocol of the port, and reported."""

    path: str | None = described(
        "HTTP path that responds with 2xx or 3xx if the replica can serve. Absent: a TCP connection, or gRPC health.",
        default=None,
        pattern=r"/.*",
        pattern_says="a path that begins with '/'",
        examples=("/healthz",),
    )
    port: str | None = described("Name of the port to probe. Absent: the first port.", default=None, examples=("http",))
    kind: Literal["http", "tcp", "grpc"] | None = described(
        "Kind of the probe. Absent: `http` if `path` is set, `grpc` on a grpc port, else `tcp`.", default=None
    )
    interval: Seconds = described("Time between two probes.", default=5.0, minimum=0.1)
    timeout: Seconds = described("Time after which a probe without a response fails.", default=5.0, minimum=0.1)
    failure_threshold: int = described(
        "Consecutive failed probes after which a replica is restarted (liveness). A probe without a response does not "
        "count while the replica uses a CPU, for five minutes at most.",
        default=3,
        minimum=1,
    )
    start_timeout: Seconds = described(
        "Time until the first successful probe, after which the replica is restarted.", default=120.0, minimum=0.1
    )


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """The accelerator of one replica."""

    vendor: Literal["nvidia", "amd", "intel"] = described("Maker of the accelerator.", default="nvidia")
    count: int = described("Number of accelerators.", default=1, minimum=1)
    memory: Bytes | None = described(
        "Memory of each accelerator: the least that it has, or the part that is used where the cluster shares them.",
        default=None,
    )


@dataclass(frozen=True, kw_only=True)
class Queue:
    """Requests that may wait."""

    max: int = described(
        "Number of requests that may wait: for a slot, or while the model wakes up.", default=64, minimum=0
    )
    wait: Seconds = described("Longest time that a request may wait while the model wakes up.", default=60.0, minimum=0)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How the number of replicas follows the load."""

    min: int = described(
        "Smallest number of replicas; 0 lets the model sleep, on one machine only.", default=1, minimum=0
    )
    max: int = described("Largest number of replicas.", default=1, minimum=1)
    idle_after: Seconds = described(
        "Time without requests after which a replica may be removed.", default=300.0, minimum=1
    )
    queue: Queue | None = described(
        "Bounds of the queue of requests, on one machine only. Absent: 64 may wait for a sleeping model, and many "
        "for a slot.",
        default=None,
    )


@dataclass(frozen=True, kw_only=True)
class KeyLimits:
    """Limits of each API key at a model."""

    requests_per_minute: int | None = described("Requests per minute.", default=None, minimum=1, examples=(60,))
    tokens_per_minute: int | None = described(
        "Tokens per minute, of questions and answers together, on one machine only.",
        default=None,
        minimum=1,
        examples=(60000,),
    )


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits on the usage of a model. All of its clients share them. On clusters, each gateway counts for itself."""

    requests_per_minute: int | None = described(
        "Requests per minute of all clients together.",
        default=None,
        minimum=1,
        examples=(600,),
    )
    tokens_per_minute: int | None = described(
        "Tokens per minute of all clients together, of questions and answers, on one machine only.",
        default=None,
        minimum=1,
        examples=(200000,),
    )
    per_key: KeyLimits = described("Limits of each API key.", default_factory=KeyLimits)

    @property
    def limits_tokens(self) -> bool:
        """Whether the tokens of the model are limited."""
        return (self.tokens_per_minute, self.per_key.tokens_per_minute) != (None, None)


Affinity = Literal["prefix", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """Which models answer the requests for a model, besides itself, and which of its replicas.

    `fallback` is the name of the model that answers if this one cannot. `split` has the names of models that get a part
    of its requests, in percent. An answer takes at most `timeout_s` seconds; None: as long as it takes. With `affinity`
    "prefix", the requests of a conversation go to one replica.
    """

    fallback: str | None = None
    split: tuple[tuple[str, int], ...] = ()
    timeout_s: float | None = None
    affinity: Affinity = "none"

    @property
    def others(self) -> frozenset[str]:
        """The names of all models that may answer instead."""
        names = {name for name, _ in self.split}
        return frozenset(names | {self.fallback} if self.fallback else names)


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """How a new revision replaces the old one."""

    strategy: Literal["rolling", "blueGreen"] = described("Strategy of the rollout.", default="rolling")
    judge: tuple[str, ...] = described(
        "CEL conditions that the new revision (green) must meet, compared with the old one (blue).", default=()
    )


# The front endpoint routes requests to two of them: "openai", by the name of the service in the body, and "translated",
# by the path of an API that no engine has.
PortProtocol = Literal["openai", "translated", "http", "grpc", "websocket", "tcp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port that a workload listens on. `number` is the port for clients; None if Bateau assigns it.

    Requests for other hosts than this machine and `hosts` are refused; `*` is any host. `reuses_connections`: a
    connection to it may carry one request after another.
    """

    protocol: PortProtocol
    number: int | None = None
    hosts: tuple[str, ...] = ()
    reuses_connections: bool = True

    @property
    def is_behind_front(self) -> bool:
        """Whether clients reach it at the front endpoint. Each replica listens on a unix socket of its own."""
        return self.protocol in ("openai", "translated")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program of the machine. `working_directory` is relative to the file of the document."""

    words: tuple[str, ...]
    working_directory: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container image. `command` runs in it, or as a plain process if a site has no containers."""

    image: str
    command: tuple[str, ...] | None = None
    working_directory: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelServer:
    """A model behind an engine. `engine` is None if the site chooses; lengths are in tokens.

    `cache_claim` is the PersistentVolumeClaim that keeps the files of models on a cluster, if there is one.
    """

    source: str
    engine: Literal["llama.cpp", "vllm", "ollama"] | None = None
    context_length: int | None = None
    parallel: int = 4
    threads: int | None = None
    cache_claim: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class External:
    """An OpenAI-compatible API that runs elsewhere. `api_key_variable` is the name of the variable with its key."""

    url: str
    model: str | None = None
    api_key_variable: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wasm:
    """A WebAssembly component."""

    component: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualMachine:
    """A virtual machine."""

    image: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """Kubernetes objects from foreign documents. Exactly one of the three fields is set."""

    manifests: tuple[str, ...] | None = None
    kustomization: str | None = None
    chart: Chart | None = None


Runs = Command | Container | ModelServer | External | Wasm | VirtualMachine | Documents


StopSignal = Literal["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH"]
# Whether a process that has ended is started again, like restartPolicy in Kubernetes.
Restart = Literal["always", "onFailure", "never"]


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A service with every field filled in. Without a `namespace` it is in the namespace of its site.

    `tree` is the complete document in its YAML form (camelCase, "2Gi", with defaults), and `origins` has the chain of
    every leaf of `tree`. `positions` has the positions of the fields in the document's own file. `withheld` has, by
    path, the leaves that depend on `env()`, which are kept in memory only. `restarted_at` is the time of the last
    requested restart (RFC 3339), which is not part of the document.
    """

    key: ServiceKey
    runs: Runs
    position: Position
    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    annotations: Mapping[str, str] = field(default_factory=dict[str, str])
    ports: Mapping[str, Port] = field(default_factory=dict[str, Port])
    served_names: tuple[str, ...] = ()
    uses: tuple[ServiceKey, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    replicas: int = 1
    scale: Scale | None = None
    health: Health = field(default_factory=Health)
    resources: Resources = field(default_factory=Resources)
    accelerator: Accelerator | None = None
    drain_timeout_s: float = 30.0
    stop_timeout_s: float = 10.0
    stop_signal: StopSignal = "SIGTERM"
    restart: Restart = "always"
    rollout: Rollout | None = None
    limits: Limits | None = None
    costs: Costs | None = None
    routing: Routing = field(default_factory=Routing)
    route: Route | None = None
    slo: Slo = field(default_factory=Slo)
    positions: Mapping[str, Position] = field(default_factory=dict[str, Position])
    tree: ReadObject = field(default_factory=dict[str, ReadJson])
    origins: Origins = field(default_factory=dict[str, tuple[Origin, ...]])
    withheld: ReadObject = field(default_factory=dict[str, ReadJson])
    restarted_at: str | None = None

    @property
    def name(self) -> str:
        """The name of the document."""
        return self.key.name

    @property
    def is_named_in_bodies(self) -> bool:
        """Whether requests name it in their body, as they name a model."""
        return any(port.protocol == "openai" for port in self.ports.values())

    @property
    def brings_documents(self) -> bool:
        """Whether it consists of Kubernetes objects from foreign documents."""
        return isinstance(self.runs, Documents)
