"""Findings of `pyane check` for people, programs, code scanners (SARIF) and GitHub."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from .sarif import sarif_log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..check import Diagnostic
    from ..model import Model

FORMATS = ("text", "json", "sarif", "github")
#: Severities, worst first, and what GitHub calls them.
LEVELS = {
    "refused-at-compile": "error",
    "refused-at-evaluate": "error",
    "silently-wrong": "error",
    "slow": "warning",
    "advice": "notice",
}
_SNIPPET_COLUMNS = 100
_FIELDS = (
    "rule",
    "name",
    "severity",
    "is_contested",
    "chip",
    "message",
    "why",
    "instead",
    "evidence",
    "function",
    "line",
    "column",
    "operation",
    "value",
    "engine_text",
)


@dataclass(frozen=True)
class Failure:
    """Why a model could not be checked: it cannot be read, or does not parse or verify."""

    kind: str
    message: str
    line: int
    column: int


@dataclass(frozen=True)
class Checked:
    """A model and what was found.

    Attributes:
        name: As on the command line.
        model: None when it could not be read.
        findings: In the order of the text.
        failure: Set when there are no findings because it could not be checked.
    """

    name: str
    model: Model | None
    findings: list[Diagnostic]
    failure: Failure | None = None

    @property
    def file(self) -> str:
        """The file that places refer to."""
        return self.model.source if self.model is not None else self.name

    @property
    def has_places(self) -> bool:
        """Whether lines and columns are those of the file, not of text made from it."""
        return self.model is None or self.model.is_source_text


def write_report(output_format: str, checked: Sequence[Checked], chips: Sequence[str]) -> None:
    """Prints the findings of all models in one of FORMATS."""
    if output_format == "json":
        typer.echo(json.dumps([_as_json(one) for one in checked], indent=2))
    elif output_format == "sarif":
        typer.echo(json.dumps(sarif_log(checked), indent=2))
    elif output_format == "github":
        for one in checked:
            for line in _annotations(one):
                typer.echo(line)
    else:
        for one in checked:
            _write_text(one, chips)


# -- text


def _write_text(checked: Checked, chips: Sequence[str]) -> None:
    if checked.failure is not None:
        typer.echo(f"{checked.failure.message}\n")
        return
    lines = str(checked.model).split("\n")
    for first, on in _grouped(checked.findings):
        place = f"{first.line}:{first.column}: " if first.line else ""
        doubt = " (contested)" if first.is_contested else ""
        typer.echo(
            f"{checked.file}:{place or ' '}{', '.join(on)}: {first.severity}{doubt}: "
            f"{first.message} [{first.rule} {first.name}]"
        )
        for line in _snippet(lines, first.line, first.column):
            typer.echo(f"    {line}")
        for label, text in (
            ("why", first.why),
            ("instead", first.instead),
            ("engine", first.engine_text),
            ("evidence", first.evidence),
        ):
            if text:
                typer.echo(f"  {label + ':':<9} {text}")
        typer.echo("")
    typer.echo(_summary(checked, chips))


def _grouped(findings: Sequence[Diagnostic]) -> list[tuple[Diagnostic, list[str]]]:
    """Findings that differ only in the chip, once, with the chips."""
    groups: dict[tuple[object, ...], tuple[Diagnostic, list[str]]] = {}
    for d in findings:
        key = (d.rule, d.line, d.column, d.message, d.severity, d.is_contested, d.function)
        groups.setdefault(key, (d, []))[1].append(d.chip)
    return list(groups.values())


def _snippet(lines: Sequence[str], line: int, column: int) -> list[str]:
    """The line, or a stretch of a long one, and a caret below the column."""
    if not 0 < line <= len(lines):
        return []
    text = lines[line - 1].replace("\t", " ").rstrip("\r")
    at = max(column - 1, 0)
    start = 0 if at < _SNIPPET_COLUMNS else at - _SNIPPET_COLUMNS // 2
    shown = text[start : start + _SNIPPET_COLUMNS]
    indent = len(shown) - len(shown.lstrip())
    before = "..." if start else ""
    after = "..." if start + _SNIPPET_COLUMNS < len(text) else ""
    caret = " " * (len(before) + max(at - start - indent, 0)) + "^"
    return [before + shown[indent:] + after, caret]


def _summary(checked: Checked, chips: Sequence[str]) -> str:
    on = ", ".join(chips)
    if not checked.findings:
        return f"{checked.name}: nothing found on {on}"
    shown = [first for first, _ in _grouped(checked.findings)]
    counts = Counter(d.severity for d in shown if not d.is_contested)
    n_contested = sum(d.is_contested for d in shown)
    parts = [f"{counts[name]} {name.replace('-', ' ')}" for name in LEVELS if counts[name]]
    if n_contested:
        parts.append(f"{n_contested} contested")
    return f"{checked.name}: {', '.join(parts)} on {on}"


# -- for programs


def _as_json(checked: Checked) -> dict[str, Any]:
    failure = checked.failure
    return {
        "model": checked.name,
        "file": checked.file,
        "places_in_file": checked.has_places,
        "failure": vars(failure) if failure is not None else None,
        "findings": [{key: getattr(d, key) for key in _FIELDS} for d in checked.findings],
    }


def _annotations(checked: Checked) -> list[str]:
    """GitHub's workflow commands: docs.github.com, "Workflow commands"."""
    failure = checked.failure
    if failure is not None:
        return [
            _annotation(
                "error", checked, failure.line, failure.column, failure.kind, failure.message
            )
        ]
    lines = []
    for first, on in _grouped(checked.findings):
        kind = "warning" if first.is_contested else LEVELS[first.severity]
        message = f"{', '.join(on)}: {first.message}. {first.why} Instead: {first.instead}"
        title = f"{first.rule} {first.name}"
        lines.append(_annotation(kind, checked, first.line, first.column, title, message))
    return lines


def _annotation(
    kind: str, checked: Checked, line: int, column: int, title: str, message: str
) -> str:
    properties = {"file": checked.file}
    if line and checked.has_places:
        properties |= {"line": str(line), "col": str(column)}
    properties["title"] = title
    listed = ",".join(f"{key}={_escaped(value, ':,')}" for key, value in properties.items())
    return f"::{kind} {listed}::{_escaped(message)}"


def _escaped(text: str, also: str = "") -> str:
    for character in "%\r\n" + also:
        text = text.replace(character, f"%{ord(character):02X}")
    return text
