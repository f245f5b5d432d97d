"""Let other machines reach the endpoint: only with keys or issuers, and with TLS unless it is given up.

Called by cli.up, cli.up_options, wiring.alert_facts, wiring.alerts and wiring.local.

Invariant: without a key or an issuer nobody beyond this machine reaches the endpoint. Held by
tests/wiring/test_remote.py::test_without_a_key_nothing_listens_beyond_loopback.
Invariant: a certificate that cannot be used never replaces one that can. Held by
tests/wiring/test_remote.py::test_a_new_certificate_is_taken_over_and_a_wrong_one_is_not.
"""

import contextlib
import hashlib
import ipaddress
import json
import logging
import os
import re
import socket
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from bateau.domain.errors import ControlError
from bateau.kit.certificates import expires_at, fingerprint, is_usual_key, issue
from bateau.store.keys import Keyring
from bateau.traffic.envoy.remote import Remote, certificate_secret
from bateau.wiring.listen import is_loopback
from bateau.wiring.private_files import write_private

logger = logging.getLogger(__name__)

_LIFETIME: Final = timedelta(days=365)
_RENEWED_BEFORE: Final = timedelta(days=30)
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
# As browsers write them (RFC 6454, section 6.2).
_ORIGIN: Final = re.compile(r"https?://[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?")
_ANY: Final = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on


@dataclass(frozen=True, kw_only=True)
class Access:
    """What `up` says about other machines: files of a certificate and its key, or plain HTTP, and more host names.

    Web pages of `origins` may use the endpoint; this does not depend on where it listens.
    """

    certificate: tuple[Path, Path] | None = None
    plain_http: bool = False
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()


def check_access(
    listen: tuple[str, int], access: Access, keyring: Keyring, *, instance: str, others: bool = False
) -> None:
    """Raise ControlError if an endpoint must not listen beyond loopback, or if an option has no effect.

    `others` than those with a key get in: with tokens of issuers, or with keys that are still to come.
    """
    address, _ = listen
    for host in access.hosts:
        if not _HOST.fullmatch(host):
            raise ControlError(
                f"--host {host}: this is not a name of a machine", hint="write --host models.example.org"
            )
    for origin in access.origins:
        if not _ORIGIN.fullmatch(origin):
            raise ControlError(
                f"--origin {origin}: this is not an origin of web pages",
                hint="write it as browsers do: --origin https://app.example.org, without a path",
            )
    if is_loopback(address):
        if replace(access, origins=()) != Access():
            raise ControlError(
                "--tls-cert, --tls-key, --plain-http and --host are for other machines, and only this one reaches "
                f"{address}",
                hint="add --listen 0.0.0.0:8443, or leave them out",
            )
        return
    if not keyring.required or not (keyring.by_name or others):
        because = "--open lets everybody in" if keyring.open_to_all else "there is no key"
        name = "" if instance == "default" else f" --name {instance}"
        raise ControlError(
            f"--listen {address} is refused: {because}, so anyone who reaches this machine could use the models",
            hint=f"create a key first: bateau keys create NAME{name}; or add --require-keys if the specs have some",
        )


def hosts_of(listen: tuple[str, int], more: Sequence[str]) -> tuple[str, ...]:
    """Return the names and addresses by which other machines reach this one, as they stand in a Host header."""
    address, _ = listen
    own = socket.gethostname()
    addresses = _addresses() if address in _ANY else [address]
    names = [own, *addresses, *more]
    return tuple(dict.fromkeys(_bracketed(name.lower()) for name in names if name))


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name else name


def _addresses() -> list[str]:
    """Return the addresses of this machine that others may reach."""
    import psutil

    found: list[str] = []
    for each in (entry for entries in psutil.net_if_addrs().values() for entry in entries):
        with contextlib.suppress(ValueError):
            address = ipaddress.ip_address(each.address.partition("%")[0])
            if not address.is_loopback and not address.is_link_local:
                found.append(str(address))
    return found


class EndpointCertificate:
    """The certificate of the endpoint: from files of the user, or made by an authority of this instance.

    Envoy reads it from `secret`.
    """

    def __init__(self, directory: Path, *, given: tuple[Path, Path] | None, names: Sequence[str]) -> None:
        self._directory = directory
        self._given = given
        self._names = [name.strip("[]") for name in names]
        self.secret = directory / "certificate.json"
        self._authority = directory / "ca.crt"
        self._known: tuple[str, str] | None = None  # the pair that was checked last

    @property
    def ends_at(self) -> float | None:
        """When the certificate ends, in seconds since the epoch; None before one was read."""
        return expires_at(self._known[0].encode()).timestamp() if self._known else None

    def refresh(self) -> str:
        """Give Envoy the certificate, unless it has it, and return its fingerprint. Raises ControlError."""
        if self._given:
            certificate, key = self._read(*self._given)
            self._authority.unlink(missing_ok=True)  # of a certificate that was made before
        else:
            certificate, key = self._made()
        version = hashlib.blake2b((certificate + key).encode(), digest_size=8).hexdigest()
        write_private(self.secret, json.dumps(certificate_secret(certificate=certificate, key=key, version=version)))
        return fingerprint(certificate.encode())

    def _made(self) -> tuple[str, str]:
        """Return the pair that was made before, or a new one if it ends soon or lacks a name."""
        own = (self._directory / "tls.crt", self._directory / "tls.key")
        names = self._directory / "tls.names"
        with contextlib.suppress(OSError, ControlError, ValueError):
            certificate, key = self._read(*own)
            ends = expires_at(certificate.encode()) - datetime.now(UTC)
            if (
                ends > _RENEWED_BEFORE
                and self._authority.exists()
                and names.read_text(encoding="utf-8").split() == self._names
            ):
                return certificate, key
        made = issue(
            server_names=[*self._names, "localhost", "127.0.0.1", "::1"],
            client_name="none",
            now=datetime.now(UTC),
            lifetime=_LIFETIME,
        )
        write_private(own[0], made.server.certificate.decode())
        write_private(own[1], made.server.key.decode())
        write_private(self._authority, made.authority.decode())
        write_private(names, "\n".join(self._names))
        return self._read(*own)

    def _read(self, certificate: Path, key: Path) -> tuple[str, str]:
        """Return a pair as PEM, if the key belongs to the certificate and it has not ended."""
        try:
            pair = certificate.read_text(encoding="utf-8"), key.read_text(encoding="utf-8")
            if pair != self._known:
                _check_pair(*pair)
            ends = expires_at(pair[0].encode())
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            why = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise ControlError(
                f"{certificate} and {key} cannot be the certificate of the endpoint: {why}",
                hint="give the files of a certificate and of its key, as PEM and without a password",
            ) from error
        if ends <= datetime.now(UTC):
            raise ControlError(f"{certificate} has ended on {ends:%Y-%m-%d}", hint="renew it")
        self._known = pair
        return pair


def _check_pair(certificate: str, key: str) -> None:
    """Raise OSError if a key does not belong to a certificate or needs a password, ValueError for an unusual kind."""
    if not is_usual_key(certificate.encode()):
        raise ValueError("the key is not RSA with 2048 bits or more, one of P-256, P-384 and P-521, or Ed25519")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pair.pem"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{certificate}\n{key}\n")
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, password=lambda: "")


def remote_of(
    listen: tuple[str, int], access: Access, directory: Path
) -> tuple[Remote | None, EndpointCertificate | None]:
    """Return the listener for other machines and its certificate, None on loopback; `check_access` comes first."""
    address, port = listen
    if is_loopback(address):
        return None, None
    hosts = hosts_of(listen, access.hosts)
    certificate = None if access.plain_http else EndpointCertificate(directory, given=access.certificate, names=hosts)
    secret = certificate.secret if certificate else None
    return Remote(address=address, port=port, hosts=hosts, certificate=secret), certificate


def remote_url(remote: Remote | None) -> str | None:
    """Return the URL by which other machines reach the endpoint, by the name of this machine; None if they do not."""
    if remote is None:
        return None
    return f"{'https' if remote.certificate else 'http'}://{remote.hosts[0]}:{remote.port}"


def certificate_lines(directory: Path) -> list[str]:
    """Return what clients need to trust a certificate that was made here; nothing for the user's own."""
    authority = directory / "ca.crt"
    if not authority.exists():
        return []
    try:
        shown = fingerprint((directory / "tls.crt").read_bytes())
    except (OSError, ValueError):
        return []
    return [f"SHA-256 {shown}", f"clients trust it by {authority} (curl --cacert, SSL_CERT_FILE)"]
