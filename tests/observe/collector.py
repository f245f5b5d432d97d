"""A collector of spans, which decodes OTLP by OpenTelemetry's own descriptors: Envoy's program contains them."""

import asyncio
import contextlib
import functools
import os
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from multidict import CIMultiDictProxy

from bateau.traffic.envoy.api import EnvoyApi
from bateau.wiring.envoy import envoy_binary

_SERVICE = "opentelemetry.proto.collector.trace.v1"


def decoded(body: bytes, *, exactly: bool = True) -> dict[str, Any]:
    """Return an ExportTraceServiceRequest as JSON; with `exactly`, it must be as protobuf itself writes it."""
    message: Any = _class("ExportTraceServiceRequest")()
    assert message.ParseFromString(body) == len(body)
    tree = json_format.MessageToDict(message, preserving_proto_field_name=True)
    assert not exactly or message.SerializeToString(deterministic=True) == body
    return tree


def partial_success(rejected: int, why: str) -> bytes:
    """Return an ExportTraceServiceResponse."""
    tree = {"partial_success": {"rejected_spans": rejected, "error_message": why}}
    return json_format.ParseDict(tree, _class("ExportTraceServiceResponse")()).SerializeToString()


def value_of(value: Mapping[str, Any]) -> Any:
    """Return an AnyValue as Python has it."""
    ((kind, found),) = value.items()
    match kind:
        case "int_value":
            return int(found)
        case "array_value":
            return [value_of(each) for each in found["values"]]
        case _:
            return found


def attributes_of(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a span or a resource."""
    return {each["key"]: value_of(each["value"]) for each in part["attributes"]}


class Collector:
    """Answers with `status`, and keeps the requests that it has taken."""

    def __init__(self) -> None:
        self.status = 200
        self.holds = False  # never answers
        self.answer = b""
        self.headers: dict[str, str] = {}
        self.asked: list[CIMultiDictProxy[str]] = []
        self.taken: list[dict[str, Any]] = []
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def spans(self) -> Sequence[dict[str, Any]]:
        return [
            span
            for request in self.taken
            for resource in request["resource_spans"]
            for scope in resource["scope_spans"]
            for span in scope["spans"]
        ]

    async def open(self) -> None:
        """Listen, at the same port as before."""
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/v1/traces", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def close(self) -> None:
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    async def _take(self, request: web.Request) -> web.Response:
        self.asked.append(request.headers)
        if self.holds:
            await asyncio.sleep(3600)
        tree = decoded(await request.read())
        if self.status == 200:
            self.taken.append(tree)
        return web.Response(
            status=self.status, body=self.answer, headers={"content-type": "application/x-protobuf", **self.headers}
        )


@contextlib.asynccontextmanager
async def collector() -> AsyncGenerator[Collector, None]:
    """Run a collector for the length of a block."""
    made = Collector()
    await made.open()
    try:
        yield made
    finally:
        await made.close()


def _class(name: str) -> Any:
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_SERVICE}.{name}"))


@functools.cache
def _pool() -> descriptor_pool.DescriptorPool:
    with tempfile.TemporaryDirectory() as folder:
        EnvoyApi(envoy_binary(os.environ), Path(folder))
        (kept,) = Path(folder).glob("envoy-api-*.pb")
        files = descriptor_pb2.FileDescriptorSet.FromString(kept.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    by_name = {file.name: file for file in files.file}

    def add(name: str) -> None:
        for needed in by_name[name].dependency:
            add(needed)
        pool.Add(by_name[name])

    add("opentelemetry/proto/collector/trace/v1/trace_service.proto")
    return pool
