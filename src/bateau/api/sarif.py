"""The findings of a plan as SARIF 2.1.0, for code scanning and editors.

Called by cli.plan.
Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0 plus Errata 01", 3.27 (result); GitHub,
"SARIF support for code scanning" (late 2026): it rejects a file with more than 25,000 results, or with one result that
has no file.

Invariant: at most RESULTS_MAX results, most severe first; a separate result counts those that are left out. Held by
tests/plan/test_sarif.py::test_f28_the_most_severe_results_are_kept_and_the_others_counted.
Invariant: a finding "not checked" is a result of kind "open"; one with an exception is a suppressed result. Held by
tests/plan/test_sarif.py::test_results_have_places_levels_and_steady_fingerprints.
Invariant: every unconfirmed removal is named. Held by tests/plan/test_removals_shown.py.
Refused: a result per removal that needs no confirmation. A requested change is not a finding.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from hashlib import blake2b
from typing import Final, NotRequired, TypedDict
from urllib.parse import quote

import orjson

from bateau.api.plan_remarks import Remark, remarks
from bateau.domain.change import Delivery, object_name
from bateau.domain.finding import Finding
from bateau.domain.problem import Problem
from bateau.kit.json_value import JsonObject, object_at, text_at
from bateau.kit.position import Position
from bateau.plan.words import counted, gap_words

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
RESULTS_MAX: Final = 25_000
_SPECS: Final = "bateau/specs"
_REMOVAL: Final = "bateau/removal"
_GAP: Final = "bateau/not-compared"
_LEFT_OUT: Final = "bateau/left-out"
_LEVELS: Final = {"error": "error", "warning": "warning", "excepted": "note", "not checked": "none"}
_SEVERITY: Final = ("error", "warning", "note", "none")
# Up to this number of "not checked" findings of one rule and kind, each finding has its own result.
_NOT_CHECKED_ALONE: Final = 20
_REMOVALS_ALONE: Final = 1_000
_MESSAGE_CHARACTERS: Final = 900
# The file of results without a position, if no result has one.
_NOWHERE: Final = "README.md"


class _Result(TypedDict):
    ruleId: str
    ruleIndex: NotRequired[int]
    level: str
    kind: NotRequired[str]
    message: dict[str, str]
    locations: list[JsonObject]
    partialFingerprints: dict[str, str]
    baselineState: str
    suppressions: NotRequired[list[dict[str, str]]]


def sarif(*deliveries: Delivery, version: str, prefix: str = "") -> str:
    """Return one SARIF log of one run: code scanning rejects several runs of one tool. `version` is that of the tool.

    `prefix` is the path from the top of the repository, which viewers use as the root, to the directory of the files.
    A finding on several clusters is one result; it is new if it is new on one of them.
    """
    results = sorted((each for one in deliveries for each in _of_delivery(one, prefix)), key=_order)
    if len(deliveries) > 1:
        seen: dict[bytes, _Result] = {}
        for each in results:
            seen.setdefault(orjson.dumps({**each, "baselineState": ""}, option=orjson.OPT_SORT_KEYS), each)
        results = list(seen.values())
    results = _limited(results)
    _place(results)
    rules = {rule: index for index, rule in enumerate(sorted({result["ruleId"] for result in results}))}
    for result in results:
        result["ruleIndex"] = rules[result["ruleId"]]
    run = {
        "tool": {"driver": {"name": "bateau", "semanticVersion": version, "rules": [{"id": rule} for rule in rules]}},
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    return orjson.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, option=orjson.OPT_INDENT_2).decode()


def _of_delivery(delivery: Delivery, prefix: str) -> Iterator[_Result]:
    known = delivery.baseline
    if away := delivery.unreachable:
        says = f"{delivery.cluster} was not compared: {away.says}" + (f". {away.hint}" if away.hint else "")
        yield _result(_GAP, "error", says, state="new", marks=(delivery.cluster or "",))
    yield from _removals(delivery, prefix)
    yield from _gaps(delivery)
    for problems, state in ((delivery.problems, "new"), (known.problems, "unchanged")):
        for each in problems:
            yield _of_problem(each, prefix, state)
    for findings, state in ((delivery.findings, "new"), (known.findings, "unchanged")):
        yield from _of_findings(findings, prefix, state)


def _order(result: _Result) -> tuple[int, bool, bytes]:
    level = _SEVERITY.index(result["level"])
    return level, result["baselineState"] != "new", orjson.dumps(result, option=orjson.OPT_SORT_KEYS)


def _limited(results: list[_Result]) -> list[_Result]:
    if len(results) <= RESULTS_MAX:
        return results
    kept, rest = results[: RESULTS_MAX - 1], results[RESULTS_MAX - 1 :]
    levels = ((level, sum(result["level"] == level for result in rest)) for level in _SEVERITY)
    numbers = ", ".join(f"{number:,} of level {level}" for level, number in levels if number)
    says = f"{counted(len(rest), 'result')} left out, as code scanning takes {RESULTS_MAX:,}: {numbers}"
    return [*kept, _result(_LEFT_OUT, "note", says, state="new", marks=())]


def _place(results: Iterable[_Result]) -> None:
    """Give every result a file, because code scanning rejects all results if one has none."""
    bare: list[JsonObject] = []
    files: list[str] = []
    for result in results:
        (location,) = result["locations"]
        if "physicalLocation" not in location:
            bare.append(location)
        elif "uriBaseId" in (artifact := object_at(location, "physicalLocation", "artifactLocation")):
            files.append(text_at(artifact, "uri"))
    nowhere: JsonObject = {
        "artifactLocation": {"uri": min(files, default=_NOWHERE), "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 1, "startColumn": 1},
    }
    for location in bare:
        location["physicalLocation"] = {**nowhere}


def _removals(delivery: Delivery, prefix: str) -> Iterator[_Result]:
    """Yield the unconfirmed removals; if there are very many, several in one result."""
    if not delivery.unconfirmed:
        return
    changes = {change.renamed_from or change.key: change for change in delivery.changes}
    names = [object_name(key) for key in delivery.removals]
    where_from = f" from {delivery.cluster}" if delivery.cluster else ""
    if len(names) > _REMOVALS_ALONE:
        for text in _lines(names):
            yield _result(_REMOVAL, "error", f"would be removed{where_from}: {text}", state="new", marks=(text,))
        return
    for key, name in zip(delivery.removals, names, strict=True):
        change = changes[key]
        says = f"{name} would be removed{where_from}: {'; '.join(change.reasons)}"
        where = next((origin.at for origin in reversed(change.origins) if origin.at), None)
        logical: JsonObject = {"fullyQualifiedName": name, "kind": "object"}
        yield _result(_REMOVAL, "error", says, state="new", marks=(name,), where=_below(prefix, where), logical=logical)


def _gaps(delivery: Delivery) -> Iterator[_Result]:
    """Yield the services that were not compared, with the objects that may be removed."""
    for gap in delivery.gaps:
        says, marks = gap_words(gap), (gap.service or "", gap.side)
        yield _result(_GAP, "warning", says, state="new", marks=marks)
        for text in _lines(map(object_name, gap.may_go)):
            yield _result(_GAP, "warning", f"may be removed: {text}", state="new", marks=(*marks, text))


def _lines(names: Iterable[str]) -> Iterator[str]:
    """Yield texts with all the names, each short enough not to be cut by viewers."""
    line = ""
    for name in names:
        if line and len(line) + len(name) > _MESSAGE_CHARACTERS:
            yield line
            line = ""
        line += f"{', ' if line else ''}{name}"
    if line:
        yield line


def _of_problem(problem: Problem, prefix: str, state: str) -> _Result:
    says = f"{problem.says}. {problem.hint}" if problem.hint else problem.says
    where = _below(prefix, problem.where)
    marks = (problem.says,)
    rule = _REMOVAL if "--yes-remove" in (problem.hint or "") else _SPECS
    return _result(rule, problem.severity.value, says, state=state, marks=marks, where=where)


def _of_findings(findings: Iterable[Finding], prefix: str, state: str) -> Iterator[_Result]:
    unchecked: list[Finding] = []
    for finding in findings:
        if finding.verdict == "not checked":
            unchecked.append(finding)
        else:
            yield _of_finding(finding, prefix, state)
    for remark in remarks(unchecked, alone_max=_NOT_CHECKED_ALONE):
        if len(remark.findings) == 1:
            yield _of_finding(remark.first, prefix, state)
        else:
            yield _of_remark(remark, prefix, state)


def _of_finding(finding: Finding, prefix: str, state: str) -> _Result:
    where = f" (environment {finding.environment})" if finding.environment else ""
    path = f".{finding.path}" if finding.path else ""
    result = _result(
        finding.rule,
        _LEVELS[finding.verdict],
        f"{finding.subject}: {finding.says}{where}",
        state=state,
        marks=(finding.subject, finding.path or "", finding.environment or ""),
        where=_below(prefix, finding.where),
        logical={"fullyQualifiedName": f"{finding.subject}{path}", "kind": "object"},
    )
    result["kind"] = "open" if finding.verdict == "not checked" else "fail"
    if finding.verdict == "excepted":
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": finding.says}]
    return result


def _of_remark(remark: Remark, prefix: str, state: str) -> _Result:
    """Return one result for many "not checked" findings."""
    result = _result(
        remark.first.rule,
        "none",
        f"{counted(len(remark.findings), 'finding')} about {remark.subject}: {remark.says}",
        state=state,
        marks=(remark.kind, remark.first.environment or ""),
        where=_below(prefix, remark.first.where),
    )
    result["kind"] = "open"
    return result


def _result(
    rule: str,
    level: str,
    says: str,
    *,
    state: str,
    marks: tuple[str, ...],
    where: Position | None = None,
    logical: JsonObject | None = None,
) -> _Result:
    """Return a result. `marks` identify it even if lines above it are added or removed."""
    location: JsonObject = {"logicalLocations": [logical]} if logical else {}
    if where:
        absolute = where.file.startswith("/")
        relative: JsonObject = {"uri": quote(where.file.removeprefix("./")), "uriBaseId": "%SRCROOT%"}
        location["physicalLocation"] = {
            "artifactLocation": {"uri": f"file://{quote(where.file)}"} if absolute else relative,
            "region": {"startLine": where.line, "startColumn": where.column},
        }
    text = "\0".join((rule, where.file if where else "", *marks))
    return {
        "ruleId": rule,
        "level": level,
        "message": {"text": says},
        "locations": [location],
        "partialFingerprints": {"bateau/v1": blake2b(text.encode(), digest_size=16).hexdigest()},
        "baselineState": state,
    }


def _below(prefix: str, where: Position | None) -> Position | None:
    if where is None or where.file.startswith("/"):
        return where
    return replace(where, file=f"{prefix}{where.file}")
