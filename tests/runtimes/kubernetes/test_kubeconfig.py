"""A kubeconfig gives what kubectl would use, and no message contains a credential."""

import asyncio
import base64
import json
import os
import sys
from pathlib import Path

import pytest

from bateau.domain.errors import BateauError, ClusterDenied, ClusterError
from bateau.runtimes.kubernetes.credentials import Credentials
from bateau.runtimes.kubernetes.kubeconfig import Access, ExecPlugin, access_in_pod, access_of, kubeconfig_files

PEM = b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
SECRET = "s3cret-of-berlin"  # noqa: S105 - of the test
CONFIG = f"""
apiVersion: v1
kind: Config
current-context: berlin
clusters:
- name: berlin
  cluster: {{server: "https://berlin.example:6443/", certificate-authority-data: {base64.b64encode(PEM).decode()}}}
- name: paris
  cluster: {{server: "https://paris.example", insecure-skip-tls-verify: true, tls-server-name: api}}
users:
- name: admin
  user: {{token: {SECRET}}}
- name: files
  user: {{client-certificate: pki/a.crt, client-key: pki/a.key}}
contexts:
- name: berlin
  context: {{cluster: berlin, user: admin, namespace: shop}}
- name: paris
  context: {{cluster: paris, user: files}}
- name: nobody
  context: {{cluster: berlin, user: missing}}
"""


def test_the_current_context_is_taken_unless_another_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(CONFIG)
    (tmp_path / "pki").mkdir()
    (tmp_path / "pki" / "a.crt").write_bytes(PEM)
    (tmp_path / "pki" / "a.key").write_bytes(b"key")
    berlin, paris = access_of([path]), access_of([path], "paris")
    assert (berlin.server, berlin.namespace, berlin.ca, berlin.token) == (
        "https://berlin.example:6443", "shop", PEM, SECRET
    )  # fmt: skip
    assert (paris.verify, paris.server_name, paris.certificate, paris.key) == (False, "api", PEM, b"key")


def test_files_are_merged_and_the_first_one_wins(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("current-context: paris\nusers: [{name: admin, user: {token: mine}}]\n")
    second.write_text(CONFIG.replace("pki/a.crt", "none").replace("pki/a.key", "none"))
    assert access_of([first, tmp_path / "absent", second], "berlin").token == "mine"  # noqa: S105 - of the test
    environ = {"KUBECONFIG": f"{first}:{second}", "HOME": "/home/x"}
    assert kubeconfig_files(environ) == [first, second]
    assert kubeconfig_files({"HOME": "/home/x"}) == [Path("/home/x/.kube/config")]


@pytest.mark.parametrize(
    ("text", "context", "says"),
    [
        (None, None, "no kubeconfig at"),
        ("a: [", None, "config:2:1:"),
        ("[]", None, "is not a kubeconfig"),
        ("clusters: []", None, "no current context"),
        (CONFIG, "berlln", "no context `berlln`"),
        (CONFIG, "nobody", "no user `missing`"),
        (CONFIG.replace("https://berlin.example:6443/", "berlin"), None, "which is not a URL"),
        (CONFIG.replace(base64.b64encode(PEM).decode(), "'*'"), None, "is not base64"),
        (CONFIG, "paris", "cannot read client-certificate pki/a.crt"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str | None, context: str | None, says: str) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ClusterError) as caught:
        access_of([path], context)
    assert says in caught.value.message


def test_a_similar_name_is_suggested(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(CONFIG)
    with pytest.raises(ClusterError) as caught:
        access_of([path], "berlln")
    assert "berlin" in (caught.value.hint or "")


def test_no_message_contains_a_credential(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(CONFIG.replace("namespace: shop", "namespace: [shop"))
    told = repr(Access(name="a", server="https://x", token=SECRET, key=b"s3cret-of-berlin", user=("u", SECRET)))
    with pytest.raises(ClusterError) as caught:
        access_of([path])
    assert SECRET not in told + caught.value.message + (caught.value.hint or "")
    script = tmp_path / "plugin"
    script.write_text(f'#!{sys.executable}\nimport sys\nprint(\'{{"status": {{"token": "{SECRET}"}}\')\nsys.exit(0)\n')
    script.chmod(0o755)
    with pytest.raises(BateauError) as denied:
        asyncio.run(_headers(ExecPlugin(command=str(script), api_version="client.authentication.k8s.io/v1")))
    assert SECRET not in denied.value.message


def test_a_pod_uses_its_service_account(tmp_path: Path) -> None:
    for name, text in (("token", "t1"), ("namespace", "bateau\n"), ("ca.crt", PEM.decode())):
        (tmp_path / name).write_text(text)
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    access = access_in_pod(environ, tmp_path)
    assert (access.server, access.namespace, access.ca) == ("https://[fd00::1]:443", "bateau", PEM)
    credentials = Credentials(access)
    assert asyncio.run(credentials.headers()) == {"Authorization": "Bearer t1"}
    (tmp_path / "token").write_text("t2")  # the kubelet replaces it
    assert credentials.doubt(credentials.generation)
    assert asyncio.run(credentials.headers()) == {"Authorization": "Bearer t2"}
    with pytest.raises(ClusterError, match="does not run in a pod"):
        access_in_pod({}, tmp_path)


def test_a_plugin_is_asked_once_until_its_credential_ends(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    script = tmp_path / "plugin"
    script.write_text(
        f"#!{sys.executable}\nimport json, os\n"
        f"open({str(calls)!r}, 'a').write(os.environ['KUBERNETES_EXEC_INFO'] + '\\n')\n"
        "print(json.dumps({'status': {'token': os.environ['GIVEN'], 'expirationTimestamp': os.environ['ENDS']}}))\n"
    )
    script.chmod(0o755)
    plugin = ExecPlugin(
        command=str(script),
        api_version="client.authentication.k8s.io/v1",
        environ={"GIVEN": "t", "ENDS": "2999-01-01T00:00:00Z"},
    )

    async def twice(plugin: ExecPlugin) -> list[dict[str, str]]:
        credentials = Credentials(Access(name="berlin", server="https://x", plugin=plugin))
        return [await credentials.headers(), await credentials.headers()]

    assert asyncio.run(twice(plugin)) == [{"Authorization": "Bearer t"}] * 2
    (told,) = calls.read_text().splitlines()
    assert json.loads(told)["apiVersion"] == "client.authentication.k8s.io/v1"


async def test_a_plugin_is_not_run_for_each_request_when_the_clock_is_ahead(tmp_path: Path) -> None:
    """A credential seems to have ended as soon as it comes. It is used until the API server refuses it."""
    calls, script = tmp_path / "calls", tmp_path / "plugin"
    script.write_text(
        f"#!/bin/sh\necho >> {calls}\n"
        'echo \'{"status": {"token": "t", "expirationTimestamp": "2000-01-01T00:00:00Z"}}\'\n'
    )
    script.chmod(0o755)
    plugin = ExecPlugin(command=str(script), api_version="client.authentication.k8s.io/v1")
    credentials = Credentials(Access(name="berlin", server="https://x", plugin=plugin))
    for _ in range(3):
        assert await credentials.headers() == {"Authorization": "Bearer t"}
    assert calls.read_text() == "\n"
    assert credentials.doubt(credentials.generation)
    await credentials.headers()
    assert calls.read_text() == "\n\n"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("print('no json')", "printed no ExecCredential"),
        ("print('{}')", "neither a token nor a certificate"),
        ("import sys; print('log in first', file=sys.stderr); sys.exit(3)", "log in first"),
    ],
)
def test_a_failing_plugin_is_named(tmp_path: Path, body: str, says: str) -> None:
    script = tmp_path / "plugin"
    script.write_text(f"#!{sys.executable}\n{body}\n")
    script.chmod(0o755)
    with pytest.raises(ClusterDenied) as caught:
        asyncio.run(_headers(ExecPlugin(command=str(script), api_version="v1")))
    assert says in caught.value.message
    with pytest.raises(ClusterDenied) as missing:
        asyncio.run(_headers(ExecPlugin(command=f"{script}-none", api_version="v1", install_hint="get it")))
    assert missing.value.hint == "get it"


async def _headers(plugin: ExecPlugin) -> dict[str, str]:
    access = Access(name="berlin", server="https://x", plugin=plugin)
    return await Credentials(access, environ={"PATH": os.environ["PATH"]}).headers()
