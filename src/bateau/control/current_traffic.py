"""The traffic that the planes should have now, made again only if one of its inputs differs.

Called by control.loop.

Invariant: a service whose endpoints cannot be made because of a bug keeps its previous ones, is reported, and is tried
again at each turn. Held by
tests/control/test_contained.py::test_a_bug_with_the_endpoints_of_one_service_is_reported_there.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bateau.control.affinity import Affinity
from bateau.control.endpoints import endpoints
from bateau.control.path import api_keys
from bateau.control.scaling import Scaling
from bateau.domain.endpoint import Traffic
from bateau.domain.errors import bug
from bateau.domain.model_file import ModelFile
from bateau.domain.release import Release
from bateau.domain.workload import Limits
from bateau.kit.latest import Latest
from bateau.ports.runtime import Observed

logger = logging.getLogger(__name__)

_ENGINE: Final = "llama.cpp"  # of a machine, if the spec does not name one


class CurrentTraffic:
    """The traffic of one control plane. `proxies` are the keys of the services whose replicas are the planes' own."""

    def __init__(
        self,
        proxies: Sequence[str],
        secret: Callable[[str], str | None],
        scaling: Scaling,
        affinity: Affinity,
    ) -> None:
        self._proxies = proxies
        self._affinity = affinity
        self._secret = secret
        self._scaling = scaling
        self._made = Latest[Traffic]()
        self.published = Traffic()
        self.unpublished: Mapping[str, str] = {}  # why the endpoints of a service stay as they were, by its key

    @property
    def model_limits(self) -> Mapping[str, Limits]:
        """The limits of each model that is published, by its name."""
        return {each.name: each.limits for each in self.published.backends if each.protocol == "openai"}

    @property
    def affine(self) -> Mapping[str, int]:
        """How many replicas get requests of each model whose spec asks for affinity, by its name."""
        return {
            each.name: sum(not endpoint.draining for endpoint in each.endpoints)
            for each in self.published.backends
            if each.protocol == "openai" and each.routing.affinity == "prefix"
        }

    def try_again(self) -> None:
        """Make the endpoints again of services that have failed."""
        if self.unpublished:
            self._made = Latest[Traffic]()

    def now(
        self,
        release: Release,
        observed: Observed,
        *,
        files: Mapping[str, ModelFile],
        app_ports: Mapping[str, int],
    ) -> Traffic:
        """Return the traffic that the planes should have. Turns and statuses ask for it several times."""
        scaling, affinity = self._scaling, self._affinity

        def make() -> Traffic:
            made, failed = endpoints(
                release,
                observed.replicas,
                app_ports=app_ports,
                api_keys=api_keys(release, self._secret),
                files=files,
                engine=_ENGINE,
                before=self.published,
                proxies=self._proxies,
                sleeps=scaling.sleeps,
                measure_load=scaling.measures,
                has_affinity=affinity.is_on,
            )
            for key in failed.keys() - self.unpublished.keys():
                logger.error("the endpoints of %s stay as they were", key, exc_info=failed[key])
            self.unpublished = {key: f"{bug(error)}; the log has the details" for key, error in failed.items()}
            return self.published if made == self.published else made

        inputs = (release, observed, files, self.published, app_ports, scaling.sleeps)
        return self._made.of(make, same=inputs, equal=(scaling.measures, affinity.off))
