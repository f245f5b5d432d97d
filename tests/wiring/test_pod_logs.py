"""Logs of pods that a page follows, against a small API server; tests/cluster has that of a real kubelet."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

import pytest
from aiohttp import web

from bateau.domain.replica import Replica
from bateau.runtimes.kubernetes import ApiServer
from bateau.wiring import pod_logs
from bateau.wiring.pod_logs import PODS_MAX, PodLogs
from control.test_cluster_status import pod
from runtimes.kubernetes.servant import Answer, served, status, stream

AT = "2026-11-30T08:04:"
POD = replace(pod("app/web"), id="shop/web-1", service="app/shop.web")
GONE = status(404, "NotFound", 'pods "web-1" not found')


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_logs, "AGAIN_S", 0.01)


def logs_of(api: ApiServer, replicas: Sequence[Replica] = (POD,)) -> PodLogs:
    return PodLogs(api=lambda: api, replicas=lambda: replicas)


async def all_of(found: AsyncGenerator[str]) -> list[str]:
    async with asyncio.timeout(10), aclosing(found):
        return [line async for line in found]


async def followed(*answers: Answer) -> tuple[list[str], list[web.Request]]:
    """Return the lines until the pod has gone, and what was asked."""
    async with served(*answers, GONE) as (api, servant):
        return await all_of(logs_of(api).follow("shop/web-1", lines=200)), servant.asked


async def test_a_stream_that_is_cut_continues_without_a_line_twice() -> None:
    """The API server takes times of whole seconds, so the lines of the last one come again."""
    first = stream(
        f"{AT}10.1Z one\n{AT}10.12Z tw".encode(), f"o\n{AT}10.120000001Z three\n{AT}11Z ha".encode(), cut=True
    )
    again = stream(f"{AT}10.1Z one\n{AT}10.12Z two\n{AT}10.120000001Z three\n{AT}11Z half\n".encode())
    lines, asked = await followed(first, again)
    assert lines == ["one", "two", "three", "half"]
    assert asked[0].path == "/api/v1/namespaces/shop/pods/web-1/log"
    assert dict(asked[0].query) == {"follow": "true", "timestamps": "true", "tailLines": "200"}
    assert asked[1].query["sinceTime"] == f"{AT}10Z"


async def test_the_log_of_a_pod_with_several_containers_is_not_awaited() -> None:
    says = "a container name must be specified for pod web-1, choose one of: [web proxy]"
    lines, _ = await followed(status(400, "BadRequest", says))
    assert lines == ["(the pod has several containers: kubectl logs -n shop web-1 --all-containers)"]


async def test_times_of_another_zone_and_lines_without_one_are_shown() -> None:
    lines, asked = await followed(
        stream(b"2026-11-30T10:04:10.5+02:00 one\nfailed to watch the file\n"), stream(f"{AT}10.5Z one\n".encode())
    )
    assert lines == ["one", "failed to watch the file"]
    assert asked[1].query["sinceTime"] == f"{AT}10Z"


async def test_a_container_that_has_not_started_is_awaited() -> None:
    waits = status(400, "BadRequest", 'container "web" in pod "web-1" is waiting to start: ContainerCreating')
    lines, _ = await followed(waits, waits, stream(f"{AT}10Z one\n".encode()))
    assert lines == ["one"]


async def test_a_right_that_is_missing_is_a_line_and_asked_for_once() -> None:
    refused = status(403, "Forbidden", 'pods "web-1" is forbidden: User "me" cannot get resource "pods/log"')
    lines, asked = await followed(refused)
    assert len(asked) == 1
    assert len(lines) == 1
    assert lines[0].startswith("(the log cannot be read: ")
    assert 'cannot get resource "pods/log"' in lines[0]


async def test_a_line_without_an_end_is_cut() -> None:
    part = b"x" * 60_000
    lines, _ = await followed(stream(f"{AT}10Z ".encode(), *[part] * 20, f"\n{AT}11Z two\n".encode()))
    assert [len(each) for each in lines] == [pod_logs.LINE_BYTES_MAX - len(f"{AT}10Z "), 3]


async def test_a_reader_that_ends_closes_the_stream() -> None:
    closed = asyncio.Event()

    async def open_end(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(f"{AT}10Z one\n".encode())
        try:
            while request.transport and not request.transport.is_closing():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        finally:
            closed.set()
        return response

    async with served(open_end) as (api, servant):
        logs = logs_of(api)
        lines: list[str] = []

        async def read() -> None:
            async for line in logs.follow("shop/web-1", lines=200):
                lines.append(line)  # noqa: PERF401 - a comprehension would never end

        task = asyncio.create_task(read())
        async with asyncio.timeout(10):
            while not lines:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await closed.wait()
        await asyncio.sleep(0.1)
        assert len(servant.asked) == 1, "nobody asks again"


async def test_of_many_pods_a_bounded_number_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [replace(POD, id=f"shop/web-{number}", since=float(number)) for number in range(50)]
    other = replace(POD, id="shop/api-1", service="app/shop.api")
    monkeypatch.setattr(pod_logs, "STREAMS_MAX", 1)
    async with served(stream(f"{AT}10Z one\n".encode(), hold=True)) as (api, servant):
        logs = logs_of(api, [*many, other])
        assert logs.of("app/shop.web") == [f"shop/web-{number}" for number in range(50 - PODS_MAX, 50)]
        first = logs.follow("shop/web-1", lines=200)
        assert await anext(first) == "one"
        says = await all_of(logs.follow("shop/web-2", lines=200))
        assert says == ["(this log is not followed: the pages that are open follow 1 logs already)"]
        assert len(servant.asked) == 1
        await first.aclose()
        again = logs.follow("shop/web-2", lines=200)
        assert await anext(again) == "one", "a page has ended"
        await again.aclose()
