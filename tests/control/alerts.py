"""Alerts for tests."""

from bateau.domain.alert import Alert, Silence
from bateau.domain.alert_rules import Severity


def firing(
    name: str = "BateauRestartLoop",
    service: str = "model/chat",
    *,
    at: float = 1000.0,
    ended: float | None = None,
    severity: Severity = "critical",
    cause: str = "model.chat.0 Restarted: killed by signal 9 (SIGKILL)",
    summary: str = "replicas of model/chat restart again and again",
) -> Alert:
    return Alert(
        name=name,
        subject=service,
        service=service,
        severity=severity,
        summary=summary,
        description="`bateau logs model/chat` has the last lines before each end.",
        since=at - 10,
        held_at=at,
        fired_at=at,
        ended_at=ended,
        says="3 restarts in 10m",
        cause=cause,
    )


def silence(
    id_: str = "s1", *, service: str | None = None, name: str | None = None, until: float, why: str = "a rollout"
) -> Silence:
    return Silence(id=id_, service=service, name=name, until=until, why=why, by="ada", created_at=0.0)
