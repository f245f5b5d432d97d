"""Situations that users of comparable programs reported, with real processes (serving cases A9, A10, A11, A19, A20)."""

import asyncio
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bateau.domain.errors import ReplicaError
from bateau.domain.process import ProcessTemplate
from bateau.domain.replica import ReplicaState
from bateau.domain.unit import Unit
from bateau.domain.workload import ServiceKey
from bateau.runtimes.local import LocalRuntime
from bateau.runtimes.local.process import Process
from bateau.wiring.this_process import SystemClock
from runtimes.rig import Rig, look, shell, until, until_state, until_true

PRINTS = "import os, time; print('line', os.environ['NO_PROXY'], os.environ['no_proxy']); time.sleep(60)"


def python(script: str, **rest: object) -> ProcessTemplate:
    template = ProcessTemplate(revision="r1", command=(sys.executable, "-S", "-c", script), stop_timeout_s=5.0)
    return replace(template, **rest)  # type: ignore[arg-type]


async def test_what_a_python_app_prints_is_in_its_log_at_once(rig: Rig) -> None:
    """A10: without PYTHONUNBUFFERED nothing is there until its buffer is full."""
    keeper = rig.runtime()
    await keeper.adopt()
    await keeper.start("app.talk.0", "app/talk", python(PRINTS))
    await until_true(lambda: rig.log("app.talk.0").exists() and "line" in rig.log("app.talk.0").read_text())


async def test_calls_to_this_machine_never_go_through_a_proxy(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A9: a company's HTTP_PROXY is inherited; what it excludes stays excluded, and a spec's own value wins."""
    monkeypatch.setenv("NO_PROXY", "intra.example.org")
    monkeypatch.delenv("no_proxy", raising=False)
    keeper = rig.runtime()
    await keeper.adopt()
    await keeper.start("app.a.0", "app/a", python(PRINTS, environment={"no_proxy": "mine"}))
    await until_true(lambda: rig.log("app.a.0").exists() and "line" in rig.log("app.a.0").read_text())
    assert rig.log("app.a.0").read_text() == "line intra.example.org,localhost,127.0.0.1,::1 mine\n"


async def test_a_task_that_ends_is_done_and_not_run_again(rig: Rig, tmp_path: Path) -> None:
    """A11: a migration ran 5 times in 20 s. It is not run again by the next control plane either."""
    ran = tmp_path / "ran"
    task = shell(f"echo ran >> {ran}; exit 0", restart="onFailure")
    keeper = rig.runtime()
    await keeper.adopt()
    await keeper.start("app.job.0", "app/job", task)
    await until_state(keeper, "app.job.0", ReplicaState.DONE)
    await keeper.close()
    second = rig.runtime()
    await second.adopt()
    assert look(second, "app.job.0").state is ReplicaState.DONE
    await asyncio.sleep(1.5)
    assert ran.read_text() == "ran\n"


async def test_a_task_that_fails_is_tried_again_only_where_it_says_so(rig: Rig) -> None:
    keeper = rig.runtime()
    await keeper.adopt()
    await keeper.start("app.once.0", "app/once", shell("exit 3", restart="never"))
    await keeper.start("app.again.0", "app/again", shell("exit 3", restart="onFailure"))
    failed = await until_state(keeper, "app.once.0", ReplicaState.FAILED)
    assert failed.reason == "exited with code 3"
    await until(keeper, lambda: look(keeper, "app.again.0").restarts > 0)
    assert look(keeper, "app.once.0").restarts == 0


async def test_a_done_task_is_no_step_away_from_what_is_wanted(rig: Rig) -> None:
    runtime = LocalRuntime(rig.runtime(), SystemClock())
    await runtime.adopt()
    unit = Unit(key=ServiceKey("app/job"), target="process", body=shell("exit 0", restart="onFailure"))
    runtime.apply([unit])
    async with asyncio.timeout(20):
        while [r.state for r in runtime.observe().replicas] != [ReplicaState.DONE]:
            runtime.apply([unit])
            await asyncio.sleep(0.05)
    runtime.apply([unit])
    assert not runtime.observe().moving
    runtime.apply([replace(unit, body=shell("exit 0; # again", restart="onFailure", revision="r2"))])
    async with asyncio.timeout(20):
        while [(r.revision, r.state) for r in runtime.observe().replicas] != [("r2", ReplicaState.DONE)]:
            runtime.apply([replace(unit, body=shell("exit 0; # again", restart="onFailure", revision="r2"))])
            await asyncio.sleep(0.05)


async def test_an_app_that_ends_by_itself_is_told_about_tasks_and_input(rig: Rig) -> None:
    """A11 and A20: the hint names both ways in which this happens."""
    keeper = rig.runtime()
    await keeper.adopt()
    await keeper.start("app.a.0", "app/a", shell("exit 0"))
    await until(keeper, lambda: "restart: onFailure" in (look(keeper, "app.a.0").reason or ""))
    assert "standard input is closed" in (look(keeper, "app.a.0").reason or "")


async def test_the_stop_signal_is_the_one_that_is_wanted(rig: Rig, tmp_path: Path) -> None:
    """A19: nginx, php-fpm and Celery stop in order on QUIT or INT."""
    told = tmp_path / "told"
    script = f"trap 'echo int > {told}; exit 0' INT; trap 'echo term > {told}; exit 0' TERM; echo up; sleep 60 & wait"
    keeper = rig.runtime()
    await keeper.adopt()
    await keeper.start("app.a.0", "app/a", shell(script, stop_signal="SIGINT"))
    await until_true(lambda: rig.log("app.a.0").exists() and "up" in rig.log("app.a.0").read_text())
    await keeper.stop("app.a.0")
    assert told.read_text() == "int\n"


async def test_a_process_that_cannot_be_watched_is_an_error_and_leaves_no_orphan(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Part 1, item 6: pidfd_open failing with EMFILE left three orphans after three starts."""
    keeper = rig.runtime()
    await keeper.adopt()
    opened = os.pidfd_open

    def full(_pid: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", full)
    for _ in range(3):
        with pytest.raises(ReplicaError, match="cannot be watched: Too many open files"):
            await keeper.start("app.a.0", "app/a", shell("sleep 60"))
    monkeypatch.setattr(os, "pidfd_open", opened)
    assert rig.pids() == set()
    assert Process.open(2**22 + 1) is None, "one that is not there is not there"


async def test_a_record_of_the_previous_release_is_read(rig: Rig) -> None:
    """Part 1, item 3: format 1 had no drain timeout, no stop signal and no restart."""
    keeper = rig.runtime()
    await keeper.adopt()
    await keeper.start("app.a.0", "app/a", shell("sleep 60"))
    pid = look(keeper, "app.a.0").pid
    await keeper.close()
    path = rig.record("app.a.0")
    record = json.loads(path.read_text())
    for name in ("drain_timeout_s", "stop_signal", "restart", "metrics", "withheld"):
        record["template"].pop(name, None)
    record.pop("ended")
    record["version"] = 1
    path.write_text(json.dumps(record))
    second = rig.runtime()
    await second.adopt()
    assert (look(second, "app.a.0").pid, look(second, "app.a.0").drain_timeout_s) == (pid, 30.0)
    assert pid
    os.kill(pid, signal.SIGCONT)  # it runs


async def test_braces_that_are_no_words_of_the_template_reach_the_program(rig: Rig) -> None:
    """A22: `{port:int}` is a route of the program, and `{socket}` is only a word where there is one."""
    runtime = rig.runtime()
    words = "/users/{port:int}/x {socket} {json: 1} {port:http}"
    await runtime.start("app.a.0", "app/a", shell(f"echo '{words}'; exec sleep 100", port_names=("http",)))
    number = look(runtime, "app.a.0").addresses["http"].rpartition(":")[2]
    expected = f"/users/{{port:int}}/x {{socket}} {{json: 1}} {number}\n"
    await until_true(lambda: rig.log("app.a.0").read_text() == expected)
