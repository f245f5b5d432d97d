"""A controller for each time that the lease is held, and the state of the cluster between two of them.

Called by cli.controller, wiring.cluster_alert_facts, wiring.cluster_alerts and wiring.cluster_view.

A controller whose cluster cannot be reached loses the lease, and stops to act. This process stays: its dashboard, its
timeline and its alerts say that the cluster is away. Once it answers, another controller in this process waits for the
lease. Only if another process has it, `run` returns, and a new process waits from its beginning.

Invariant: a service that was known is Unknown, and not gone, until the cluster has been read again. Held by
tests/wiring/test_cluster_cut.py::test_a_cluster_that_is_cut_is_told_with_its_cause_and_disturbs_no_other.
"""

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from bateau.control.cluster_status import Namespace
from bateau.domain.alert import Shown
from bateau.domain.errors import ClusterUnreachable
from bateau.domain.status import Status
from bateau.observe.metrics import Page
from bateau.runtimes.kubernetes import ApiServer
from bateau.runtimes.kubernetes.reach import Reach
from bateau.wiring.alert_metrics import add_alerts, add_states
from bateau.wiring.controller import Controller
from bateau.wiring.controller_settings import ControllerSettings

logger = logging.getLogger(__name__)

NAME_VARIABLE: Final = "BATEAU_CLUSTER"
_READS_AGAIN: Final = "the cluster answers again, and its state is being read"


class Terms:
    """The controllers of one cluster, one after the other, from `run` to its end."""

    def __init__(self, settings: ControllerSettings) -> None:
        self.settings = settings
        self.reach = Reach()
        self.reach.on_change(self._changed)
        self._wakes: list[Callable[[], None]] = []
        self._former: Mapping[str, Namespace] = {}  # those of the controller before, until they are read again
        self._number = 0
        self._current = self._next()

    @property
    def name(self) -> str:
        """The name of the cluster, for people: a pod does not know it, and that of a cloud may be a path."""
        return self.settings.environ.get(NAME_VARIABLE) or self.settings.access.name.rpartition("/")[2]

    @property
    def api(self) -> ApiServer:
        """The API server."""
        return self._current.api

    @property
    def gateways(self) -> int | None:
        """The number of connected gateways, None if there are none."""
        return self._current.gateways

    @property
    def unready(self) -> str | None:
        """Why the controller cannot do its work now, None if it can."""
        return self.reach.unreachable or self._current.unready

    @property
    def is_read(self) -> bool:
        """Whether the cluster can be reached, and the state of every service is known, or why it is not."""
        return self.reach.unreachable is None and self._current.is_read

    @property
    def is_another(self) -> bool:
        """Whether another process acts for this cluster, as far as is known."""
        return self._current.holder not in ("", self.settings.identity)

    def on_change(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever anything has changed."""
        self._wakes.append(wake)

    def namespaces(self) -> list[Namespace]:
        """Return the services of all namespaces, as far as they are known now."""
        if self.is_read:
            self._former = {}
        now = {each.name: each for each in self._current.namespaces()}
        read = {name: each for name, each in now.items() if each.declared or each.trouble or name not in self._former}
        former = {name: _unknown(each, _READS_AGAIN) for name, each in self._former.items()}
        why = self.reach.unreachable
        found = {**former, **read}
        return [_unknown(each, why) if why else each for _, each in sorted(found.items())]

    def source_trouble(self) -> str | None:
        """Return why the specs cannot be read, None if they can."""
        return self._current.source_trouble

    def metrics(self, alerts: Sequence[Shown], status: Status | None) -> str:
        """Return the Prometheus page, with the alerts that fire and the states of the services."""
        page = Page()
        reachable = int(self.reach.unreachable is None)
        page.add("bateau_cluster_reachable", {}, reachable, kind="gauge", says="1 while the cluster can be reached.")
        add_alerts(page, alerts)
        add_states(page, status)
        return self._current.metrics() + page.text()

    async def run(self) -> None:
        """Act whenever the lease is held, until another process has it, or until cancelled. Raises BateauError."""
        while True:
            try:
                await self._current.run()
            except ClusterUnreachable as error:
                logger.error("%s", error.message)
            if self.is_another:
                return
            self._former = {each.name: each for each in self.namespaces()}
            shutil.rmtree(self._current.settings.directory, ignore_errors=True)
            self._current = self._next()
            self._changed()

    def _next(self) -> Controller:
        self._number += 1
        directory = self.settings.directory / f"term-{self._number}"
        directory.mkdir(parents=True)
        made = Controller(replace(self.settings, directory=directory), self.reach)
        made.on_change(self._changed)
        return made

    def _changed(self) -> None:
        for wake in self._wakes:
            wake()


def _unknown(each: Namespace, says: str) -> Namespace:
    return replace(each, seen=replace(each.seen, unknown=says))
