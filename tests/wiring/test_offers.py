"""The offers that a controller knows only grow, so that no model is restarted back and forth."""

import pytest

from bateau.domain.errors import ClusterDenied, ClusterError, ClusterUnreachable
from bateau.domain.offers import Offers
from bateau.testing import ManualClock
from bateau.wiring.offers import AGAIN_S, KnownOffers

DRA = Offers(device_classes=frozenset({"gpu.nvidia.com"}), node_resources=frozenset())
PLUGIN = Offers(device_classes=frozenset(), node_resources=frozenset({"nvidia.com/gpu"}))


class Cluster:
    """A cluster that offers something else each time that it is asked."""

    def __init__(self, *answers: Offers | ClusterError) -> None:
        self._answers = list(answers)

    async def read(self) -> Offers:
        answer = self._answers.pop(0)
        if isinstance(answer, ClusterError):
            raise answer
        return answer


async def test_a_driver_that_is_gone_for_a_while_stays_chosen():
    clock = ManualClock()
    known = KnownOffers(Cluster(PLUGIN, DRA, PLUGIN, Offers(), ClusterUnreachable("cut")).read, clock)
    assert await known.now() == PLUGIN
    assert await known.now() == PLUGIN, "it is not asked again at once"
    clock.advance(AGAIN_S)
    both = Offers(device_classes=DRA.device_classes, node_resources=PLUGIN.node_resources)
    assert await known.now() == both, "a new driver is seen without a restart"
    for _ in range(3):
        clock.advance(AGAIN_S)
        assert await known.now() == both


async def test_without_any_answer_it_is_an_error_and_no_guess():
    known = KnownOffers(Cluster(ClusterDenied("login"), PLUGIN).read, ManualClock())
    with pytest.raises(ClusterDenied):
        await known.now()
    assert await known.now() == PLUGIN
