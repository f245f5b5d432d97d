"""The lines that `up`, `apply` and `rollback` print while the status changes."""

from typing import Any, cast

import pytest

from bateau.api.trees import StatusTree
from bateau.cli.presenter import Presenter

_CAPACITY = {"threads": 1, "slots": 4, "context": 1024, "memoryBytes": 412_000_000}


def test_an_adopted_model_is_shown_once_its_capacity_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    """After a crash, `up` printed `Ready 3 replicas llama.cpp` from a snapshot that preceded the specs."""
    presenter = Presenter()
    presenter.show(_tree(_model(capacity=None, revision=None), settled=False))
    assert capsys.readouterr().err == ""
    presenter.show(_tree(_model(capacity=_CAPACITY, revision="r1"), settled=True))
    assert capsys.readouterr().err == (
        "chat       Ready    3 replicas    llama.cpp on cpu, 1 thread, 4 slots of 1,024 tokens, "
        "about 412 MB per replica\n"
    )


def test_an_adopted_model_is_shown_if_the_specs_stay_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    Presenter().show(_tree(_model(capacity=None, revision=None), settled=True))
    assert capsys.readouterr().err == "chat       Ready    3 replicas    llama.cpp\n"


def _tree(*services: dict[str, Any], settled: bool) -> StatusTree:
    gateway = _service("gateway/envoy", engine="envoy", capacity=None, revision=None)
    tree: Any = {
        "services": list(services), "gateway": gateway, "problems": [], "specsRejected": False, "settled": settled,
    }  # fmt: skip
    return cast("StatusTree", tree)


def _model(*, capacity: dict[str, int] | None, revision: str | None) -> dict[str, Any]:
    return _service("model/chat", engine="llama.cpp", capacity=capacity, revision=revision)


def _service(key: str, *, engine: str, capacity: dict[str, int] | None, revision: str | None) -> dict[str, Any]:
    return {
        "service": key, "state": "Ready", "reason": None, "replicasWanted": 3, "replicasReady": 3, "draining": [],
        "engine": engine, "capacity": capacity, "revision": revision, "replicas": [],
    }  # fmt: skip
