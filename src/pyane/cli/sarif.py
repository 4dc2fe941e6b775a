"""Findings as SARIF 2.1.0, the form that code scanners exchange (docs.oasis-open.org/sarif)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..check import Diagnostic, Rule
    from .check_report import Checked, Failure

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_LEVELS = {
    "refused-at-compile": "error",
    "refused-at-evaluate": "error",
    "silently-wrong": "error",
    "slow": "warning",
    "advice": "note",
}
# Models that cannot be read, and programs that do not parse or verify, are findings, too.
_FAULTS = {
    "BlobError": "A weight file that is broken or missing",
    "MilSyntaxError": "Text that does not follow MIL's grammar",
    "MilVerifyError": "A program that breaks a rule of MIL",
    "ModelError": "A model that cannot be loaded",
    "ShapeError": "A shape that the model does not allow",
    "UnsupportedOpError": "An operation that pyane does not know",
}


def sarif_log(checked: Sequence[Checked]) -> dict[str, Any]:
    """A log with one run."""
    from .. import __version__
    from ..check import rules

    table = list(rules())
    names = [rule.id for rule in table] + list(_FAULTS)
    results = []
    for one in checked:
        if one.failure is not None:
            results.append(_failure(one, one.failure, names))
        results.extend(_result(one, finding, names) for finding in one.findings)
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "pyane",
                        "semanticVersion": __version__,
                        "rules": [_rule(rule) for rule in table]
                        + [_fault(name, text) for name, text in _FAULTS.items()],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": results,
            }
        ],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": rule.name,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why or rule.title},
        "help": {"text": f"Instead: {rule.instead}\nEvidence: {rule.evidence}"},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
    }


def _fault(name: str, text: str) -> dict[str, Any]:
    return {
        "id": name,
        "shortDescription": {"text": text},
        "defaultConfiguration": {"level": "error"},
    }


def _result(one: Checked, finding: Diagnostic, names: Sequence[str]) -> dict[str, Any]:
    message = f"{finding.chip}: {finding.message}. {finding.why} Instead: {finding.instead}"
    logical = [
        {"name": name, "kind": kind}
        for name, kind in ((finding.function, "function"), (finding.value, "variable"))
        if name
    ]
    return {
        "ruleId": finding.rule,
        "ruleIndex": names.index(finding.rule),
        "level": "warning" if finding.is_contested else _LEVELS[finding.severity],
        "message": {"text": message},
        "locations": [_location(one, finding.line, finding.column, logical)],
        "properties": {
            "chip": finding.chip,
            "severity": finding.severity,
            "contested": finding.is_contested,
            "evidence": finding.evidence,
        },
    }


def _failure(one: Checked, failure: Failure, names: Sequence[str]) -> dict[str, Any]:
    return {
        "ruleId": failure.kind,
        "ruleIndex": names.index(failure.kind),
        "level": "error",
        "message": {"text": failure.message},
        "locations": [_location(one, failure.line, failure.column, [])],
    }


def _location(
    one: Checked, line: int, column: int, logical: list[dict[str, Any]]
) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": {"uri": quote(Path(one.file).as_posix())}}
    if line > 0 and one.has_places:
        physical["region"] = {"startLine": line, "startColumn": max(column, 1)}
    location: dict[str, Any] = {"physicalLocation": physical}
    if logical:
        location["logicalLocations"] = logical
    return location
