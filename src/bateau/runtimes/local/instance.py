"""The folders, ports and records of one Bateau instance on this machine, and the values of the words in its templates.

Made by wiring; used by the keeper, its supervisors and the runners.
"""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from bateau.domain.errors import ReplicaError
from bateau.domain.process import WORD, ProbePlan, ProbeTarget
from bateau.kit.concealed import without
from bateau.runtimes.local.logs import LOG_BYTES_MAX
from bateau.runtimes.local.ports import LOOPBACK, LoopbackPorts
from bateau.runtimes.local.records import Record, Records


@dataclass(kw_only=True)
class Instance:
    """One Bateau among those on the machine; its processes carry `name` as a mark.

    `state` is permanent (records of replicas), `runtime` has the sockets of replicas and should have a short path,
    `logs` has their logs. Missing folders are created, for their owner only.
    """

    name: str
    state: Path
    runtime: Path
    logs: Path
    log_bytes_max: int = LOG_BYTES_MAX
    records: Records = field(init=False)
    ports: LoopbackPorts = field(init=False)

    def __post_init__(self) -> None:
        self.records = Records(self.state / "replicas")
        self.ports = LoopbackPorts(self.name)

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder that the replicas need."""
        return self.state / "replicas", self.runtime, self.logs

    def log_path(self, replica_id: str) -> Path:
        """Return the log file of a replica."""
        return self.logs / f"{replica_id}.log"

    def socket_path(self, replica_id: str) -> Path:
        """Return the path of a replica's own unix socket."""
        return self.runtime / f"{replica_id}.sock"

    def addresses(self, record: Record) -> dict[str, str]:
        """Return the addresses of a replica, by the name of the port."""
        addresses = {name: f"{LOOPBACK}:{port}" for name, port in record.ports.items()}
        if record.template.uses_socket:
            addresses["socket"] = str(self.socket_path(record.id))
        return addresses

    def probe_plan(self, record: Record) -> ProbePlan | None:
        """Return the probe of a replica with its address filled in."""
        plan = record.template.probe
        if plan is None:
            return None
        words = Words(self, record)
        target = replace(plan.target, address=words.fill(plan.target.address))
        try:
            target = replace(target, path=words.fill(target.path))
        except ReplicaError:  # the path is unknown until its values are supplied
            target = replace(target, kind="tcp")
        return replace(plan, target=target)

    def metrics_target(self, record: Record) -> ProbeTarget | None:
        """Return the target of a replica's Prometheus page with its address filled in."""
        target = record.template.metrics
        return None if target is None else replace(target, address=Words(self, record).fill(target.address))


@dataclass(frozen=True, slots=True)
class Words:
    """The values of the words in braces. Other braces are left unchanged, as arguments may contain JSON."""

    instance: Instance
    record: Record

    def fill(self, text: str) -> str:
        """Replace the words in a text, and in the values that were withheld from it. Raises ReplicaError."""

        def withheld(match: re.Match[str]) -> str:
            _, _, key = match[1].partition("withheld:")
            if not key or key not in self.record.template.withheld:
                return match[0]
            value = self.record.template.withheld[key]
            if value is None:
                raise ReplicaError(
                    f"replica {self.record.id} needs {key}, whose value comes from env() and is kept in memory only",
                    hint="it starts as soon as the specs can be read with the variables that they declare",
                )
            return value

        return WORD.sub(self._value, WORD.sub(withheld, text))

    def concealed(self, error: ReplicaError) -> ReplicaError:
        """Return the error with the values that are kept in memory only removed."""
        values = [value for value in self.record.template.withheld.values() if value]
        return ReplicaError(without(error.message, values), hint=error.hint and without(error.hint, values))

    def _value(self, match: re.Match[str]) -> str:
        word, _, name = match[1].partition(":")
        if word == "replica":
            return self.record.id
        if word == "socket" and self.record.template.uses_socket:
            return str(self.instance.socket_path(self.record.id))
        # Braces that are none of the template's words belong to the program: `/users/{port:int}` is a route.
        return str(self.record.ports[name]) if word == "port" and name in self.record.ports else match[0]
