"""Certificates of an authority that signs once."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from bateau.kit.certificates import Issued, expires_at, issue, starts_at

NOW = datetime.now(tz=UTC).replace(microsecond=0)


def issued(lifetime: timedelta = timedelta(days=1)) -> Issued:
    return issue(server_names=["one.svc", "one"], client_name="gateway", now=NOW, lifetime=lifetime)


def test_both_pairs_are_signed_by_the_authority_and_fit_their_keys(tmp_path: Path):
    made = issued()
    authority = x509.load_pem_x509_certificate(made.authority)
    for pair in (made.server, made.client):
        x509.load_pem_x509_certificate(pair.certificate).verify_directly_issued_by(authority)
        (tmp_path / "pair.pem").write_bytes(pair.certificate + pair.key)
        ssl.create_default_context().load_cert_chain(tmp_path / "pair.pem")


def test_the_key_of_the_authority_is_in_nothing_that_is_returned():
    made = issued()
    assert [text.count(b"PRIVATE KEY-----\n") for text in (made.authority, made.server.key, made.client.key)] == [
        0,
        2,
        2,
    ]
    assert made.authority != issued().authority
    assert x509.load_pem_x509_certificate(made.authority).extensions.get_extension_for_class(
        x509.BasicConstraints
    ).value == x509.BasicConstraints(ca=True, path_length=0)


def test_names_and_times():
    made = issued(timedelta(hours=2))
    names = x509.load_pem_x509_certificate(made.server.certificate).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["one.svc", "one"]
    assert expires_at(made.server.certificate) == NOW + timedelta(hours=2)
    # The clocks of both sides may be a time zone off, the one ahead and the other one behind.
    assert starts_at(made.client.certificate) < NOW - timedelta(hours=26)
