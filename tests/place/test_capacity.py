"""What a replica is given and whether it fits, said before the first request, with both figures."""

from dataclasses import replace
from typing import Any

import pytest

from bateau.domain.inventory import Machine
from bateau.domain.model_file import ModelFile
from bateau.domain.placement import Placement
from bateau.domain.problem import Severity
from bateau.domain.release import Release
from bateau.domain.workload import Command, ModelServer, Resources, ServiceKey, Workload
from bateau.kit.position import Position
from bateau.kit.quantity import parse_bytes
from bateau.place import place
from bateau.testing import model_file

GIB = 2**30
MACHINE = Machine(cores=8, memory_bytes_total=16 * GIB)


def service(name: str = "chat", replicas: int = 1, resources: Resources | None = None, **runs: Any) -> Workload:
    lines = {"replicas": 5, "contextLength": 6, "source": 4}
    return Workload(
        key=ServiceKey.of("Model", name),
        runs=ModelServer(source="m", **runs),
        replicas=replicas,
        resources=resources or Resources(),
        position=Position("chat.yaml", 1, 1),
        positions={f"spec.{key}": Position("chat.yaml", line, 9) for key, line in lines.items()},
    )


def placed(*services: Workload, machine: Machine = MACHINE, file: ModelFile | None = None) -> Placement:
    files: dict[str, ModelFile] = {each.key: file or model_file("m") for each in services}
    return place(Release(services=services), files, machine)


def test_a_model_that_fits_gets_what_it_asks_for() -> None:
    found = placed(service(parallel=2, context_length=1024, threads=3))
    capacity = found.capacities["model/chat"]
    assert (capacity.slots, capacity.context, capacity.threads) == (2, 1024, 3)
    assert not found.refused
    assert not found.problems


def test_memory_is_weights_and_cache_and_overhead() -> None:
    file = model_file("m", size_bytes=1000 * 2**20, kv_bytes_per_token=1024)
    more = model_file("m", size_bytes=1000 * 2**20, kv_bytes_per_token=2048)
    one = placed(service(parallel=4, context_length=1024), file=file).capacities["model/chat"].memory_bytes
    two = placed(service(parallel=4, context_length=1024), file=more).capacities["model/chat"].memory_bytes
    assert one
    assert two
    assert two - one == 4 * 1024 * 1024
    assert one > file.size_bytes + 4 * 1024 * 1024


@pytest.mark.parametrize(
    ("trained", "context"), [(2048, 2048), (131_072, 4096), (None, 2048)], ids=["trained", "long", "unknown"]
)
def test_an_absent_context_follows_the_training_up_to_a_bound(trained: int | None, context: int) -> None:
    file = model_file("m", context_length_trained=trained)
    assert placed(service(), file=file).capacities["model/chat"].context == context


def test_context_beyond_the_training_is_a_warning_where_it_is_written() -> None:
    found = placed(service(context_length=8192))
    (problem,) = found.problems
    assert problem.severity is Severity.WARNING
    assert problem.says == "contextLength is 8192, but chat was trained for 2048 tokens"
    assert problem.where == Position("chat.yaml", 6, 9)
    assert found.capacities["model/chat"].context == 8192
    assert not found.refused


def test_context_of_unknown_training_is_taken_as_written() -> None:
    found = placed(service(context_length=8192), file=model_file("m", context_length_trained=None))
    assert found.problems == ()


def test_memory_that_cannot_be_known_is_none_and_never_zero_and_refuses_nothing() -> None:
    file = model_file("m", size_bytes=100 * GIB, kv_bytes_per_token=None)
    found = placed(service(replicas=50), file=file)
    assert found.capacities["model/chat"].memory_bytes is None
    assert not found.refused


def test_a_replica_larger_than_the_machine_is_refused_with_both_figures() -> None:
    found = placed(service(), file=model_file("m", size_bytes=20 * GIB))
    problem = found.refused["model/chat"]
    assert "a replica of chat needs about" in problem.says
    assert "this machine has 16 GiB" in problem.says
    assert problem.hint
    assert problem.severity is Severity.ERROR


def test_replicas_that_do_not_fit_together_are_refused_where_their_number_is_written() -> None:
    found = placed(service(replicas=4), file=model_file("m", size_bytes=5 * GIB))
    problem = found.refused["model/chat"]
    assert problem.says.startswith("4 replicas of chat need about ")
    assert problem.hint == "set replicas to 2 or less"
    assert problem.where == Position("chat.yaml", 5, 9)


def test_the_number_of_replicas_in_the_hint_fits() -> None:
    found = placed(service(replicas=2), file=model_file("m", size_bytes=5 * GIB))
    assert not found.refused


def test_a_memory_limit_below_the_need_is_refused_with_the_limit_that_would_do() -> None:
    tight = service(resources=Resources(memory=150 * 2**20))
    problem = placed(tight).refused["model/chat"]
    assert problem.says.endswith("but resources.memory is 150 MiB")
    assert problem.hint
    would_do = parse_bytes(problem.hint.removeprefix("set resources.memory to ").partition(" ")[0])
    assert not placed(service(resources=Resources(memory=would_do))).refused


def test_one_that_does_not_fit_hinders_no_other() -> None:
    release = Release(services=(service("big"), service("small")))
    files = {"model/big": model_file("b", size_bytes=20 * GIB), "model/small": model_file("s")}
    found = place(release, files, MACHINE)
    assert set(found.refused) == {"model/big"}
    assert "model/small" in found.capacities


def test_models_that_fit_alone_but_not_together_are_a_warning() -> None:
    found = placed(service("a"), service("b"), service("c"), file=model_file("m", size_bytes=6 * GIB))
    (problem,) = found.problems
    assert problem.severity is Severity.WARNING
    assert problem.says.startswith("all models together need about ")
    assert not found.refused


@pytest.mark.parametrize(
    ("spec", "threads"),
    [
        ({}, 8),
        ({"replicas": 2}, 4),
        ({"replicas": 3}, 2),
        ({"replicas": 20}, 1),
        ({"replicas": 0}, 8),
        ({"resources": Resources(cpu=2.0)}, 2),
        ({"resources": Resources(cpu=0.5)}, 1),
        ({"threads": 5, "replicas": 2}, 5),
    ],
)
def test_threads_are_the_cores_shared_among_the_replicas(spec: dict[str, Any], threads: int) -> None:
    assert placed(service(**spec)).capacities["model/chat"].threads == threads


def test_what_is_not_here_yet_or_no_model_has_no_capacity() -> None:
    app = replace(service("shop"), runs=Command(words=("shop",)))
    release = Release(services=(service(), app))
    assert place(release, {}, MACHINE) == Placement()
    assert place(release, {"app/shop": model_file("m")}, MACHINE) == Placement()
