"""A failure, expected or a bug, stays in the service, plane or file that it came from: everything else continues.

Each test plants a bug in one stage and looks at what a user sees (issue Part 1, item 2).
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from bateau.control import assembly as assembly_module
from bateau.control import endpoints as endpoints_module
from bateau.control import status as status_module
from bateau.control import walk as walk_module
from bateau.control.delivery import deliver
from bateau.control.object_checks import Rules
from bateau.control.path import Written
from bateau.control.reading import InProcess
from bateau.domain.endpoint import Backend, Traffic
from bateau.domain.problem import Severity
from bateau.domain.process import ProcessTemplate
from bateau.domain.status import ServiceState
from bateau.domain.unit import Whereabouts
from bateau.domain.workload import Workload
from bateau.ports.target import Rendering, Surroundings
from bateau.render.process.target import Process
from bateau.specs import read
from bateau.wiring.schemas import load_schemas
from control.world import World, app, model, world

BUG = "this is a bug in bateau: RuntimeError: planted"


def planted(says: str = "planted") -> RuntimeError:
    return RuntimeError(says)


async def everything_else_serves(w: World) -> None:
    """An app that was written after the bug struck gets ready, and requests reach it."""
    w.texts.write("other", app("other"))
    await w.until(lambda: any(s.service == "app/other" and s.rolled_out for s in w.status.services))


async def test_a_bug_in_rendering_one_service_is_reported_there(monkeypatch: pytest.MonkeyPatch) -> None:
    render = assembly_module.render_service

    def broken(service: Workload, around: Surroundings, **more: Any) -> Rendering:
        if service.name == "chat":
            raise planted()
        return render(service, around, **more)

    async with world(chat=model(), shop=app()) as w:
        await w.until(lambda: w.status.rolled_out)
        monkeypatch.setattr(assembly_module, "render_service", broken)
        await everything_else_serves(w)
        found = w.service("model/chat")
        assert found.state is ServiceState.DEGRADED
        assert BUG in (found.reason or "")
        assert list(w.replicas()) == ["model.chat.0"], "its running replicas stay"


def test_a_bug_in_rendering_one_service_is_an_error_of_that_service_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """`check`, `plan` and `render` use the same walk as the loop."""
    render = assembly_module.render_service

    def broken(service: Workload, around: Surroundings, **more: Any) -> Rendering:
        if service.name == "chat":
            raise planted()
        return render(service, around, **more)

    monkeypatch.setattr(assembly_module, "render_service", broken)
    rules = Rules(schemas=load_schemas(), today=date(2026, 1, 1))
    rendered = deliver(read({"chat.yaml": model(), "shop.yaml": app(image="shop:1")}), None, rules)
    assert {manifest.service for manifest in rendered.manifests} == {"app/shop"}
    (problem,) = (each for each in rendered.written.problems if each.severity is Severity.ERROR)
    assert (problem.services, str(problem.where)) == (("model/chat",), "chat.yaml:4:9")
    assert BUG in problem.says


async def test_a_bug_in_placing_one_service_is_reported_there(monkeypatch: pytest.MonkeyPatch) -> None:
    place = walk_module.place

    def broken(release: object, *rest: object) -> object:
        if any(service.name == "chat" for service in getattr(release, "services", ())):
            raise planted()
        return place(release, *rest)  # type: ignore[arg-type]

    async with world(chat=model(), shop=app()) as w:
        await w.until(lambda: w.status.rolled_out)
        monkeypatch.setattr(walk_module, "place", broken)
        await everything_else_serves(w)
        assert BUG in (w.service("model/chat").reason or "")
        assert w.service("app/shop").state is ServiceState.READY


async def test_a_bug_in_starting_a_replica_backs_off_and_is_reported() -> None:
    async with world(shop=app()) as w:
        tries: list[str] = []
        start = w.keeper.start

        async def broken(replica_id: str, service: str, template: ProcessTemplate) -> None:
            if service == "model/chat":
                tries.append(replica_id)
                raise planted()
            await start(replica_id, service, template)

        w.keeper.start = broken  # type: ignore[method-assign]
        w.texts.write("chat", model())
        await everything_else_serves(w)
        assert BUG in (w.service("model/chat").reason or "")
        await w.turns(50)
        assert len(tries) == 1, "it waits before it tries again"
        await w.pass_time(1.0)
        assert len(tries) == 2


async def test_a_bug_in_stopping_a_replica_backs_off_and_is_reported() -> None:
    """Issue Part 1, item 2: a failing stop ran 587 times in 2 s."""
    async with world(chat=model(replicas=2), shop=app()) as w:
        await w.until(lambda: w.status.rolled_out)
        tries: list[str] = []

        async def broken(replica_id: str) -> None:
            tries.append(replica_id)
            raise planted()

        w.keeper.stop = broken  # type: ignore[method-assign]
        w.texts.write("chat", model(replicas=1))
        await w.until(lambda: w.draining)
        await w.pass_time(1.0)
        await w.until(lambda: tries)
        await everything_else_serves(w)
        assert BUG in (w.control.observed.failures.get("model/chat") or "")
        await w.turns(50)
        assert len(tries) == 1
        await w.pass_time(1.0)
        assert len(tries) == 2


async def test_a_bug_in_a_plane_is_reported_and_replicas_still_start() -> None:
    async with world(chat=model()) as w:
        await w.until(lambda: w.status.rolled_out)
        publish = w.plane.publish

        def broken(_traffic: Traffic) -> None:
            raise planted()

        w.plane.publish = broken  # type: ignore[method-assign]
        w.texts.write("other", app("other"))
        await w.until(lambda: w.replicas("app/other"))
        await w.until(lambda: w.status.gateway.state is ServiceState.DEGRADED)
        assert BUG in (w.status.gateway.reason or "")
        w.plane.publish = publish  # type: ignore[method-assign]
        await w.until(lambda: w.status.rolled_out)


async def test_a_bug_while_specs_are_read_changes_nothing_and_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(chat=model()) as w:
        await w.until(lambda: w.status.rolled_out)

        async def broken(_self: InProcess, _texts: Mapping[str, str], *, today: date) -> Written:
            raise planted(str(today)[:0] + "planted")

        with monkeypatch.context() as patched:
            patched.setattr(InProcess, "understood", broken)
            w.texts.write("chat", model(replicas=2))
            await w.until(lambda: any(BUG in problem.says for problem in w.status.problems))
            assert not w.status.accepted
            w.keeper.crash("model.chat.0", "exited with code 1")
            await w.turn()
            assert w.service().state is ServiceState.FAILED, "the running services are looked after"
            w.keeper.restart("model.chat.0")
        await w.until(lambda: len(w.replicas()) == 2)
        assert not w.status.problems


async def test_a_replica_that_cannot_be_stopped_keeps_no_other_running() -> None:
    """Issue Part 1, item 9: stop_all stops nothing when one replica cannot be ended."""
    async with world(chat=model(), shop=app()) as w:
        await w.until(lambda: w.status.rolled_out)
        stop = w.keeper.stop

        async def broken(replica_id: str) -> None:
            if replica_id == "app.shop.0":
                raise planted()
            await stop(replica_id)

        w.keeper.stop = broken  # type: ignore[method-assign]
        await w.end()
        failed = await w.control.stop_all()
        assert list(failed) == ["app.shop.0"]
        assert BUG in failed["app.shop.0"]
        assert [replica.id for replica in w.keeper.observe()] == ["app.shop.0"]


async def test_a_bug_with_the_endpoints_of_one_service_is_reported_there(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No change of any service reached the gateway while it lasted."""

    def broken(**fields: Any) -> Backend:
        if fields["name"] == "chat":
            raise planted()
        return Backend(**fields)

    async with world(chat=model(), shop=app()) as w:
        await w.until(lambda: w.status.rolled_out)
        before = w.backend()
        monkeypatch.setattr(endpoints_module, "Backend", broken)
        w.texts.write("chat", model(contextLength=512))
        await everything_else_serves(w)
        assert w.backend() == before
        assert "model.chat.0" in w.replicas(), "the only replica that its clients are sent to"
        assert "model.chat.0" not in w.draining
        assert BUG in (w.service("model/chat").reason or "")
        assert w.service("app/shop").state is ServiceState.READY
        assert caplog.text.count("the endpoints of model/chat stay as they were") == 1
        monkeypatch.setattr(endpoints_module, "Backend", Backend)
        await w.until(lambda: w.status.rolled_out)
        assert list(w.replicas()) != ["model.chat.0"]


async def test_a_bug_with_the_status_of_one_service_hides_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The status stayed as it was before the bug: everything was shown as ready."""
    source_of = status_module.source_of

    def broken(service: Workload) -> str | None:
        if service.name == "chat":
            raise planted()
        return source_of(service)

    async with world(chat=model(), shop=app()) as w:
        w.control.status = lambda: w.status
        await w.until(lambda: w.status.rolled_out)
        monkeypatch.setattr(status_module, "source_of", broken)
        await everything_else_serves(w)
        found = w.service("model/chat")
        assert (found.state, found.engine) == (ServiceState.DEGRADED, "unknown")
        assert BUG in (found.reason or "")
        assert w.service("app/shop").state is ServiceState.READY
        await w.turns()
        # Once, and perhaps once more for the statuses that this test takes itself.
        assert caplog.text.count("RuntimeError: planted\n") <= 2


async def test_a_bug_in_the_address_of_one_service_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    address = Process.address

    def broken(self: Process, workload: Workload, where: Whereabouts) -> object:
        if workload.name == "chat":
            raise planted()
        return address(self, workload, where)

    async with world(chat=model(), shop=app()) as w:
        await w.until(lambda: w.status.rolled_out)
        monkeypatch.setattr(Process, "address", broken)
        await everything_else_serves(w)
        found = w.service("model/chat")
        assert (found.state, found.address) == (ServiceState.DEGRADED, None)
        assert BUG in (found.reason or "")
        assert w.service("app/shop").address


async def test_the_reason_of_a_failed_turn_is_shown_until_a_turn_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stayed until the specs were read again, up to a minute."""

    def broken(*_: object, **__: object) -> None:
        raise planted()

    async with world(chat=model()) as w:
        await w.until(lambda: w.status.rolled_out)
        with monkeypatch.context() as bug:
            bug.setattr(w.control.fetches, "follow", broken)
            await w.until(lambda: w.control.troubles.says)
            assert [problem.says for problem in w.status.problems] == [
                f"{BUG}; Bateau retries, and the log has the details"
            ]
        await w.turn()
        assert w.status.problems == ()


async def test_a_replica_whose_probes_fail_with_a_bug_is_reported_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(chat=model()) as w:
        await w.until(lambda: w.status.rolled_out)
        found = [*w.gateway().values(), replace(w.replicas()["model.chat.0"], reason=BUG)]
        monkeypatch.setattr(w.keeper, "observe", lambda: found)
        await w.turn()
        assert [problem.says for problem in w.status.problems] == [f"model.chat.0: {BUG}"]
        assert w.service("model/chat").state is ServiceState.READY
