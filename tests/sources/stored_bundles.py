"""A registry of one repository, `team/shop`, in memory: it takes blobs and manifests, and counts nothing itself."""

import hashlib
from dataclasses import dataclass, field

from aiohttp import web

from bateau.sources.oci import Reference
from bateau.sources.registry import Repository
from sources.origin import Origin

BASE = "/v2/team/shop"


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class Stored:
    """The content of the registry behind an origin. `uploads` is where uploads go; `down` makes it fail."""

    origin: Origin
    uploads: str = ""
    down: bool = False
    blobs: dict[str, bytes] = field(default_factory=dict[str, bytes])
    manifests: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def __post_init__(self) -> None:
        self.origin.paths[f"{BASE}/blobs/uploads/"] = self._begin
        self.origin.paths["/upload/1"] = self.put
        for tag in ("prod", "other"):
            self.origin.paths[f"{BASE}/manifests/{tag}"] = self._manifest

    def reference(self, tag: str = "prod") -> Reference:
        repository = Repository(host=self.origin.host, name="team/shop")
        return Reference(repository=repository, tag=tag, digest=None)

    def asked(self, method: str, path: str) -> int:
        """Return how many requests there were for a path below the repository that begins so."""
        return sum(each.method == method and each.path.startswith(f"{BASE}/{path}") for each in self.origin.asked)

    async def put(self, request: web.Request) -> web.Response:
        if self._denied(request):
            return self._challenge()
        data, digest = await request.read(), request.query["digest"]
        assert request.query["_state"] == "a/b="
        assert sha256(data) == digest
        self.add(data)
        return web.Response(status=201)

    def add(self, data: bytes) -> None:
        digest = sha256(data)
        self.blobs[digest] = data
        self.origin.paths[f"{BASE}/blobs/{digest}"] = self._blob

    async def _begin(self, request: web.Request) -> web.Response:
        if self._denied(request):
            return self._challenge()
        location = f"{self.uploads}/upload/1?_state=a%2Fb%3D"
        return web.Response(status=202, headers={"Location": location})

    async def _blob(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=self.blobs[request.path.rpartition("/")[2]])

    async def _manifest(self, request: web.Request) -> web.StreamResponse:
        if self.down:
            return web.Response(status=503)
        if self._denied(request):
            return self._challenge()
        name = request.path.rpartition("/")[2]
        if request.method == "PUT":
            data = await request.read()
            self.manifests |= {name: data, sha256(data): data}
            self.origin.paths[f"{BASE}/manifests/{sha256(data)}"] = self._manifest
            return web.Response(status=201)
        if name not in self.manifests:
            return web.Response(status=404)
        data = self.manifests[name]
        return web.Response(body=data, headers={"Docker-Content-Digest": sha256(data)})

    def _denied(self, request: web.Request) -> bool:
        wanted = self.origin.authorization
        return wanted is not None and request.headers.get("Authorization") != wanted

    def _challenge(self) -> web.Response:
        realm = f'Bearer realm="{self.origin.url("/token")}",service="reg"'
        return web.Response(status=401, headers={"WWW-Authenticate": realm})
