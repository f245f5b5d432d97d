"""`bateau` with rules of alerts whose windows are short, so that a test sees their end."""

import sys
from collections.abc import Sequence
from dataclasses import replace

from bateau.domain import alert_rules
from bateau.domain.alert_rules import Above, BurnRate, Rule, Window

WINDOW_S = 40.0


def short(rules: Sequence[Rule]) -> Sequence[Rule]:
    """Return the rules with windows of some seconds, and without a time for which a condition must hold."""
    return [replace(each, when=_short(each.when), for_s=min(each.for_s, 1.0)) for each in rules]


def _short(when: alert_rules.Condition) -> alert_rules.Condition:
    match when:
        case BurnRate():
            return replace(when, windows=(Window(long_s=60.0, short_s=30.0, factor=14.4),))
        case Above() if when.window_s:
            return replace(when, window_s=WINDOW_S)
        case _:
            return when


if __name__ == "__main__":
    alert_rules.RULES = short(alert_rules.RULES)  # before any other module reads it
    from bateau.cli import main

    sys.exit(main())
