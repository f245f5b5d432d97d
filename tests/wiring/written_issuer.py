"""An OIDC issuer that answers as a test says, also as no real one would."""

import base64
import contextlib
import hashlib
import time
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiohttp import web

from bateau.domain.sign_in import SignInIssuer
from bateau.store.sign_in import SignInFile
from bateau.wiring.sign_in import Attempt, SignIn
from bateau.wiring.sign_in_issuers import SignInIssuers
from bateau.wiring.this_process import SystemClock
from traffic.issuer import Key

SECRET = "a secret/with+signs"  # noqa: S105 - of a client of a test


class WrittenIssuer:
    """The issuer. `grants` are the nonce and the challenge of each code."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.published = [key]
        self.url = ""
        self.about: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {}
        self.alg = "RS256"
        self.token: str | None = None
        self.refusal: tuple[int, Mapping[str, Any]] | web.Response | None = None
        self.down = False
        self.asked: list[str] = []
        self.forms: list[dict[str, str]] = []
        self.authorizations: list[str | None] = []
        self._grants: dict[str, tuple[str, str]] = {}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if self.down:
            return web.Response(status=503)
        match request.path:
            case "/.well-known/openid-configuration":
                names = {"authorization": "auth", "token": "token", "userinfo": "me"}
                about: dict[str, Any] = {f"{name}_endpoint": f"{self.url}/{path}" for name, path in names.items()}
                about |= {"issuer": self.url, "jwks_uri": f"{self.url}/jwks", **self.about}
                return web.json_response({name: value for name, value in about.items() if value is not None})
            case "/jwks":
                return web.json_response({"keys": [each.public for each in self.published]})
            case "/token":
                return await self._tokens(request)
            case "/me":
                self.authorizations.append(request.headers.get("authorization"))
                return web.json_response(self.userinfo)
            case _:
                return web.Response(status=404)

    def code(self, address: str) -> tuple[str, str]:
        """Sign somebody in at an address of this issuer. Return the code and the state of the answer."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert address.startswith(f"{self.url}/auth?")
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        code = f"code-{len(self._grants)}"
        self._grants[code] = asked["nonce"], asked["code_challenge"]
        return code, asked["state"]

    async def _tokens(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append(form)
        self.authorizations.append(request.headers.get("authorization"))
        if isinstance(self.refusal, web.Response):
            return self.refusal
        if self.refusal:
            return web.json_response(self.refusal[1], status=self.refusal[0])
        nonce, challenge = self._grants.pop(form["code"], ("", ""))
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != challenge:
            return web.json_response({"error": "invalid_grant"}, status=400)
        now = int(time.time())
        claims = {"iss": self.url, "aud": "dashboard", "sub": "4711", "iat": now, "exp": now + 60, "nonce": nonce}
        claims = {name: value for name, value in {**claims, **self.claims}.items() if value is not None}
        token = self.token or self.key.token(claims, alg=self.alg)
        return web.json_response({"id_token": token, "access_token": "an-access-token", "token_type": "Bearer"})


@contextlib.asynccontextmanager
async def written_issuer(key: Key) -> AsyncGenerator[WrittenIssuer]:
    """Serve an issuer for the length of a block."""
    made = WrittenIssuer(key)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    made.url = f"http://{host}:{port}"
    try:
        yield made
    finally:
        await runner.cleanup()


class Desk(SignIn):
    """The real desk of an instance in a folder, whose issuers a test writes."""

    def __init__(self, folder: Path, clock: SystemClock | None = None) -> None:
        environ = {f"XDG_{name}": str(folder / name) for name in ("STATE_HOME", "CACHE_HOME", "RUNTIME_DIR")}
        self.issuers_file = SignInIssuers("default", environ)
        self.folder = folder
        super().__init__(self.issuers_file, clock or SystemClock(), environ)

    def store(self, *issuers: SignInIssuer) -> None:
        """Let people sign in by these issuers."""
        SignInFile(self.folder / "STATE_HOME/bateau/default/sign-in.json").save(issuers)

    def wanted(self, issuer: WrittenIssuer, **more: Any) -> SignInIssuer:
        """Return an issuer by which people of `staff` look and those of `platform` operate."""
        secret = self.folder / "secret"
        secret.write_text(f"{SECRET}\n")
        given: dict[str, Any] = {
            "name": "corp",
            "url": issuer.url,
            "client_id": "dashboard",
            "secret_file": str(secret),
            "roles": (("view", "staff"), ("operate", "platform")),
            "created_at": 1.0,
        }
        return SignInIssuer(**{**given, **more})

    def attempt(self, issuer: WrittenIssuer, **more: Any) -> Attempt:
        return Attempt(
            issuer=self.wanted(issuer, **more), redirect_uri="http://127.0.0.1:8080/ui/sign-in/corp/callback"
        )
