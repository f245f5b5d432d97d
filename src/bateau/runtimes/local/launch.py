"""Turn a template into a running process in its own session, with its ports, its log, its limits and its marks.

Called by runtimes.local.process_runner.

Invariant: nothing is awaited between the start of the process and the write of its record. Only a crash in that instant
leaves a process without a record, and adoption finds it by its marks. Held by tests/runtimes/test_adoption.py and
tests/runtimes/test_crash.py.
Refused: asyncio's subprocesses; they tie the child to one event loop, and their pipes to the life of the control plane.
"""

import errno
import os
import signal
import stat as stat_modes
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bateau.domain.errors import ReplicaError
from bateau.domain.process import WORD
from bateau.runtimes.local.instance import Instance, Words
from bateau.runtimes.local.limits import Cgroups, Leaf
from bateau.runtimes.local.logs import open_log
from bateau.runtimes.local.process import MARK_INSTANCE, MARK_REPLICA, MARK_REVISION, Process, boot_id
from bateau.runtimes.local.program_files import FileMark, marks_of
from bateau.runtimes.local.records import Identity, Record

SOCKET_PATH_BYTES_MAX = 107  # sun_path of unix(7) has 108 bytes, the last is NUL
# Credentials of the control plane itself, and variables that a service manager sets for one process only.
WITHHELD = frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_TOKEN", "NOTIFY_SOCKET", "WATCHDOG_PID"})
_LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
WITHHELD_PREFIXES = ("BATEAU_", "LISTEN_FD", "LISTEN_PID", "WATCHDOG_USEC")


def launch(instance: Instance, cgroups: Cgroups, record: Record) -> tuple[Process, Record, str | None]:
    """Start the process of a record, and store the record with the identity of the process.

    Returns the process, its record, and how its limits are enforced. Ports in the record are used again if they are
    free. Raises ReplicaError; in that case no process runs and the
    stored record is unchanged.
    """
    template = record.template
    ports = instance.ports.hand_out(record.id, template.port_names, preferred=record.ports)
    record = replace(record, ports=ports, ready=False, files=None)
    words = Words(instance, record)
    _make_way_for_socket(instance, record)
    command = [words.fill(word) for word in template.command]
    environment = _environment(instance, record, words)
    directory = template.working_directory and words.fill(template.working_directory)
    record = replace(record, files=_file_marks(record, command, environment, directory=directory))
    instance.probe_plan(record)
    leaf = cgroups.prepare(record.id, template.resources)
    try:
        pid = _spawn(instance, record, command, environment, directory=directory)
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
        raise ReplicaError(f"{command[0]} ended at once", hint=f"see {instance.log_path(record.id)}")
    record = replace(
        record,
        process=Identity(pid=pid, start_ticks=process.start_ticks, boot_id=boot_id()),
        cgroup=str(leaf.path) if isinstance(leaf, Leaf) else None,
    )
    try:
        instance.records.write(record)
    except ReplicaError:
        process.send_to_group(signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED)
        process.close(reap=False)
        raise
    return process, record, limits


def _file_marks(
    record: Record, command: list[str], environment: Mapping[str, str], *, directory: str | None
) -> tuple[FileMark, ...] | None:
    """Return the files that the process is started from, taken before its start so that no change is missed.

    None if their paths follow from `env()`, as a record holds no such value.
    """
    template = record.template
    searched = template.environment.get("PATH", "")
    if any(_is_withheld(text) for text in (*template.command[:1], template.working_directory or "", searched)):
        return None
    known = ["" if _is_withheld(text) else word for text, word in zip(template.command, command, strict=True)]
    return marks_of(known, directory=directory, search_path=environment.get("PATH"))


def _is_withheld(text: str) -> bool:
    return any(match[1].startswith("withheld:") for match in WORD.finditer(text))


def _spawn(
    instance: Instance, record: Record, command: list[str], environment: Mapping[str, str], *, directory: str | None
) -> int:
    if not command:
        raise ReplicaError(f"replica {record.id} has no command", hint="set spec.command")
    _check_directory(directory)
    log_path = instance.log_path(record.id)
    try:
        log = open_log(log_path, bytes_max=instance.log_bytes_max)
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


def _make_way_for_socket(instance: Instance, record: Record) -> None:
    if not record.template.uses_socket:
        return
    path = instance.socket_path(record.id)
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


def _environment(instance: Instance, record: Record, words: Words) -> dict[str, str]:
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
        MARK_INSTANCE: instance.name,
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
