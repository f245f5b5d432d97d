"""One event: the elements of the stream that feeds logs, history, timeline and dashboards.

Made by control; passed to the sinks from wiring.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event. `when_s` is in seconds since the epoch.

    `subject` is the key of a service, the id of a replica, or "desired"; `reason` is one word in CamelCase as in
    Kubernetes' events ("Ready", "BackOff"); `says` is a sentence for people, `fields` are for programs.
    """

    when_s: float
    subject: str
    reason: str
    says: str = ""
    warning: bool = False
    fields: Mapping[str, str] = field(default_factory=dict[str, str])
