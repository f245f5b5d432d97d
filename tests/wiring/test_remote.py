"""Other machines reach an endpoint only with keys; and the certificate that they see."""

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bateau.domain.api_key import ApiKey
from bateau.domain.errors import ControlError
from bateau.kit.certificates import Pair, expires_at, fingerprint, issue
from bateau.store.keys import Keyring
from bateau.wiring.remote import Access, EndpointCertificate, certificate_lines, check_access, hosts_of

KEY = ApiKey(name="ci", sha256="0" * 64, hint="abcd", owner="me", created_at=1.0)
KEYED = Keyring().with_key(KEY)
ANY = ("0.0.0.0", 8443)  # noqa: S104 - nothing listens there


@pytest.mark.parametrize(
    ("keyring", "says"),
    [
        (Keyring(), "there is no key"),
        (KEYED.without_key("ci"), "there is no key"),
        (Keyring(by_name={"ci": KEY}, began=True, open_to_all=True), "--open"),
    ],
)
@pytest.mark.parametrize("address", [ANY[0], "::", "192.168.1.5"])
def test_without_a_key_nothing_listens_beyond_loopback(keyring: Keyring, says: str, address: str) -> None:
    with pytest.raises(ControlError, match=says) as caught:
        check_access((address, 8443), Access(), keyring, instance="default")
    assert "bateau keys create" in (caught.value.hint or "")


def test_with_a_key_or_an_issuer_it_does_and_loopback_needs_none() -> None:
    check_access(ANY, Access(plain_http=True, hosts=("x",)), KEYED, instance="default")
    check_access(ANY, Access(), Keyring(began=True), others=True, instance="default")
    with pytest.raises(ControlError, match="--open"):
        check_access(ANY, Access(), Keyring(began=True, open_to_all=True), others=True, instance="default")
    check_access(("127.0.0.1", 1), Access(), Keyring(), instance="default")


def test_with_keys_to_come_it_listens_and_refuses_every_request_until_then() -> None:
    required = Keyring(began=True)
    check_access(ANY, Access(plain_http=True), required, instance="default", others=True)
    for keyring in (Keyring(), Keyring(began=True, open_to_all=True)):
        with pytest.raises(ControlError, match="is refused"):
            check_access(ANY, Access(), keyring, instance="default", others=True)


def test_an_option_for_other_machines_on_loopback_is_refused() -> None:
    for access in (Access(plain_http=True), Access(hosts=("x",))):
        with pytest.raises(ControlError, match="only this one reaches"):
            check_access(("127.0.0.1", 1), access, KEYED, instance="default")


def test_web_pages_of_an_origin_may_use_an_endpoint_wherever_it_listens() -> None:
    for address in (ANY, ("127.0.0.1", 1)):
        check_access(address, Access(origins=("https://app.example.org", "http://localhost:3000")), KEYED, instance="x")
        for wrong in (
            "*",
            "null",
            "app.example.org",
            "https://app.example.org/",
            "https://App.example.org",
            "https://x y",
        ):
            with pytest.raises(ControlError, match="not an origin"):
                check_access(address, Access(origins=(wrong,)), KEYED, instance="x")


def test_what_is_no_name_of_a_machine_is_refused() -> None:
    for wrong in ("*", "a b", "", "-x", "http://x", "x:80"):
        with pytest.raises(ControlError, match="not a name of a machine"):
            check_access(ANY, Access(hosts=(wrong,)), KEYED, instance="default")


def test_a_key_that_envoy_does_not_take_is_refused(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    for key in (ec.generate_private_key(ec.SECP256K1()), rsa.generate_private_key(65537, 1024)):  # noqa: S505 - refused
        given = _signed_by_itself(tmp_path, key)
        with pytest.raises(ControlError, match="cannot be the certificate"):
            EndpointCertificate(tmp_path / "gateway", given=given, names=[]).refresh()
        assert not (tmp_path / "gateway" / "certificate.json").exists()


def test_the_hosts_are_the_names_and_addresses_of_this_machine() -> None:
    assert hosts_of(("192.168.1.5", 1), ["Models.Example.org"]) == (
        socket.gethostname().lower(),
        "192.168.1.5",
        "models.example.org",
    )
    assert "[2001:db8::1]" in hosts_of(("2001:db8::1", 1), [])
    assert not [host for host in hosts_of(ANY, []) if host.startswith("127.")]


def test_a_certificate_is_made_once_and_again_for_other_names_or_before_its_end(tmp_path: Path) -> None:
    first = EndpointCertificate(tmp_path, given=None, names=["a.example.org", "192.0.2.1", "[2001:db8::1]"])
    shown = first.refresh()
    assert (
        EndpointCertificate(tmp_path, given=None, names=["a.example.org", "192.0.2.1", "[2001:db8::1]"]).refresh()
        == shown
    )
    assert certificate_lines(tmp_path)[0] == f"SHA-256 {shown}"
    other = EndpointCertificate(tmp_path, given=None, names=["b.example.org"]).refresh()
    assert other != shown
    (tmp_path / "tls.crt").write_text(_pair(tmp_path, "x", days=20)[0].read_text())
    assert expires_at((tmp_path / "tls.crt").read_bytes()) < datetime.now(UTC) + timedelta(days=30)
    EndpointCertificate(tmp_path, given=None, names=["b.example.org"]).refresh()
    assert expires_at((tmp_path / "tls.crt").read_bytes()) > datetime.now(UTC) + timedelta(days=300)
    for path in tmp_path.iterdir():
        assert path.name.startswith("x.") or path.stat().st_mode & 0o077 == 0, path


def test_a_new_certificate_is_taken_over_and_a_wrong_one_is_not(tmp_path: Path) -> None:
    given = _pair(tmp_path, "x")
    endpoint = EndpointCertificate(tmp_path / "gateway", given=given, names=[])
    first = endpoint.refresh()
    assert first == fingerprint(given[0].read_bytes())
    assert certificate_lines(tmp_path / "gateway") == []
    kept = endpoint.secret.read_text()
    other = _pair(tmp_path, "y")
    for wrong in (
        other[0].read_text(),
        "",
        "no certificate",
        given[1].read_text(),
        _pair(tmp_path, "z", days=-1)[0].read_text(),
    ):
        before = given[0].read_text()
        given[0].write_text(wrong)
        with pytest.raises(ControlError):
            endpoint.refresh()
        assert endpoint.secret.read_text() == kept
        given[0].write_text(before)
    for mine, new in zip(given, other, strict=True):
        mine.write_text(new.read_text())
    assert endpoint.refresh() == fingerprint(other[0].read_bytes()) != first
    assert endpoint.secret.read_text() != kept


def _pair(folder: Path, name: str, *, days: int = 90) -> tuple[Path, Path]:
    made: Pair = issue(
        server_names=["localhost"], client_name="none", now=datetime.now(UTC), lifetime=timedelta(days=days)
    ).server
    paths = folder / f"{name}.crt", folder / f"{name}.key"
    paths[0].write_bytes(made.certificate)
    paths[1].write_bytes(made.key)
    return paths


def _signed_by_itself(folder: Path, key: Any) -> tuple[Path, Path]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    name = x509.Name([])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    paths = folder / "own.crt", folder / "own.key"
    paths[0].write_bytes(made.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths
