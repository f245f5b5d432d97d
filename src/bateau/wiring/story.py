"""Put the sinks of events together, and take the events that a forge and other systems send.

Called by wiring.local.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from bateau.control.happenings import tell
from bateau.domain.event import Event
from bateau.observe.events import CountedEvents, LoggedEvents
from bateau.ports.clock import Clock
from bateau.ports.events import Events
from bateau.ports.webhook import Webhook
from bateau.traffic.envoy.api_paths import EVENTS, WEBHOOK
from bateau.wiring.outside_events import SECRET_VARIABLE as EVENTS_SECRET
from bateau.wiring.outside_events import OutsideEvents
from bateau.wiring.paths import Paths
from bateau.wiring.repository import FollowedRepository
from bateau.wiring.timeline import kept_timeline
from bateau.wiring.webhook import SECRET_VARIABLE, GitWebhook

# The variables with the secrets of their senders.
SECRET_VARIABLES: Final = (SECRET_VARIABLE, EVENTS_SECRET)


class Story:
    """The timeline of an instance and what feeds it from outside.

    `sinks` get the events of the control plane: its log, its counters, the timeline, and `more`. `webhooks` take those
    of other systems, by path.
    """

    def __init__(
        self,
        paths: Paths,
        *,
        clock: Clock,
        secret: Callable[[str], str | None],
        repository: FollowedRepository | None,
        more: tuple[Events, ...] = (),
    ) -> None:
        self._timeline = kept_timeline(paths)
        self.counted = CountedEvents()
        kept = (self._timeline,) if self._timeline else ()
        self.sinks: tuple[Events, ...] = (LoggedEvents(), self.counted, *kept, *more)
        forge = GitWebhook(repository, secret=secret(SECRET_VARIABLE), clock=clock, timeline=self._timeline)
        outside = OutsideEvents(self._timeline, clock, secret=secret(EVENTS_SECRET))
        self.webhooks: Mapping[str, Webhook] = {WEBHOOK: forge, EVENTS: outside}

    def tell(self, events: Iterable[Event]) -> None:
        """Hand events to all sinks."""
        tell(self.sinks, events)

    def close(self) -> None:
        """Write what waits, and close the timeline."""
        if self._timeline:
            self._timeline.close()
