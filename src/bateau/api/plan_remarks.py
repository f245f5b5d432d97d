"""Fold findings of one verdict, rule and kind into one line: 420 Certificates without a schema are one remark.

Called by cli.plan_text, api.plan_markdown and api.sarif.

Invariant: every finding is in exactly one remark; errors come first, then the remarks about most objects. Held by
tests/plan/test_remarks.py.
Refused: folding by message. Two messages of one rule about one kind are one remark, and are counted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from bateau.domain.finding import Finding, Verdict

VERDICTS: Final[Sequence[Verdict]] = ("error", "warning", "not checked", "excepted")
_SUBJECTS_SHOWN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """Findings with the same verdict, rule and kind."""

    findings: tuple[Finding, ...]

    @property
    def first(self) -> Finding:
        """The first finding, by the name of its subject."""
        return self.findings[0]

    @property
    def kind(self) -> str:
        """The kind of all subjects."""
        return kind_of(self.first.subject)

    @property
    def subject(self) -> str:
        """The subject, or the first subjects and the number of others."""
        subjects = list(dict.fromkeys(finding.subject for finding in self.findings))
        more = len(subjects) - _SUBJECTS_SHOWN
        return ", ".join(subjects[:_SUBJECTS_SHOWN]) + (f" and {more:,} more" if more > 0 else "")

    @property
    def says(self) -> str:
        """The message, or the first message and the number of others."""
        messages = list(dict.fromkeys(finding.says for finding in self.findings))
        if len(messages) == 1:
            return messages[0]
        more = len(messages) - 1
        return f"{messages[0]}; and {more:,} other {'message' if more == 1 else 'messages'}"


def remarks(findings: Iterable[Finding], *, alone_max: int) -> tuple[Remark, ...]:
    """Return the remarks. At most `alone_max` findings of one verdict, rule and kind stay remarks of their own."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in sorted(findings, key=lambda each: (each.subject, each.path or "", each.says)):
        groups.setdefault((finding.verdict, finding.rule, kind_of(finding.subject)), []).append(finding)
    found = [
        Remark(findings=tuple(part))
        for group in groups.values()
        for part in ([group] if len(group) > alone_max else [[each] for each in group])
    ]
    found.sort(key=lambda each: (VERDICTS.index(each.first.verdict), -len(each.findings), each.first.rule))
    return tuple(found)


def kind_of(subject: str) -> str:
    """Return the kind of a subject.

    >>> kind_of("Deployment default/shop"), kind_of("app/shop")
    ('Deployment', 'app')
    """
    kind, space, _ = subject.partition(" ")
    return kind if space else subject.partition("/")[0]
