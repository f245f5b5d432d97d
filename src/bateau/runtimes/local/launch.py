"""Turn a template into a running process in its own session, with its ports, its log, its limits and its marks.

Called by runtimes.local.keeper and runtimes.local.supervisor.

Invariant: nothing is awaited between the start of the process and the write of its record. Only a crash in that
instant leaves a process without a record, and adoption finds it by its marks.
Refused: asyncio's subprocesses; they tie the child to one event loop, and their pipes to the life of the control plane.
"""

import errno
import os
import re
import signal
import stat as stat_modes
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bateau.domain.errors import ReplicaError
from bateau.domain.process import WORD, ProbePlan, ProbeTarget
from bateau.kit.concealed import without
from bateau.runtimes.local.limits import Cgroups, Leaf
from bateau.runtimes.local.logs import LOG_BYTES_MAX, open_log
from bateau.runtimes.local.ports import LOOPBACK, LoopbackPorts
from bateau.runtimes.local.process import MARK_INSTANCE, MARK_REPLICA, MARK_REVISION, Process, boot_id
from bateau.runtimes.local.records import Identity, Record, Records

SOCKET_PATH_BYTES_MAX = 107  # sun_path of unix(7) has 108 bytes, the last is NUL
# Credentials of the control plane itself, and variables that a service manager sets for one process only.
WITHHELD = frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_TOKEN", "NOTIFY_SOCKET", "WATCHDOG_PID"})
_LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
WITHHELD_PREFIXES = ("BATEAU_", "LISTEN_FD", "LISTEN_PID", "WATCHDOG_USEC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where the replicas of one instance live on this machine."""

    instance: str
    runtime: Path
    logs: Path
    records: Records
    ports: LoopbackPorts
    cgroups: Cgroups
    log_bytes_max: int = LOG_BYTES_MAX

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
        words = _Words(self, record)
        target = replace(plan.target, address=words.fill(plan.target.address))
        try:
            target = replace(target, path=words.fill(target.path))
        except ReplicaError:  # the path is unknown until its values are supplied
            target = replace(target, kind="tcp")
        return replace(plan, target=target)

    def metrics_target(self, record: Record) -> ProbeTarget | None:
        """Return the target of a replica's Prometheus page with its address filled in."""
        target = record.template.metrics
        return None if target is None else replace(target, address=_Words(self, record).fill(target.address))


@dataclass(frozen=True, slots=True)
class Launched:
    """A process that has just been started. `limits` describes how its limits are enforced, for the status."""

    process: Process
    record: Record
    limits: str | None


def launch(site: Site, record: Record) -> Launched:
    """Start the process of a record, and store the record with the identity of the process.

    Ports in the record are used again if they are free. Raises ReplicaError; in that case no process runs and the
    stored record is unchanged.
    """
    template = record.template
    ports = site.ports.hand_out(record.id, template.port_names, preferred=record.ports)
    record = replace(record, ports=ports, ready=False)
    words = _Words(site, record)
    _make_way_for_socket(site, record)
    command = [words.fill(word) for word in template.command]
    environment = _environment(site, record, words)
    directory = template.working_directory and words.fill(template.working_directory)
    site.probe_plan(record)
    leaf = site.cgroups.prepare(record.id, template.resources)
    try:
        pid = _spawn(site, record, command, environment, directory=directory)
    except ReplicaError as error:
        if isinstance(leaf, Leaf):
            leaf.remove()
        raise words.concealed(error) from error
    limits = leaf.attach(pid) if isinstance(leaf, Leaf) else leaf
    try:
        process = Process.open(pid)
    except ReplicaError:
        # A process without a pidfd cannot be watched. It is an unreaped child, so its pid is still its own.
        os.killpg(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED)
        raise
    if process is None:
        # Happens only if SIGCHLD is ignored, so that the kernel itself reaps the child.
        raise ReplicaError(f"{command[0]} ended at once", hint=f"see {site.log_path(record.id)}")
    record = replace(
        record,
        process=Identity(pid=pid, start_ticks=process.start_ticks, boot_id=boot_id()),
        cgroup=str(leaf.path) if isinstance(leaf, Leaf) else None,
    )
    try:
        site.records.write(record)
    except ReplicaError:
        process.send_to_group(signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED)
        process.close(reap=False)
        raise
    return Launched(process, record, limits)


def _spawn(
    site: Site, record: Record, command: list[str], environment: Mapping[str, str], *, directory: str | None
) -> int:
    if not command:
        raise ReplicaError(f"replica {record.id} has no command", hint="set spec.command")
    _check_directory(directory)
    log_path = site.log_path(record.id)
    try:
        log = open_log(log_path, bytes_max=site.log_bytes_max)
    except OSError as error:
        raise ReplicaError(
            f"the log {log_path} cannot be opened: {error.strerror}",
            hint="free some space, or make the folder writable",
        ) from error
    with log:
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=directory,
                env=environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise _explained(error, command[0], directory, environment) from error
    # The child is reaped through its pidfd. If the garbage collector found a Popen that seems to run, Popen would warn
    # and later wait for the pid itself.
    child.returncode = 0
    return child.pid


def _explained(error: Exception, program: str, directory: str | None, environment: Mapping[str, str]) -> ReplicaError:
    """Return an error that explains in one sentence why a program could not be started. Source: execve(2)."""
    # Like the kernel, resolve a relative path in the directory that the program runs in.
    path = Path(directory or ".") / program
    match error:
        case FileNotFoundError() if "/" in program and path.exists():
            says = f"{program} cannot be started: the interpreter or loader that it names does not exist"
            hint = "check its first line (#!...), or the output of `file`"
        case FileNotFoundError() if "/" in program:
            says, hint = f"program {program} does not exist", "check the path in spec.command"
        case FileNotFoundError():
            says = f"program {program} is not on the PATH"
            hint = f"install it, or use its full path; PATH is {environment.get('PATH', 'empty')}"
        case PermissionError() if path.is_dir():
            says, hint = f"{program} is a folder, not a program", "name a program in spec.command"
        case PermissionError():
            says, hint = f"program {program} is not executable", f"chmod +x {program}, and check its folder"
        case OSError(errno=errno.ENOEXEC):
            says = f"this machine cannot run {program}: its format is unknown"
            hint = "a script needs a first line such as #!/bin/sh; a binary must be built for this machine"
        case OSError():
            says, hint = f"{program} cannot be started: {error.strerror}", "execve(2) explains this error"
        case _:
            says = f"{program} cannot be started: {error}"
            hint = "remove NUL characters from the arguments and the environment"
    return ReplicaError(says, hint=hint)


def _check_directory(directory: str | None) -> None:
    if directory is None:
        return
    hint = "set spec.workingDirectory to a folder that you can enter"
    try:
        mode = Path(directory).stat().st_mode
    except FileNotFoundError:
        raise ReplicaError(f"working directory {directory} does not exist", hint=hint) from None
    except OSError as error:
        raise ReplicaError(f"working directory {directory} cannot be read: {error.strerror}", hint=hint) from error
    if not stat_modes.S_ISDIR(mode):
        raise ReplicaError(f"working directory {directory} is not a folder", hint=hint)
    if not os.access(directory, os.X_OK, effective_ids=True):
        raise ReplicaError(f"working directory {directory} cannot be entered: permission denied", hint=hint)


def _make_way_for_socket(site: Site, record: Record) -> None:
    if not record.template.uses_socket:
        return
    path = site.socket_path(record.id)
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_BYTES_MAX:
        raise ReplicaError(
            f"the socket path {path} has {length} bytes, but the kernel allows only {SOCKET_PATH_BYTES_MAX}",
            hint="use a shorter name, or a shorter runtime folder (XDG_RUNTIME_DIR)",
        )
    try:
        # A runtime folder is cleared when its user logs out, but the replicas may outlive the login.
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ReplicaError(
            f"the socket {path} cannot be created: {error.strerror}", hint="remove the file or folder that blocks it"
        ) from error


def _environment(site: Site, record: Record, words: "_Words") -> dict[str, str]:
    """Return Bateau's environment without its private variables, overlaid by the template's and by the marks."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in WITHHELD and not name.startswith(WITHHELD_PREFIXES)
    }
    given = {name: words.fill(value) for name, value in record.template.environment.items()}
    # Without a terminal, Python buffers the output of a program, and its log would stay empty for a long time.
    defaults = {"PYTHONUNBUFFERED": "1"}
    inherited |= _without_proxy_on_loopback(inherited)
    marks = {
        MARK_INSTANCE: site.instance,
        MARK_REPLICA: record.id,
        MARK_REVISION: record.template.revision,
    }
    return {**defaults, **inherited, **given, **marks}


def _without_proxy_on_loopback(environment: Mapping[str, str]) -> dict[str, str]:
    """Return NO_PROXY variables that add this machine's loopback names to the hosts already listed there."""
    found: dict[str, str] = {}
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host.strip() for host in environment.get(name, "").split(",") if host.strip()]
        found[name] = ",".join([*hosts, *(host for host in _LOOPBACK_HOSTS if host not in hosts)])
    return found


@dataclass(frozen=True, slots=True)
class _Words:
    """The values of the words in braces. Other braces are left unchanged, as arguments may contain JSON."""

    site: Site
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
            return str(self.site.socket_path(self.record.id))
        return self._port(name) if word == "port" else match[0]

    def _port(self, name: str) -> str:
        if name not in self.record.ports:
            raise ReplicaError(
                f"replica {self.record.id} uses port {name}, which it does not have",
                hint=f"its ports are: {', '.join(self.record.ports) or 'none'}",
            )
        return str(self.record.ports[name])
