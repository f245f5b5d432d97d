"""Replace values that come from `env()` in a process template by placeholder words, so that records never hold them.

Called by control.assembly. The local runtime fills in the values when it starts a process.

Invariant: with its words replaced again, the template equals the original, and its revision is the same. Held by
tests/control/test_withholding.py.
Refused: withholding whole templates; everything that is not a secret should be readable in a record.
"""

import re
from dataclasses import replace
from typing import Final

from bateau.domain.process import ProcessTemplate, withheld_word
from bateau.kit.concealed import CHARACTERS_MIN
from bateau.kit.json_value import ReadObject

_NOT_IN_WORDS: Final = re.compile(r"[{}\s]")


def sealed(template: ProcessTemplate, values: ReadObject) -> ProcessTemplate:
    """Return the template with words for `values`: the leaves of its workload that come from `env()`, by path."""
    texts = {path: value for path, value in values.items() if isinstance(value, str) and value}
    if not texts:
        return template
    withheld = dict(template.withheld)

    def seal(text: str) -> str:
        holding = [path for path, value in texts.items() if _holds(text, value)]
        if not holding:
            return text
        # Its own field, if it is the value of one, so that `status` names the field that waits for its value.
        path = next((path for path in holding if texts[path] == text), holding[0])
        key = _NOT_IN_WORDS.sub("_", path)
        while withheld.get(key, text) != text:
            key += "'"
        withheld[key] = text
        return withheld_word(key)

    probe = template.probe
    return replace(
        template,
        command=tuple(map(seal, template.command)),
        environment={name: seal(value) for name, value in template.environment.items()},
        working_directory=template.working_directory and seal(template.working_directory),
        probe=probe and replace(probe, target=replace(probe.target, path=seal(probe.target.path))),
        withheld=withheld,
    )


def _holds(text: str, value: str) -> bool:
    """Whether a text equals a value, or one contains the other and the shorter is long enough to be telling."""
    if text == value:
        return True
    return min(len(text), len(value)) >= CHARACTERS_MIN and (value in text or text in value)
