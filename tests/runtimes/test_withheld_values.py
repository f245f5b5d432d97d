"""Values that are kept in memory only: no record contains them, and the next control plane gets them again."""

import os
import signal
from dataclasses import replace

import pytest

from bateau.domain.errors import ReplicaError
from bateau.domain.process import ProbePlan, ProbeTarget
from bateau.domain.replica import ReplicaState
from bateau.runtimes.local.records import Record
from runtimes.rig import Rig, look, shell, until_state, until_true

PLANTED = "tr0ub4dor-and-3"
KEY = "spec.env.TOKEN"
TEMPLATE = shell('echo "$TOKEN"; exec sleep 100', environment={"TOKEN": f"{{withheld:{KEY}}}"}, withheld={KEY: PLANTED})


async def test_a_process_has_the_value_and_its_record_does_not(rig: Rig) -> None:
    await rig.runtime().start("app.a.0", "app/a", TEMPLATE)
    await until_true(lambda: rig.log("app.a.0").read_text() == f"{PLANTED}\n")
    assert PLANTED not in rig.record("app.a.0").read_text()
    assert KEY in rig.record("app.a.0").read_text()


async def test_a_replica_that_dies_before_the_specs_are_read_waits_for_its_values(rig: Rig) -> None:
    first = rig.runtime()
    await first.start("app.a.0", "app/a", TEMPLATE)
    pid = look(first, "app.a.0").pid
    await first.close()
    second = rig.runtime()
    await second.adopt()
    assert look(second, "app.a.0").pid == pid
    os.kill(pid or 0, signal.SIGKILL)
    await until_state(second, "app.a.0", ReplicaState.BACKOFF)
    await until_true(
        lambda: look(second, "app.a.0").reason == f"waits for {KEY}: values from env() are not stored on disk"
    )
    second.supply([replace(TEMPLATE, revision="other", withheld={KEY: "x"})])
    assert look(second, "app.a.0").pid is None
    second.supply([TEMPLATE])
    await until_state(second, "app.a.0", ReplicaState.READY)
    await until_true(lambda: rig.log("app.a.0").read_text() == f"{PLANTED}\n{PLANTED}\n")
    assert PLANTED not in rig.record("app.a.0").read_text()


async def test_a_replica_that_is_supplied_in_time_starts_again_by_itself(rig: Rig) -> None:
    first = rig.runtime()
    await first.start("app.a.0", "app/a", TEMPLATE)
    await first.close()
    second = rig.runtime()
    await second.adopt()
    second.supply([TEMPLATE])
    os.kill(look(second, "app.a.0").pid or 0, signal.SIGKILL)
    await until_true(lambda: rig.log("app.a.0").read_text() == f"{PLANTED}\n{PLANTED}\n")


def test_a_probe_whose_path_is_not_known_yet_asks_for_a_connection(rig: Rig) -> None:
    target = ProbeTarget(kind="http", address="127.0.0.1:{port:http}", path="/{withheld:spec.health.path}")
    plan = ProbePlan(target=target, interval_s=0.1)
    instance = rig.of_machine()

    def asked(value: str | None) -> tuple[str, str, str]:
        template = replace(TEMPLATE, probe=plan, withheld={"spec.health.path": value})
        found = instance.probe_plan(Record(id="app.a.0", service="app/a", template=template, ports={"http": 4711}))
        assert found is not None
        return found.target.kind, found.target.address, found.target.path

    assert asked(None)[:2] == ("tcp", "127.0.0.1:4711")
    assert asked(PLANTED) == ("http", "127.0.0.1:4711", f"/{PLANTED}")


async def test_an_error_does_not_show_the_value(rig: Rig) -> None:
    runtime = rig.runtime()
    program = replace(TEMPLATE, command=("/opt/{withheld:spec.env.TOKEN}/run",))
    with pytest.raises(ReplicaError, match=r"program /opt/\(read by env\)/run does not exist"):
        await runtime.start("app.a.0", "app/a", program)


async def test_other_braces_stay_as_they_are(rig: Rig) -> None:
    template = shell('echo \'{withheld:nothing} {secret:db} {"a": {"b": 1}}\'; exec sleep 100')
    await rig.runtime().start("app.a.0", "app/a", template)
    await until_true(lambda: rig.log("app.a.0").read_text() == '{withheld:nothing} {secret:db} {"a": {"b": 1}}\n')
