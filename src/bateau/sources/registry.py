"""Talk to a registry about one repository: manifests, blobs, and the credentials for them.

Called by sources.bundles, sources.oci and sources.ollama.
Source: the OCI distribution specification 1.1, and the token protocol of Docker registries (WWW-Authenticate: Bearer).

Invariant: credentials go only to the registry's host, or over https to the realm that it names. Held by
tests/sources/test_registries.py.
"""

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from bateau.domain.errors import SourceDenied, SourceError
from bateau.kit.json_value import JsonObject, object_at, text_at
from bateau.sources.artifact import Artifact
from bateau.sources.cache import read_json
from bateau.sources.http import is_loopback, shown, status_error
from bateau.sources.page import Page, page, written
from bateau.sources.session import Session
from bateau.sources.settings import Settings

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_ACCEPT = (
    f"{MANIFEST}, {INDEX}, application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json"
)
_MANIFEST_BYTES_MAX = 4 * 2**20  # the size that the specification requires registries to accept
_UNAUTHORIZED = 401
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_HUB = frozenset({"docker.io", "index.docker.io"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One blob that a manifest names."""

    media_type: str
    digest: str
    size_bytes: int
    title: str | None

    @property
    def says(self) -> str:
        """The name of the layer in messages."""
        return self.title or self.media_type


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository at a registry."""

    host: str  # with port
    name: str

    @property
    def url(self) -> str:
        """The base URL of its API, with plain http on this machine only."""
        host = "registry-1.docker.io" if self.host in _HUB else self.host
        bare = re.sub(r":\d+$", "", host).strip("[]")
        return f"{'http' if is_loopback(bare) else 'https'}://{host}/v2/{self.name}/"

    def artifact(self, layer: Layer, headers: Mapping[str, str]) -> Artifact:
        """Return the layer as an artifact to download. Raises SourceError."""
        match = _DIGEST.fullmatch(layer.digest)
        if match is None:
            raise SourceError(f"{self.host}/{self.name} identifies its content by `{layer.digest}`, not by a sha256")
        return Artifact(
            url=f"{self.url}blobs/{layer.digest}",
            file_name=layer.title or f"{self.name}@{layer.digest[:19]}",
            headers=headers,
            size_bytes=layer.size_bytes,
            sha256=match[1],
        )


async def layers(
    repository: Repository, tag: str, *, says: str, settings: Settings
) -> tuple[tuple[Layer, ...], Mapping[str, str]]:
    """Return the layers of a manifest, and the headers that its blobs require.

    Raises the SourceError family.
    """
    async with Session(settings) as http:
        client = RegistryClient(http, repository, says=says, settings=settings)
        return await client.layers(tag), client.headers


class RegistryClient:
    """Makes requests about one repository, with the token that the registry has issued.

    `says` names the artifact in messages, `actions` are the wanted rights: "pull" or "pull,push".
    """

    def __init__(
        self, http: Session, repository: Repository, *, says: str, settings: Settings, actions: str = "pull"
    ) -> None:
        self._http = http
        self._repository = repository
        self._says = says
        self._basic = _basic(repository.host, settings)
        self._actions = actions
        self.headers: dict[str, str] = {}

    async def layers(self, tag: str) -> tuple[Layer, ...]:
        """Return the layers of the manifest of a tag or digest. Raises the SourceError family."""
        says = self._says
        tree = await self._manifest(tag)
        inner = _objects(tree, "manifests", says=says)
        if inner:
            if len(inner) != 1:
                raise SourceError(f"{says} is an index of {len(inner)} manifests", hint="choose one with @sha256:...")
            digest = str(inner[0].get("digest"))
            if not _DIGEST.fullmatch(digest):
                raise SourceError(f"{says} is an index whose manifest has no sha256")
            tree = await self._manifest(digest)
        return tuple(_layer(item, says=says) for item in _objects(tree, "layers", says=says))

    async def digest_of(self, tag: str) -> str:
        """Return the digest of the manifest that a tag names now. Raises the SourceError family."""
        found = await self.get(f"manifests/{tag}", bytes_max=_MANIFEST_BYTES_MAX, head=True)
        told = found.headers.get("Docker-Content-Digest", "")
        if _DIGEST.fullmatch(told):
            return told
        # A registry does not have to answer HEAD with the digest.
        found = await self.get(f"manifests/{tag}", bytes_max=_MANIFEST_BYTES_MAX)
        return f"sha256:{hashlib.sha256(found.body).hexdigest()}"

    async def get(self, path: str, *, bytes_max: int, head: bool = False) -> Page:
        """Return a manifest or a blob, or only the headers of it. Raises the SourceError family."""
        url = f"{self._repository.url}{path}"
        accept = {"Accept": _ACCEPT} if path.startswith("manifests/") else {}
        return await self._authorized(
            lambda own: page(
                self._http, url, says=self._says, headers={**accept, **own}, head=head, bytes_max=bytes_max
            )
        )

    async def write(self, method: str, url: str, *, data: bytes = b"", media_type: str) -> Page:
        """Send `data` to a URL of the registry, relative to the repository or absolute. Raises the SourceError family.

        Credentials go to the registry itself only: it may name another server for an upload.
        """
        try:
            target = urljoin(self._repository.url, url)
            is_own = self._is_own(target)
        except ValueError as error:
            raise SourceError(f"{self._says}: the registry names an upload that is not a URL") from error

        async def send(own: Mapping[str, str]) -> Page:
            headers = {"Content-Type": media_type, **own}
            return await written(self._http, method, target, says=self._says, headers=headers, data=data)

        if is_own:
            return await self._authorized(send)
        found = await send({})
        self._refuse(found)
        return found

    async def _manifest(self, tag: str) -> JsonObject:
        found = await self.get(f"manifests/{tag}", bytes_max=_MANIFEST_BYTES_MAX)
        match = _DIGEST.fullmatch(tag)
        if match and hashlib.sha256(found.body).hexdigest() != match[1]:
            raise SourceError(f"{self._says}: the registry sends a manifest with a different digest")
        return self._tree(found)

    async def _authorized(self, send: Callable[[Mapping[str, str]], Awaitable[Page]]) -> Page:
        """Return the answer to a request that is sent with these headers, and again with a token if one is needed."""
        found = await send(self.headers)
        challenge = found.headers.get("WWW-Authenticate", "")
        if found.status == _UNAUTHORIZED and challenge and self._is_own(found.url):
            self.headers = {"Authorization": await self._answer(challenge)}
            found = await send(self.headers)
        self._refuse(found)
        return found

    def _is_own(self, url: str) -> bool:
        return urlsplit(url)[:2] == urlsplit(self._repository.url)[:2]

    async def _answer(self, challenge: str) -> str:
        """Return the Authorization header that a WWW-Authenticate header asks for."""
        scheme, _, rest = challenge.partition(" ")
        values = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        if scheme.lower() == "basic" and self._basic:
            return f"Basic {self._basic}"
        if scheme.lower() != "bearer" or "realm" not in values:
            raise SourceDenied(f"{self._says}: the registry requires credentials", hint=self._hint)
        try:
            realm = urljoin(self._repository.url, values["realm"])
        except ValueError as error:
            raise SourceError(f"{self._says}: the registry names a realm that is not a URL") from error
        params = {"scope": values.get("scope") or f"repository:{self._repository.name}:{self._actions}"}
        if "service" in values:
            params["service"] = values["service"]
        headers = {"Authorization": f"Basic {self._basic}"} if self._basic else {}
        found = await page(
            self._http, realm, says=self._says, headers=headers, params=params, bytes_max=_MANIFEST_BYTES_MAX
        )
        self._refuse(found)
        tree = self._tree(found)
        token = tree.get("token") or tree.get("access_token")
        if not isinstance(token, str):
            raise SourceDenied(f"{self._says}: {shown(realm)} returns no token")
        return f"Bearer {token}"

    @property
    def _hint(self) -> str:
        return f"log in with `docker login {self._repository.host}`"

    def _refuse(self, found: Page) -> None:
        error = status_error(found.status, says=self._says, hint=self._hint, headers=found.headers)
        if error:
            raise error

    def _tree(self, found: Page) -> JsonObject:
        tree = found.json(says=self._says)
        if not isinstance(tree, dict):
            raise SourceError(f"{self._says}: the answer of the registry is not a JSON object")
        return tree


def _objects(tree: JsonObject, key: str, *, says: str) -> list[JsonObject]:
    """Return the list of objects at `key`; empty if it is missing. Raises SourceError."""
    items = tree.get(key) or []
    objects = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    if isinstance(items, list) and len(objects) == len(items):
        return objects
    raise SourceError(f"{says}: `{key}` in the manifest is not a list of objects")


def _layer(item: JsonObject, *, says: str) -> Layer:
    title = object_at(item, "annotations").get("org.opencontainers.image.title")
    size = item.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise SourceError(f"{says}: a layer in the manifest has no size")
    return Layer(
        media_type=str(item.get("mediaType", "")),
        digest=str(item.get("digest", "")),
        size_bytes=size,
        title=str(title) if title else None,
    )


def _basic(host: str, settings: Settings) -> str | None:
    """Return the credentials that `docker login` stored for `host`, as base64 of user:password.

    Credential helpers are not used.
    """
    folder = settings.environ.get("DOCKER_CONFIG")
    path = settings.home / ".docker/config.json" if not folder else settings.base / folder / "config.json"
    auths = object_at(read_json(path), "auths")
    names = (host, f"https://{host}", *(["https://index.docker.io/v1/"] if host in _HUB else []))
    for name in names:
        entry = object_at(auths, name)
        if auth := text_at(entry, "auth"):
            return auth
        if entry.get("username"):
            return base64.b64encode(f"{entry['username']}:{entry.get('password', '')}".encode()).decode()
    return None
