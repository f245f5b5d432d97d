"""Issue certificates of an authority that nobody else has: one for a server and one for its clients.

Called by wiring.gateway_certificates and wiring.remote. Source: RFC 5280.

Invariant: the key of the authority is never kept, so that nothing can be signed with it later. Held by
tests/kit/test_certificates.py.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Clocks of machines differ, by hours if one has a wrong time zone.
_EARLIER = timedelta(days=2)
_RSA_BITS_MIN = 2048
# Strict clients, such as Python 3.13, want to see this, and whose key has signed a certificate.
_USAGE_OF_AUTHORITY = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, kw_only=True)
class Issued:
    """The certificate of an authority, as PEM, and the two pairs that it has signed."""

    authority: bytes
    server: Pair
    client: Pair


def issue(*, server_names: Sequence[str], client_name: str, now: datetime, lifetime: timedelta) -> Issued:
    """Return a server's and a client's certificate of a new authority, valid from two days before `now`.

    Names are DNS names or IP addresses.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    # A name of its own: among authorities of one name, a reader may try the wrong one only.
    name = _name(f"Bateau {x509.random_serial_number():x}"[:64])
    until = now + lifetime
    authority = (
        _builder(name, name, key.public_key(), now, until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_USAGE_OF_AUTHORITY, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )

    def pair(names: Sequence[str], usage: x509.ObjectIdentifier) -> Pair:
        own = ec.generate_private_key(ec.SECP256R1())
        made = (
            _builder(_name(names[0]), name, own.public_key(), now, until)
            .add_extension(x509.SubjectAlternativeName([_alternative(each) for each in names]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return Pair(
            certificate=made.public_bytes(Encoding.PEM),
            key=own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        )

    return Issued(
        authority=authority.public_bytes(Encoding.PEM),
        server=pair(server_names, ExtendedKeyUsageOID.SERVER_AUTH),
        client=pair([client_name], ExtendedKeyUsageOID.CLIENT_AUTH),
    )


def is_usual_key(certificate: bytes) -> bool:
    """Whether a certificate has a key of a kind that TLS servers take. Raises ValueError if there is no certificate."""
    key = x509.load_pem_x509_certificate(certificate).public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= _RSA_BITS_MIN
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.curve.name in {"secp256r1", "secp384r1", "secp521r1"}
    return isinstance(key, ed25519.Ed25519PublicKey)


def expires_at(certificate: bytes) -> datetime:
    """Return when the first certificate of a PEM text expires. Raises ValueError if there is none."""
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc


def starts_at(certificate: bytes) -> datetime:
    """Return when the first certificate of a PEM text becomes valid. Raises ValueError if there is none."""
    return x509.load_pem_x509_certificate(certificate).not_valid_before_utc


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(until)
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def fingerprint(certificate: bytes) -> str:
    """Return the SHA-256 of the first certificate of a PEM text, as `openssl x509 -fingerprint` prints it."""
    digest = x509.load_pem_x509_certificate(certificate).fingerprint(hashes.SHA256())
    return digest.hex(":").upper()


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
