"""Run the `git` program, and explain a failure in one sentence.

Called by sources.git. The only module that starts git.

Invariant: git runs without a shell and never prompts. Its environment is built here, so a variable of a hook (GIT_DIR)
has no effect. A secret travels in an environment variable, never in an argument or a message. Held by
tests/git/test_http.py and tests/git/test_commits.py::test_a_variable_of_a_hook_has_no_effect.
Invariant: a run that is cancelled or takes too long kills git with its children, and ends when they have ended, at
whatever moment it is cancelled and however often. Held by
tests/git/test_process.py::test_a_cancelled_run_leaves_no_process.
Refused: a Git library. None in Python supports every transport, verifies signatures and reads the user's credential
helpers. `asyncio.create_subprocess_exec`: cancelled while it starts a process, it may leave pipes open or never return.
"""

import asyncio
import base64
import contextlib
import logging
import os
import re
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from bateau.domain.errors import DiskFull, SourceDamaged, SourceDenied, SourceError, SourceNotFound, SourceUnreachable

logger = logging.getLogger(__name__)

TIMEOUT_S: Final = 60.0
_END_S: Final = 5.0
DAMAGED_HINT: Final = "the clone is damaged or incomplete: see `git fsck`, and clone the repository again"
# Variables that git and ssh need: the locations of programs, keys and credential helpers, and the proxies.
_KEPT: Final = (
    "PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "no_proxy", "all_proxy",
    "GIT_SSL_CAINFO", "GIT_SSH_COMMAND", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM",
)  # fmt: skip
_SETTINGS: Final[Mapping[str, str]] = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.quotePath": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "http.lowSpeedLimit": "1000",  # bytes per second, for ...
    "http.lowSpeedTime": "30",  # ... this many seconds
    "protocol.version": "2",
    "log.showSignature": "false",
}
# Messages of git with LC_ALL=C, the more specific ones first.
_MEANINGS: Final[Sequence[tuple[re.Pattern[str], type[SourceError], str | None]]] = (
    (
        re.compile(
            r"Authentication failed|could not read (Username|Password)|Permission denied|error: 40[13]|Host key"
        ),
        SourceDenied,
        "set up credentials: a credential helper for https, a key and a known host for ssh",
    ),
    (re.compile(r"No space left|Disk quota"), DiskFull, "free some space"),
    (re.compile(r"\(stale info\)"), SourceError, "a branch with this name exists there: merge it, or delete it"),
    (
        re.compile(r"dubious ownership"),
        SourceDenied,
        "the repository belongs to another user: see safe.directory in git-config",
    ),
    (
        re.compile(r"repository '.*' not found|does not appear to be a git repository|does not exist|error: 404"),
        SourceNotFound,
        "check the URL; without credentials, a private repository is not found either",
    ),
    (
        re.compile(
            r"resolve host|unable to access|Connection|timed out|Could not read from remote|hung up|early EOF|"
            r"unexpected disconnect|Operation too slow|RPC failed"
        ),
        SourceUnreachable,
        None,
    ),
    (
        re.compile(
            r"bad object|bad tree|is corrupt|hash mismatch|is empty|[Nn]ot a valid object|[Nn]ot a tree object|"
            r"[Uu]nable to (read|find|unpack)|[Cc]ould not read [0-9a-f]{40}|inflate: |missing (blob|tree|commit)"
        ),
        SourceDamaged,
        DAMAGED_HINT,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Git:
    """git in the directory of one repository. `secret` ("user:password") is sent to `url` only."""

    directory: Path
    environ: Mapping[str, str] = field(repr=False)
    url: str | None = None
    secret: str | None = field(default=None, repr=False)
    settings: Mapping[str, str] = field(default_factory=dict[str, str])

    async def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        doing: str,
        timeout_s: float = TIMEOUT_S,
        variables: Mapping[str, str] | None = None,
        into: IO[bytes] | None = None,
    ) -> bytes:
        """Return the output of `git ARGUMENTS`, or write it `into` a file. `doing` is for messages: "read commit 1a2b".

        Raises the SourceError family.
        """
        status, out, err = await self._run(arguments, stdin, timeout_s, variables or {}, doing, into)
        if status:
            raise self._failure(doing, err)
        return out

    async def asks(self, *arguments: str, doing: str) -> bytes | None:
        """Return the output of git, or None if it fails (status 1 or 128). Raises SourceError if git cannot be run."""
        status, out, _ = await self._run(arguments, b"", TIMEOUT_S, {}, doing)
        return out if status == 0 else None

    async def _run(
        self,
        arguments: Sequence[str],
        stdin: bytes,
        timeout_s: float,
        variables: Mapping[str, str],
        doing: str,
        into: IO[bytes] | None = None,
    ) -> tuple[int, bytes, str]:
        process = self._started(arguments, variables, doing, into)
        ended = _ended(process, stdin)
        try:
            await asyncio.wait({ended}, timeout=timeout_s)  # it leaves the future alone if it is cancelled
        finally:
            in_time = ended.done()
            await _end(process, ended)
        if not in_time:
            raise SourceUnreachable(f"cannot {doing}: no answer within {timeout_s:.0f} s")
        out, err = ended.result()
        return process.returncode or 0, out or b"", err.decode("utf-8", "replace")

    def _started(
        self, arguments: Sequence[str], variables: Mapping[str, str], doing: str, into: IO[bytes] | None
    ) -> "subprocess.Popen[bytes]":
        try:
            return subprocess.Popen(
                ["git", *arguments],
                stdin=subprocess.PIPE,
                stdout=into or subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**self._environment(), **variables},
                cwd=self.directory,
                start_new_session=True,  # ssh and remote helpers are ended with it
            )
        except FileNotFoundError as error:
            if not self.directory.is_dir():
                raise SourceNotFound(f"cannot {doing}: {self.directory} does not exist") from error
            raise SourceError(
                f"cannot {doing}: the program `git` is not installed", hint="install git 2.31 or newer"
            ) from error
        except OSError as error:
            raise SourceError(f"cannot {doing}: git did not start: {error.strerror}") from error

    def _environment(self) -> dict[str, str]:
        settings = {**_SETTINGS, **self.settings}
        if self.secret and self.url:
            encoded = base64.b64encode(self.secret.encode()).decode()
            settings[f"http.{self.url}.extraHeader"] = f"Authorization: Basic {encoded}"
            settings["http.followRedirects"] = "false"  # the header would be sent to the new host, too
        variables = {name: self.environ[name] for name in _KEPT if name in self.environ}
        variables |= {
            "LC_ALL": "C",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",  # gives no answer, and opens no window
            "SSH_ASKPASS_REQUIRE": "never",
            "GIT_ALLOW_PROTOCOL": "https:ssh:file:http",  # reference accepts http for this machine only
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_LFS_SKIP_SMUDGE": "1",
            "GIT_CONFIG_COUNT": str(len(settings)),
        }
        variables.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=15")
        for number, (key, value) in enumerate(settings.items()):
            variables[f"GIT_CONFIG_KEY_{number}"] = key
            variables[f"GIT_CONFIG_VALUE_{number}"] = value
        return variables

    def _failure(self, doing: str, err: str) -> SourceError:
        says = self._cleaned(err)
        for pattern, kind, hint in _MEANINGS:
            if pattern.search(err):
                return kind(f"cannot {doing}: {says}", hint=hint)
        return SourceError(f"cannot {doing}: {says}")

    def _cleaned(self, err: str) -> str:
        """Return the most useful line, without credentials: git repeats the URLs that it was given."""
        lines = [line.strip() for line in err.splitlines() if line.strip()]
        telling = [line for line in lines if re.match(r"(fatal|error|remote|ssh|Host key)[: ]", line)] or lines
        chosen = next(
            (line for line in telling if line.startswith("fatal")), telling[-1] if telling else "git printed no message"
        )
        if "Could not read from remote" in chosen and len(telling) > 1:
            chosen = telling[0]
        chosen = re.sub(r"//[^/\s@]*@", "//", chosen)
        for part in (self.secret or "").split(":", 1):
            chosen = chosen.replace(part, "***") if part else chosen
        return re.sub(r"^(fatal|error): ", "", chosen)[:300]


def _ended(process: "subprocess.Popen[bytes]", stdin: bytes) -> asyncio.Future[tuple[bytes | None, bytes]]:
    """Return a future of what git writes to both streams, once it has ended. A thread of its own waits for that."""
    found = Future[tuple[bytes | None, bytes]]()

    def communicate() -> None:
        try:
            found.set_result(process.communicate(stdin))
        except BaseException as error:  # noqa: BLE001 - it is raised where the future is read
            found.set_exception(error)

    threading.Thread(target=communicate, name=f"git {process.pid}", daemon=True).start()
    return asyncio.wrap_future(found)


async def _end(process: "subprocess.Popen[bytes]", ended: asyncio.Future[tuple[bytes | None, bytes]]) -> None:
    """Kill git and its children unless it has ended, and wait until they have, even if that is cancelled again.

    An interrupted fetch leaves only a lock file, which the next one removes.
    """
    if ended.done():
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    clock, cancelled = asyncio.get_running_loop().time, None
    until = clock() + _END_S
    while not ended.done() and (left := until - clock()) > 0:
        try:
            await asyncio.wait({ended}, timeout=left)
        except asyncio.CancelledError as error:
            cancelled = error
    if not ended.done():  # a child with a session of its own holds the pipes, such as a shared connection of ssh
        logger.warning("git (pid %d) was killed, and a process that it has started still runs", process.pid)
    if cancelled:
        raise cancelled
