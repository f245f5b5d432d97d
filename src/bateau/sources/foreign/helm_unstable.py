"""Find the values of a chart that are different at each rendering: random passwords, certificates, times.

Called by sources.foreign.helm. Only a chart whose code calls such a function is rendered a second time; the rest of a
template (text, comments, strings) and descriptions in CRDs do not count.

Invariant: without such a function there is no second run of Helm. Held by
tests/sources/foreign/test_accepted.py::test_only_code_that_gives_another_value_each_time_makes_helm_run_twice.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from bateau.domain.finding import Finding
from bateau.kit.position import leaves
from bateau.sources.foreign.chart import ChartFiles
from bateau.sources.foreign.chart_values import ChartValues
from bateau.sources.foreign.program import Ran
from bateau.sources.foreign.rendering import Rendering, differing, moving, read_rendering

_ACTION: Final = re.compile(r"\{\{(?!-?\s*/\*)(.*?)\}\}", re.DOTALL)
_COMMENT: Final = re.compile(r"^\s*#.*$", re.MULTILINE)
_STRING: Final = re.compile(r'"(?:\\.|[^"\\])*"|`[^`]*`')
_CHANGES: Final = re.compile(
    r"(?<![\w.$-])(?:rand(?:Alpha|Numeric|AlphaNum|Ascii|Bytes|Int)|uuidv4|shuffle|now|ago|htpasswd|bcrypt|encryptAES|"
    r"gen(?:PrivateKey|CA|CAWithKey|SelfSignedCert|SelfSignedCertWithKey|SignedCert|SignedCertWithKey))(?![\w-])"
).search
_RENDERS_VALUES: Final = re.compile(r"(?<![\w.$-])tpl(?![\w-])").search


def unstable(
    chart: ChartFiles, values: ChartValues, template: Callable[..., Ran], rendering: Rendering
) -> Mapping[int, frozenset[str]]:
    """Return the names of the leaves that are different at each rendering, by the numbers of their objects."""
    if not _may_change(chart, values):
        return {}
    again = template(values.written)
    if again.failed:
        return {}
    before, text = differing(rendering, again.out)
    second, problems = read_rendering(text, chart)
    return {} if problems else moving(before, second)


def warnings(service: str, rendering: Rendering, changing: Mapping[int, frozenset[str]]) -> Iterator[Finding]:
    """Yield a warning for each object that is different at each rendering."""
    for number, names in sorted(changing.items()):
        each = rendering.objects[number]
        paths = [path for name, (path, _) in each.leaves.items() if name in names]
        subject = f"{paths[0]} and other fields change" if len(paths) > 1 else f"{paths[0]} changes"
        says = (
            f"{each.found.kind[1]} {each.found.name}: {subject} with each rendering, so every plan shows a change; "
            "set a value for it in spec.chart.values"
        )
        yield Finding(
            rule="foreign", subject=service, verdict="warning", says=says, where=each.place.at(), path=paths[0]
        )


def _may_change(chart: ChartFiles, values: ChartValues) -> bool:
    renders_values = False
    for code in _code(chart.templates()):
        if _CHANGES(code):
            return True
        renders_values = renders_values or _RENDERS_VALUES(code) is not None
    return renders_values and any(map(_CHANGES, _code(_texts(chart, values))))


def _texts(chart: ChartFiles, values: ChartValues) -> Iterator[str]:
    """Yield the values that `tpl` may render."""
    yield from (value for _, value in leaves(values.merged) if isinstance(value, str))
    yield from (_COMMENT.sub("", text) for text in chart.value_files())


def _code(texts: Iterable[str]) -> Iterator[str]:
    """Yield the code of every action in templates, without its strings."""
    for text in texts:
        yield from (_STRING.sub('""', action[1]) for action in _ACTION.finditer(text))
