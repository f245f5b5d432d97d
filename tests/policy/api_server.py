"""A real API server that judges documents by policies, in two namespaces that no other test uses.

In the first, the bindings are as `admission` writes them, so the server denies, warns or allows. An API server names
only one reason of a denial, so in the second every binding warns: there, an answer names every rule that is broken.
"""

import asyncio
import re
import shutil
import sys
import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from bateau.domain.api_resources import API_RESOURCES

API: Final = "/apis/admissionregistration.k8s.io/v1"
LABEL: Final = "bateau.test/judged"
WAIT_S: Final = 60.0
PAUSE_S: Final = 0.1
# An API server of two cores gets no faster beyond it.
AT_ONCE: Final = 8
_PLURALS: Final = {
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}
_DENIED: Final = re.compile(r"ValidatingAdmissionPolicy '(\S+)' with binding '\S+' denied request: (.*)", re.DOTALL)
_WARNED: Final = re.compile(
    r"Validation failed for ValidatingAdmissionPolicy '(\S+)' with binding '\S+': (.*)", re.DOTALL
)


@dataclass(frozen=True)
class Answer:
    """What the API server said of one document: `denied` by a policy, `refused` for another reason, or accepted.

    `broken` has the message of every rule, by the answer in the namespace in which every binding warns. `tree` is the
    object as it would be stored, of that namespace too.
    """

    denied: str | None
    warned: frozenset[str]
    broken: frozenset[str]
    refused: str | None
    tree: Mapping[str, Any] = field(repr=False)

    @property
    def verdict(self) -> str:
        """What happens to the object."""
        return "refused" if self.refused else "deny" if self.denied else "warn" if self.warned else "allow"


@asynccontextmanager
async def judging(
    kubeconfig: Path, trees: Iterable[Mapping[str, Any]], *, by_label: bool = False
) -> AsyncGenerator["JudgingServer"]:
    """Install policies and their bindings, for two namespaces alone, and remove everything at the end.

    `by_label`: they are for objects with a label that every document gets, instead. The selector of namespaces does
    not leave out objects that are in none.
    """
    kubectl = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or "kubectl"
    command = [kubectl, f"--kubeconfig={kubeconfig}", "proxy", "--port=0"]
    proxy = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert proxy.stdout is not None
        address = re.search(r"127\.0\.0\.1:\d+", (await proxy.stdout.readline()).decode())
        assert address, "kubectl proxy does not start"
        connector = aiohttp.TCPConnector(limit=AT_ONCE)
        async with aiohttp.ClientSession(f"http://{address[0]}", connector=connector) as session:
            server = JudgingServer(session, f"judged-{uuid.uuid4().hex[:8]}", by_label=by_label)
            try:
                await server.install(trees)
                yield server
            finally:
                await server.remove()
    finally:
        proxy.terminate()
        await proxy.wait()


class JudgingServer:
    """Sends documents by server-side dry run."""

    def __init__(self, session: aiohttp.ClientSession, name: str, *, by_label: bool) -> None:
        self._session = session
        self._by_label = by_label
        self.as_written = name
        self.warning = f"{name}-warning"
        self._made: list[str] = []
        self.policies: list[str] = []

    async def install(self, trees: Iterable[Mapping[str, Any]]) -> None:
        """Create the namespaces, the policies and their bindings, and wait until the server judges by them."""
        for name in (self.as_written, self.warning):
            await self._make("/api/v1/namespaces", {"metadata": {"name": name, "labels": {LABEL: name}}})
        for tree in trees:
            if tree["kind"] == "ValidatingAdmissionPolicy":
                self.policies.append(self._own(tree["metadata"]["name"]))
                await self._make_admission(tree["kind"], self.policies[-1], tree["spec"])
            else:
                await self._bind(tree["spec"])
        await self._wait()

    async def _bind(self, spec: Mapping[str, Any]) -> None:
        own = self._own(spec["policyName"])
        for namespace, actions in ((self.as_written, spec["validationActions"]), (self.warning, ["Warn"])):
            selector = "objectSelector" if self._by_label else "namespaceSelector"
            within = {selector: {"matchLabels": {LABEL: namespace}}}
            binding = {"policyName": own, "validationActions": actions, "matchResources": within}
            kind = "ValidatingAdmissionPolicyBinding"
            await self._make_admission(kind, f"{own}.{namespace}", binding)

    async def _wait(self) -> None:
        """Wait until a policy that came last is in force: the server then has read those before it, too."""
        rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]
        validations = [{"expression": "false", "message": "in force"}]
        probes = [{"name": "probe", "expression": "object.metadata.name == 'probe'"}]
        spec = {"matchConstraints": {"resourceRules": rules}, "matchConditions": probes, "validations": validations}
        own = self._own("last")
        await self._make_admission("ValidatingAdmissionPolicy", own, spec)
        await self._bind({"policyName": "last", "validationActions": ["Deny"]})
        probe = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe"}}
        for _ in range(round(WAIT_S / PAUSE_S)):
            if "in force" in (await self.judged(probe)).broken:
                return
            await asyncio.sleep(PAUSE_S)
        pytest.fail("a policy is not in force after a minute")

    async def judged(self, tree: Mapping[str, Any]) -> Answer:
        """Send one document to both namespaces."""
        denied = refused = None
        status, body, warned = await self._send(tree, self.as_written)
        if status >= 400:
            says = body["message"]
            denied = found[2] if (found := _DENIED.search(says)) else None
            refused = None if denied else says
        warning_status, stored, broken = await self._send(tree, self.warning)
        if warning_status >= 400:
            refused = refused or stored["message"]
        return Answer(denied, warned, broken, refused, stored)

    async def each(self, trees: Iterable[Mapping[str, Any]]) -> list[Answer]:
        """Send many documents at once."""
        return list(await asyncio.gather(*map(self.judged, trees)))

    async def type_warnings(self) -> dict[str, Any]:
        """Wait until every policy has been type-checked, and return the warnings by policy."""
        found: dict[str, Any] = {}
        async with asyncio.timeout(WAIT_S):
            for name in self.policies:
                while True:
                    async with self._session.get(f"{API}/{_PLURALS['ValidatingAdmissionPolicy']}/{name}") as response:
                        status = (await response.json()).get("status", {})
                    if "typeChecking" in status:
                        break
                    await asyncio.sleep(0.2)
                if warnings := status["typeChecking"].get("expressionWarnings"):
                    found[name] = warnings
        return found

    async def remove(self) -> None:
        """Remove everything that was made, the policies first."""
        for path in reversed(self._made):
            async with self._session.delete(path) as response:
                await response.read()

    async def _send(self, tree: Mapping[str, Any], namespace: str) -> tuple[int, dict[str, Any], frozenset[str]]:
        group, slash, version = tree["apiVersion"].rpartition("/")
        resource = API_RESOURCES[group, tree["kind"]]
        root = f"/apis/{group}/{version}" if slash else f"/api/{version}"
        metadata = {**tree["metadata"]}
        if resource.scope == "Namespaced":
            root += f"/namespaces/{namespace}"
            metadata["namespace"] = namespace
        if self._by_label:
            metadata["labels"] = {**metadata.get("labels", {}), LABEL: namespace}
        sent = {**tree, "metadata": metadata}
        query = {"dryRun": "All", "fieldValidation": "Strict"}
        async with self._session.post(f"{root}/{resource.plural}", json=sent, params=query) as response:
            warnings = [_unquoted(each) for each in response.headers.getall("Warning", [])]
            found = [match[2] for each in warnings if (match := _WARNED.fullmatch(each))]
            return response.status, await response.json(), frozenset(found)

    def _own(self, name: str) -> str:
        return f"{name}.{self.as_written}"

    async def _make_admission(self, kind: str, name: str, spec: Mapping[str, Any]) -> None:
        await self._make(f"{API}/{_PLURALS[kind]}", {"metadata": {"name": name}, "spec": spec})

    async def _make(self, path: str, tree: Mapping[str, Any]) -> None:
        async with self._session.post(path, json=tree, params={"fieldValidation": "Strict"}) as response:
            body = await response.json()
            assert response.status == 201, body["message"]
        self._made.append(f"{path}/{tree['metadata']['name']}")


def _unquoted(header: str) -> str:
    """Return the text of a Warning header (RFC 9111, 5.5): `299 - "text"`."""
    quoted = header.partition('"')[2].rpartition('"')[0]
    return re.sub(r"\\(.)", r"\1", quoted)
