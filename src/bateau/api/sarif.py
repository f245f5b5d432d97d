"""Convert findings and problems to SARIF 2.1.0, for code scanning and editors.

Called by `check --sarif` and `plan --sarif`.
Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0 plus Errata 01", 3.27 (result).

Invariant: a finding "not checked" is a result of kind "open"; a finding with an exception is a suppressed result.
Refused: inventing a position; a finding without file and line has its subject as logical location.
"""

from collections.abc import Iterable
from dataclasses import replace
from hashlib import blake2b
from typing import Any, Final
from urllib.parse import quote

import orjson

from bateau.domain.finding import Finding
from bateau.domain.problem import Problem
from bateau.kit.position import Position

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_WRITTEN: Final = "bateau/written"
_LEVELS: Final = {"error": "error", "warning": "warning", "excepted": "note", "not checked": "none"}


def sarif(findings: Iterable[Finding], problems: Iterable[Problem], *, version: str, prefix: str = "") -> str:
    """Return a SARIF log of one run. `version` is that of the tool.

    `prefix` is the path from the top of the repository, which viewers use as the root, to the files.
    """
    results = [_of_problem(replace(each, where=_below(prefix, each.where))) for each in problems]
    results += [_of_finding(replace(each, where=_below(prefix, each.where))) for each in findings]
    results.sort(key=lambda result: orjson.dumps(result, option=orjson.OPT_SORT_KEYS))
    rules = sorted({result["ruleId"] for result in results})
    for result in results:
        result["ruleIndex"] = rules.index(result["ruleId"])
    run = {
        "tool": {"driver": {"name": "bateau", "semanticVersion": version, "rules": [{"id": rule} for rule in rules]}},
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    return orjson.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, option=orjson.OPT_INDENT_2).decode()


def _of_problem(problem: Problem) -> dict[str, Any]:
    says = f"{problem.says}. {problem.hint}" if problem.hint else problem.says
    return {
        "ruleId": _WRITTEN,
        "level": problem.severity.value,
        "message": {"text": says},
        "locations": [_location(problem.where, None)] if problem.where else [],
        "partialFingerprints": {"bateau/v1": _fingerprint(_WRITTEN, problem.where, problem.says)},
    }


def _of_finding(finding: Finding) -> dict[str, Any]:
    where = f" (environment {finding.environment})" if finding.environment else ""
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "kind": "open" if finding.verdict == "not checked" else "fail",
        "level": _LEVELS[finding.verdict],
        "message": {"text": f"{finding.subject}: {finding.says}{where}"},
        "locations": [_location(finding.where, _logical(finding))],
        "partialFingerprints": {
            "bateau/v1": _fingerprint(
                finding.rule, finding.where, finding.subject, finding.path or "", finding.environment or ""
            )
        },
    }
    if finding.verdict == "excepted":
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": finding.says}]
    return result


def _logical(finding: Finding) -> dict[str, str]:
    path = f".{finding.path}" if finding.path else ""
    return {"fullyQualifiedName": f"{finding.subject}{path}", "kind": "object"}


def _below(prefix: str, where: Position | None) -> Position | None:
    if where is None or where.file.startswith("/"):
        return where
    return replace(where, file=f"{prefix}{where.file}")


def _location(where: Position | None, logical: dict[str, str] | None) -> dict[str, Any]:
    location: dict[str, Any] = {"logicalLocations": [logical]} if logical else {}
    if where:
        absolute = where.file.startswith("/")
        relative = {"uri": quote(where.file.removeprefix("./")), "uriBaseId": "%SRCROOT%"}
        location["physicalLocation"] = {
            "artifactLocation": {"uri": f"file://{quote(where.file)}"} if absolute else relative,
            "region": {"startLine": where.line, "startColumn": where.column},
        }
    return location


def _fingerprint(rule: str, where: Position | None, *parts: str) -> str:
    """Return an identity of a result that does not change when lines above it change."""
    text = "\0".join((rule, where.file if where else "", *parts))
    return blake2b(text.encode(), digest_size=16).hexdigest()
