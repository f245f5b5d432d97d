"""A real OIDC issuer (`oidc-provider`, on Node), and tokens that it would never sign."""

import base64
import hashlib
import hmac
import json
import os
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ROOT = Path(__file__).parent.parent.parent
AUDIENCE = "https://models.example.org"
WAIT_S = 20.0


@cache
def installed() -> Path:
    """The folder with the issuer. Without it the test is skipped, and fails in CI."""
    done = subprocess.run([str(ROOT / ".ci/issuer")], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        assert os.environ.get("CI") != "true", done.stderr
        pytest.skip(f"the issuer cannot be installed: {done.stderr[-300:]}")
    return Path(done.stdout.split()[-1])


def base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _number(value: int) -> str:
    return base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Key:
    """A key to sign with."""

    def __init__(self, kid: str) -> None:
        self.kid = kid
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def jwk(self) -> dict[str, str]:
        """The private key, as the issuer wants it."""
        numbers = self.private.private_numbers()
        members = {"d": numbers.d, "p": numbers.p, "q": numbers.q}
        members |= {"dp": numbers.dmp1, "dq": numbers.dmq1, "qi": numbers.iqmp}
        return {**self.public, **{name: _number(value) for name, value in members.items()}}

    @property
    def public(self) -> dict[str, str]:
        public = self.private.public_key().public_numbers()
        about = {"kty": "RSA", "kid": self.kid, "alg": "RS256", "use": "sig"}
        return {**about, "n": _number(public.n), "e": _number(public.e)}

    @property
    def pem(self) -> bytes:
        kind = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.private.public_key().public_bytes(serialization.Encoding.PEM, kind)

    def token(self, claims: Mapping[str, Any], *, alg: str = "RS256", kid: str | None = None) -> str:
        """Sign claims: rightly, not at all (`none`), or with the public key as a secret (`HS256`)."""
        header = {"alg": alg, "typ": "JWT", "kid": self.kid if kid is None else kid}
        text = ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
        if alg == "none":
            return f"{text}."
        if alg == "HS256":
            return f"{text}.{base64url(hmac.digest(self.pem, text.encode(), hashlib.sha256))}"
        signature = self.private.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{base64url(signature)}"


class RealIssuer:
    """One process of the issuer, which signs with `key`; it publishes the keys of `also`, too.

    With a `dashboard`, people sign in there; the settings are those of issuer.mjs.
    """

    def __init__(self, key: Key | None = None, *, dashboard: Mapping[str, Any] | None = None) -> None:
        self.dashboard = dashboard
        self.key = key or Key("one")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *also: Key) -> None:
        folder = installed()
        keys = {"keys": [each.jwk for each in (self.key, *also)]}
        settings = {"port": self.port, "jwks": keys, "dashboard": self.dashboard}
        self._process = subprocess.Popen(
            ["node", "issuer.mjs"],
            cwd=folder,
            env={
                **os.environ,
                "ISSUER": json.dumps(settings),
                "PATH": f"{folder / 'tools/bin'}:{os.environ['PATH']}",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self._process.stdout
        seen = b""
        while b"listens" not in seen:
            line = self._process.stdout.readline()
            assert line, seen.decode()
            seen += line

    def stop(self) -> None:
        if self._process:
            assert self._process.stdout
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None

    def token(self, client: str = "ada", audience: str = AUDIENCE) -> str:
        """Return a token that the issuer gives to a client."""
        data = urllib.parse.urlencode({"grant_type": "client_credentials", "resource": audience}).encode()
        secret = base64.b64encode(f"{client}:secret-of-{client}".encode()).decode()
        request = urllib.request.Request(f"{self.url}/token", data, {"authorization": f"Basic {secret}"})
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            return json.load(answer)["access_token"]

    def claims(self, **more: Any) -> dict[str, Any]:
        """Return claims as the issuer would sign them, but for `more`; one that is None is left out."""
        now = int(time.time())
        found = {"iss": self.url, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 600, **more}
        return {name: value for name, value in found.items() if value is not None}
