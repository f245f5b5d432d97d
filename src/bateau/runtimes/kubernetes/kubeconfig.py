"""Read how to reach a cluster: a context of a kubeconfig, as kubectl reads it, or the service account of a pod.

Called by runtimes.kubernetes, wiring.clusters, wiring.controller_settings and wiring.installing. The format is that of
`kubectl config` (the Config of client-go's clientcmd/api/v1); several files in KUBECONFIG are merged, and the first one
that names something wins.

Invariant: no message contains a credential. Held by
tests/runtimes/kubernetes/test_kubeconfig.py::test_no_message_contains_a_credential.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bateau.domain.errors import ClusterError
from bateau.kit.json_value import Json, JsonObject, array_at, is_object, object_at, text_at
from bateau.kit.suggest import suggestion
from bateau.kit.yaml_tree import read_documents

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecPlugin:
    """A program that prints credentials (client.authentication.k8s.io, KEP-541)."""

    command: str
    api_version: str
    arguments: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict[str, str])
    install_hint: str = ""
    provides_cluster: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach an API server. `certificate`, `key` and `ca` are PEM. `name` is for messages.

    `ca_file`, `certificate_file` and `key_file` are the files that have been read, None for what the kubeconfig
    contains itself.
    """

    name: str
    server: str
    namespace: str = "default"
    ca: bytes | None = None
    ca_file: Path | None = None
    verify: bool = True
    server_name: str | None = None
    proxy: str | None = None
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)
    certificate_file: Path | None = None
    key_file: Path | None = None
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    user: tuple[str, str] | None = field(default=None, repr=False)
    plugin: ExecPlugin | None = None


def kubeconfig_files(environ: Mapping[str, str]) -> list[Path]:
    """Return the files that kubectl would read: those of KUBECONFIG, or ~/.kube/config."""
    named = [Path(each).expanduser() for each in environ.get("KUBECONFIG", "").split(":") if each]
    return named or [Path(environ.get("HOME", "~")).expanduser() / ".kube" / "config"]


def access_of(files: Sequence[Path], context: str | None = None) -> Access:
    """Return the access that a context gives, or the current context. Raises ClusterError.

    Files that do not exist are skipped, as kubectl does, unless none of them exists.
    """
    read = [(path, _read(path)) for path in files if path.exists()]
    if not read:
        told = ", ".join(map(str, files))
        raise ClusterError(f"no kubeconfig at {told}", hint="set KUBECONFIG, or name a file as `spec.kubeconfig`")
    name = context or next((found for _, tree in read if (found := text_at(tree, "current-context"))), "")
    if not name:
        told = ", ".join(str(path) for path, _ in read)
        raise ClusterError(f"{told} has no current context", hint="name a context: kubectl config get-contexts")
    _, chosen = _entry(read, "contexts", "context", name)
    at_cluster, cluster = _entry(read, "clusters", "cluster", text_at(chosen, "cluster"))
    user_name = text_at(chosen, "user")
    at_user, user = _entry(read, "users", "user", user_name) if user_name else (at_cluster, {})
    server = text_at(cluster, "server")
    if not server.startswith(("http://", "https://")):
        raise ClusterError(f"{at_cluster}: the server of context {name} is `{server}`, which is not a URL")
    token_file = text_at(user, "tokenFile")
    login = text_at(user, "username")
    return Access(
        name=name,
        server=server.rstrip("/"),
        namespace=text_at(chosen, "namespace") or "default",
        ca=_bytes(at_cluster, cluster, "certificate-authority"),
        ca_file=_file(at_cluster, cluster, "certificate-authority"),
        verify=cluster.get("insecure-skip-tls-verify") is not True,
        server_name=text_at(cluster, "tls-server-name") or None,
        proxy=text_at(cluster, "proxy-url") or None,
        certificate=_bytes(at_user, user, "client-certificate"),
        key=_bytes(at_user, user, "client-key"),
        certificate_file=_file(at_user, user, "client-certificate"),
        key_file=_file(at_user, user, "client-key"),
        token=text_at(user, "token") or None,
        token_file=_beside(at_user, token_file) if token_file else None,
        user=(login, text_at(user, "password")) if login else None,
        plugin=_plugin(at_user, user),
    )


def access_in_pod(environ: Mapping[str, str], account: Path = SERVICE_ACCOUNT) -> Access:
    """Return the access of the pod that this process runs in. Raises ClusterError outside a pod.

    The files are read again later, because the kubelet replaces them (KEP-1205).
    """
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
    token_file = account / "token"
    if not host or not token_file.exists():
        raise ClusterError("this process does not run in a pod", hint="name a context of a kubeconfig")
    try:
        ca_file = account / "ca.crt"
        namespace, ca = (account / "namespace").read_text().strip(), ca_file.read_bytes()
    except OSError as error:
        raise ClusterError(f"cannot read the service account: {error.strerror}: {error.filename}") from error
    told = f"[{host}]" if ":" in host else host
    return Access(
        name="in-cluster",
        server=f"https://{told}:{port}",
        namespace=namespace,
        ca=ca,
        ca_file=ca_file,
        token_file=token_file,
    )


def _read(path: Path) -> JsonObject:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeError) as error:
        says = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ClusterError(f"cannot read {path}: {says}") from error
    documents, unread = read_documents(str(path), text)
    flaws = [flaw for each in (*documents, *unread) for flaw in each.flaws]
    if flaws:
        raise ClusterError(f"{flaws[0].position}: {flaws[0].says}", hint=flaws[0].hint)
    tree: Json = documents[0].tree if documents else {}
    if not is_object(tree):
        raise ClusterError(f"{path} is not a kubeconfig", hint="it must be a mapping with clusters, users and contexts")
    return tree


def _entry(read: Sequence[tuple[Path, JsonObject]], several: str, one: str, name: str) -> tuple[Path, JsonObject]:
    """Return the first entry of this name, and its file. Raises ClusterError."""
    names: list[str] = []
    for path, tree in read:
        for each in array_at(tree, several):
            if text_at(each, "name") == name:
                return path, object_at(each, one)
            names.append(text_at(each, "name"))
    files = ", ".join(str(path) for path, _ in read)
    raise ClusterError(f"{files} has no {one} `{name}`", hint=suggestion(name, names, none=f"it has no {one} at all"))


def _bytes(path: Path, entry: JsonObject, name: str) -> bytes | None:
    """Return the content of `NAME-data`, or else of the file that `NAME` names."""
    if data := text_at(entry, f"{name}-data"):
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error as error:
            raise ClusterError(f"{path}: {name}-data is not base64") from error
    if not (named := text_at(entry, name)):
        return None
    try:
        return _beside(path, named).read_bytes()
    except OSError as error:
        raise ClusterError(f"{path}: cannot read {name} {named}: {error.strerror}") from error


def _file(path: Path, entry: JsonObject, name: str) -> Path | None:
    """Return the file that `_bytes` reads, if any."""
    named = text_at(entry, name)
    return _beside(path, named) if named and not text_at(entry, f"{name}-data") else None


def _beside(path: Path, named: str) -> Path:
    """Return a path that a kubeconfig names: relative ones are beside the kubeconfig."""
    return path.parent / Path(named).expanduser()


def _plugin(path: Path, user: JsonObject) -> ExecPlugin | None:
    told = object_at(user, "exec")
    if not told:
        if legacy := text_at(user, "auth-provider", "name"):
            raise ClusterError(
                f"{path}: auth-provider {legacy} is not supported", hint="kubectl dropped it too; use an exec plug-in"
            )
        return None
    command = text_at(told, "command")
    # A name with a slash is a path beside the kubeconfig; a bare name is looked up in PATH.
    return ExecPlugin(
        command=str(_beside(path, command)) if "/" in command else command,
        api_version=text_at(told, "apiVersion"),
        arguments=tuple(str(each) for each in array_at(told, "args")),
        environ={text_at(each, "name"): text_at(each, "value") for each in array_at(told, "env")},
        install_hint=text_at(told, "installHint").strip(),
        provides_cluster=told.get("provideClusterInfo") is True,
    )
