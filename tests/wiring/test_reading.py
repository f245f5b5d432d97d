"""Specs are understood in a process of their own, which may die."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest
import pytest_asyncio

from bateau.domain.errors import ControlError
from bateau.sources.spec_files import SpecFiles
from bateau.wiring.listen import free_port
from bateau.wiring.local import LocalPlatform, Settings
from bateau.wiring.reading import WorkerReader
from control.world import app, model

TODAY = date(2026, 11, 28)
TEXTS = {"chat.yaml": model(replicas="${ 1 + 1 }"), "shop.yaml": app()}


@pytest_asyncio.fixture
async def reader() -> AsyncIterator[WorkerReader]:
    made = WorkerReader(None, {})
    yield made
    made.close()


async def test_it_says_what_the_texts_say(reader: WorkerReader, tmp_path: Path) -> None:
    for name, text in TEXTS.items():
        (tmp_path / name).write_text(text)
    texts = await reader.read(SpecFiles(tmp_path, default={}))
    written = await reader.understood(texts, today=TODAY)
    assert [(service.key, service.replicas) for service in written.release.services] == [
        ("app/shop", 1),
        ("model/chat", 2),
    ]
    assert written.release.services[0].origins, "where values came from survives the way"


async def test_a_service_that_has_not_changed_is_the_same_object(reader: WorkerReader) -> None:
    """Issue 8: with 1,000 apps, a save of one cost the unpacking, rendering and encoding of all."""
    before = (await reader.understood(TEXTS, today=TODAY)).release.services
    after = (await reader.understood({**TEXTS, "chat.yaml": model(replicas=3)}, today=TODAY)).release.services
    assert [one is other for one, other in zip(before, after, strict=True)] == [True, False]
    assert after[1].replicas == 3
    changed = {**TEXTS, "shop.yaml": app(env={"NEW": "1"})}
    assert (await reader.understood(changed, today=TODAY)).release.services[0].env == {"NEW": "1"}


async def test_a_worker_that_dies_is_an_error_and_the_next_read_starts_another(
    reader: WorkerReader,
) -> None:
    """Part 3: an expression that crashes the CEL library ends no control plane."""
    await reader.understood(TEXTS, today=TODAY)
    first = reader.pid
    assert first
    os.kill(first, signal.SIGSEGV)
    error: ControlError | None = None
    while error is None:  # the kernel may take a moment to end it
        try:
            await reader.understood(TEXTS, today=TODAY)
        except ControlError as raised:
            error = raised
    assert error.message == "the process that evaluates the specs exited before it was done"
    assert not (await reader.understood(TEXTS, today=TODAY)).problems
    assert reader.pid not in (None, first)


async def test_it_ends_after_a_while_without_work() -> None:
    reader = WorkerReader(None, {}, idle_s=0.2)
    await reader.understood(TEXTS, today=TODAY)
    assert reader.pid
    async with asyncio.timeout(10):
        while reader.pid:  # noqa: ASYNC110 - nothing tells of a timer's end
            await asyncio.sleep(0.05)
    assert (await reader.understood(TEXTS, today=TODAY)).release.services
    reader.close()


def test_it_inherits_no_secret_of_the_control_plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "BATEAU_WEBHOOK_SECRET": "one-secret",
        "BATEAU_EVENTS_SECRET": "four-secret",
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=two-secret",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "api-key=three-secret",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    folders = {f"XDG_{name}_HOME": str(tmp_path / name.lower()) for name in ("STATE", "CACHE")}
    environ = {**os.environ, **folders, "XDG_RUNTIME_DIR": str(tmp_path / "run"), "BATEAU_FILTERS": "stock"}
    platform = LocalPlatform(
        Settings(instance="test", directory=tmp_path, listen=("127.0.0.1", free_port()), environ=environ)
    )
    try:
        reader = platform.control.ports.reader
        assert isinstance(reader, WorkerReader)
        inherited = Path(f"/proc/{reader.pid}/environ").read_bytes()
        assert b"PATH=" in inherited
        assert b"-secret" not in inherited
    finally:
        asyncio.run(platform.close())
