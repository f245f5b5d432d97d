"""The options of `bateau up` as one value: which go together, and the settings of a control plane that they make.

Called by cli.up.

Invariant: a detached control plane gets the options of the command that has started it. Held by
tests/cli/test_up_options.py::test_a_detached_control_plane_gets_the_same_options.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from bateau.wiring.local import Settings
    from bateau.wiring.prometheus_server import Server
    from bateau.wiring.repository import GitReference

# Served if no spec is found: a model that is small, free and on every index.
DEFAULT_SPEC = """\
apiVersion: bateau.dev/v1alpha1
kind: Model
metadata: {name: chat}
spec: {source: smollm2}
"""


@dataclass(frozen=True, kw_only=True)
class UpOptions:
    """The options that a control plane is made of, as people give them: `listen` is text, `prometheus` a URL."""

    url: str | None
    directory: Path
    name: str
    listen: str
    tls_cert: Path | None
    tls_key: Path | None
    plain_http: bool
    hosts: tuple[str, ...]
    origins: tuple[str, ...]
    memory_bytes: int | None
    open_to_all: bool
    require_keys: bool
    prometheus: str | None
    prometheus_labels: tuple[str, ...]
    environment: str | None
    allowed_signers: Path | None
    rewritten_history: bool

    def check(self) -> None:
        """Raise UsageError for options that do not go together, or that have a wrong value."""
        _ = self._address
        if bool(self.tls_cert) != bool(self.tls_key):
            raise click.UsageError("--tls-cert and --tls-key belong together")
        if self.open_to_all and self.require_keys:
            raise click.UsageError("--open and --require-keys exclude each other")
        if self.tls_cert and self.plain_http:
            raise click.UsageError("--plain-http has no use for --tls-cert")
        _ = self._server

    def words(self) -> list[str]:
        """Return the same options as arguments."""
        found = [*([self.url] if self.url else ["-C", str(self.directory)]), "--name", self.name]
        found += ["--listen", self.listen]
        found += ["--memory", str(self.memory_bytes)] if self.memory_bytes else []
        found += ["--open"] if self.open_to_all else []
        found += ["--require-keys"] if self.require_keys else []
        found += ["--tls-cert", str(self.tls_cert), "--tls-key", str(self.tls_key)] if self._certificate else []
        found += ["--plain-http"] if self.plain_http else []
        found += [word for host in self.hosts for word in ("--host", host)]
        found += [word for origin in self.origins for word in ("--origin", origin)]
        found += ["--prometheus", self.prometheus] if self.prometheus else []
        found += [word for label in self.prometheus_labels for word in ("--prometheus-label", label)]
        found += ["--env", self.environment] if self.environment else []
        found += ["--allowed-signers", str(self.allowed_signers)] if self.allowed_signers else []
        found += ["--allow-rewritten-history"] if self.rewritten_history else []
        return found

    def settings(self, applied: Mapping[str, Any] | None) -> "Settings":
        """Return the settings of the control plane. `applied` are the specs that `apply` has written."""
        from bateau.cli.instance import instance_paths
        from bateau.wiring.local import Applied, Settings
        from bateau.wiring.remote import Access

        repository = self._repository
        return Settings(
            instance=self.name,
            directory=instance_paths(self.name).state / "source" if repository else self.directory,
            repository=repository,
            allowed_signers=self.allowed_signers,
            rewritten_history=self.rewritten_history,
            applied=Applied(**applied) if applied is not None else None,
            memory_bytes=self.memory_bytes,
            open_to_all=self.open_to_all,
            require_keys=self.require_keys,
            access=Access(
                certificate=self._certificate,
                plain_http=self.plain_http,
                hosts=self.hosts,
                origins=self.origins,
            ),
            prometheus=self._server,
            listen=self._address,
            environment=self.environment,
            default_texts={"default.yaml": DEFAULT_SPEC},
        )

    @cached_property
    def _address(self) -> tuple[str, int]:
        from bateau.wiring.listen import parse_listen

        return parse_listen(self.listen)

    @cached_property
    def _server(self) -> "Server | None":
        from bateau.wiring.prometheus_server import server_of

        try:
            return server_of(self.prometheus, self.prometheus_labels)
        except ValueError as error:
            raise click.UsageError(str(error)) from error

    @property
    def _certificate(self) -> tuple[Path, Path] | None:
        return (self.tls_cert, self.tls_key) if self.tls_cert and self.tls_key else None

    @property
    def _repository(self) -> "GitReference | None":
        """The repository that is followed. Raises UsageError for a URL of none, and for options that need one."""
        from bateau.wiring.repository import repository_of

        found = repository_of(self.url) if self.url else None
        if self.url and found is None:
            says = f"{self.url} is not a Git URL (git+https://... or git+file://...); a directory is -C {self.url}"
            raise click.UsageError(says)
        if found is None and (self.allowed_signers or self.rewritten_history):
            option = "--allowed-signers" if self.allowed_signers else "--allow-rewritten-history"
            raise click.UsageError(f"{option} needs a Git URL: files on disk have no commits")
        return found
