"""The verdict of a policy or a schema on a spec, a service or a manifest.

Made by policy and render's validation; printed by check and plan. "Not checked" is a finding too.
"""

from dataclasses import dataclass
from typing import Literal

from bateau.kit.position import Position

Verdict = Literal["error", "warning", "excepted", "not checked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One verdict. `rule` is "house-rules/owner" or "schema"; `subject` "app/shop" or "Deployment shop".

    `service` is the key of the service that owns the object, if the subject is not the service itself.
    """

    rule: str
    subject: str
    verdict: Verdict
    says: str
    where: Position | None = None
    environment: str | None = None
    path: str | None = None
    service: str | None = None

    @property
    def of_policy(self) -> bool:
        """Whether a policy made it: names of policy rules have a slash; "schema", "render" and "foreign" have none."""
        return "/" in self.rule
