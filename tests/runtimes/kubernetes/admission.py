"""A validating webhook for the Deployments of one namespace: an https server that the real API server asks."""

import asyncio
import base64
import os
import ssl
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp import web

from bateau.domain.errors import ObjectRefused
from bateau.kit.certificates import Pair, issue
from bateau.kit.json_value import JsonObject, object_at, text_at
from bateau.runtimes.kubernetes.api import Resource
from runtimes.kubernetes.rig import DEPLOYMENTS, Bench, eventually

WEBHOOKS = Resource("/apis/admissionregistration.k8s.io/v1", "validatingwebhookconfigurations", namespaced=False)


@dataclass
class Webhook:
    """Denies the objects in `denied` with a status code and a message; says nothing while it hangs."""

    name: str
    denied: dict[str, tuple[int, str]]
    hangs: bool = False
    asked: int = 0
    down: Callable[[], Awaitable[None]] | None = None

    async def review(self, request: web.Request) -> web.Response:
        asked = object_at(await request.json(), "request")
        self.asked += 1
        if self.hangs:
            await asyncio.sleep(60)
        told = self.denied.get(text_at(asked, "name"))
        answer: JsonObject = {"uid": text_at(asked, "uid"), "allowed": told is None}
        if told is not None:
            code, message = told
            answer["status"] = {"code": code, "message": message}
        return web.json_response({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer})


def tls(pair: Pair) -> ssl.SSLContext:
    """Return the TLS of a server."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    descriptor, path = tempfile.mkstemp()
    with os.fdopen(descriptor, "wb") as file:
        file.write(pair.certificate + pair.key)
    context.load_cert_chain(path)
    Path(path).unlink()
    return context


@asynccontextmanager
async def serving(app: web.Application, pair: Pair, port: int = 0) -> AsyncGenerator[tuple[int, web.AppRunner]]:
    """Serve an application with this certificate, and give its port, and what ends it."""
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls(pair))
    await site.start()
    try:
        yield runner.addresses[0][1], runner
    finally:
        await runner.cleanup()


@asynccontextmanager
async def admission(b: Bench, denied: dict[str, tuple[int, str]]) -> AsyncGenerator[Webhook]:
    """Give a webhook that the API server asks already."""
    webhook = Webhook(f"carts.{b.namespace}.example.org", denied)
    deployments: JsonObject = {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]}
    issued = issue(
        server_names=["localhost"], client_name="none", now=datetime.now(tz=UTC), lifetime=timedelta(hours=1)
    )
    app = web.Application()
    app.router.add_post("/review", webhook.review)
    async with serving(app, issued.server) as (port, runner):
        webhook.down = runner.cleanup
        configuration: JsonObject = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": webhook.name},
            "webhooks": [
                {
                    "name": webhook.name,
                    "clientConfig": {
                        "url": f"https://localhost:{port}/review",
                        "caBundle": base64.b64encode(issued.authority).decode(),
                    },
                    "rules": [{"operations": ["CREATE", "UPDATE"], **deployments}],
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": b.namespace}},
                    "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                    "timeoutSeconds": 1,
                }
            ],
        }
        await b.api.apply(WEBHOOKS, configuration)
        try:
            await eventually(lambda: _is_asked(b, webhook))
            yield webhook
        finally:
            found = await b.api.get(WEBHOOKS, "", webhook.name)
            await b.api.delete(WEBHOOKS, "", webhook.name, uid=text_at(found or {}, "metadata", "uid"))


async def _is_asked(b: Bench, webhook: Webhook) -> bool:
    try:
        await b.api.apply(DEPLOYMENTS, b.deployment("anything"), dry_run=True)
    except ObjectRefused:
        return True
    return webhook.asked > 0
