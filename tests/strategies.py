"""Values of the domain for hypothesis. Numbers are small, so that events often hit the same service."""

from hypothesis import strategies as st

from bateau.domain.replica import Replica, ReplicaState
from bateau.runtimes.local.steps import Desired, Draining

SERVICES = ("model/chat", "app/shop", "gateway/envoy")
REVISIONS = ("a", "b", "c")
DRAIN_TIMEOUT_S = 30.0


def desired(service: str = "model/chat", *, surge: bool = True) -> st.SearchStrategy[Desired]:
    """Draw what a service should be."""
    return st.builds(
        Desired,
        service=st.just(service),
        revision=st.sampled_from(REVISIONS),
        replicas=st.integers(0, 3) if surge else st.just(1),
        drain_timeout_s=st.sampled_from([0.0, DRAIN_TIMEOUT_S]),
        max_surge=st.integers(1, 2) if surge else st.just(0),
    )


@st.composite
def replicas(draw: st.DrawFn, service: str = "model/chat", *, most: int = 6) -> list[Replica]:
    """Draw replicas of a service, each with an id of its own."""
    numbers = draw(st.lists(st.integers(0, 8), unique=True, max_size=most))
    return [
        Replica(
            id=f"{service.replace('/', '.')}.{number}",
            service=service,
            revision=draw(st.sampled_from(REVISIONS)),
            state=draw(st.sampled_from(ReplicaState)),
            pid=1,
        )
        for number in numbers
    ]


@st.composite
def draining_of(draw: st.DrawFn, found: list[Replica]) -> dict[str, Draining]:
    """Draw which of the replicas drain, and how far they are."""
    chosen = [replica.id for replica in found if draw(st.booleans())]
    return {
        id_: Draining(
            seconds=draw(st.sampled_from([0.0, 0.5, 1.0, 29.9, 30.0, 700.0])),
            in_flight=draw(st.sampled_from([None, 0, 1, 5])),
        )
        for id_ in chosen
    }
