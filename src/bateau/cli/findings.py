"""Format findings for a terminal.

Called by cli.admission and cli.render.
"""

from collections.abc import Iterable

from bateau.domain.finding import Finding
from bateau.kit.visible import visible


def findings_text(findings: Iterable[Finding]) -> str:
    """Return one line per finding, errors first."""
    order = {"error": 0, "warning": 1, "not checked": 2, "excepted": 3}
    ranked = sorted(findings, key=lambda f: (order[f.verdict], f.subject, f.rule, f.says))
    return visible("\n".join(f"{f.where or '-'}  {f.verdict}: {f.subject}: {f.says} [{f.rule}]" for f in ranked))
