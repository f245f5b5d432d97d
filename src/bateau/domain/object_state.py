"""The state of an object of a cluster, from the apply to its health.

Observed by runtimes.kubernetes; read by the faces.
"""

from dataclasses import dataclass
from typing import Final, Literal

# "refused": the API server does not take it. "left": it should go, and is kept because of `says`.
ObjectPhase = Literal[
    "waiting", "refused", "in progress", "current", "failed", "terminating", "unknown", "left", "gone"
]


# Field managers that write what they decide, so that it differs from the specs on purpose.
AUTOSCALERS: Final = frozenset(
    ("kube-controller-manager", "vpa-updater", "vpa-admission-controller", "keda-operator", "cluster-proportional")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectState:
    """One object. `key` is group, kind, namespace and name; `says` is the reason in words, `reason` one CamelCase word.

    `drift` names the fields that another manager has taken over, each with the name of that manager.
    """

    key: tuple[str, str, str, str]
    service: str | None
    phase: ObjectPhase
    says: str = ""
    reason: str = ""
    drift: tuple[tuple[str, str], ...] = ()

    @property
    def settled(self) -> bool:
        """Whether no change is under way: it is current, or its status says nothing."""
        return self.phase in ("current", "unknown", "left", "gone")
