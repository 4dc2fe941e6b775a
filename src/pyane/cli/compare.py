"""`pyane compare`: regressions between two results of `pyane bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .closed_pipe import whether_read_or_not

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from ..bench.compare import Comparison
    from ..bench.result import Result


def compare(
    before: Annotated[Path, typer.Argument(metavar="A.json", help="Before.")],
    after: Annotated[Path, typer.Argument(metavar="B.json", help="After.")],
    threshold: Annotated[
        str, typer.Option(help="Change of medians that counts: 5% or 0.05.")
    ] = "5%",
    force: Annotated[
        bool, typer.Option("--force", help="Compare other devices, computers or settings, too.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="Show unchanged figures, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare two results and say what got worse beyond noise.

    A figure got worse when its median did by more than the threshold and a one-sided Mann-Whitney U
    test of the samples gives p <= 0.01. Exit code 0: nothing did; 1: something did, or no longer
    runs; 2: the files cannot be read or must not be compared.

    \b
    Examples:
      pyane compare before.json after.json
      pyane compare before.json after.json --threshold 10% --json
    """  # noqa: D301  (\b keeps the lines of the example apart)
    from ..bench.compare import compare as compare_results

    comparison = compare_results(
        _load(before), _load(after), parse_fraction(threshold), force=force
    )
    with whether_read_or_not():
        _tell(comparison, as_json=as_json, every=every)
    if comparison.regressions:
        raise typer.Exit(1)


def _tell(comparison: Comparison, *, as_json: bool, every: bool) -> None:
    if not as_json:
        _show(comparison, every=every)
        return
    import json

    # JSON has no infinity; a change from nothing is told as null.
    document = comparison.asdict()
    for row in document["rows"]:
        if row["change"] in {float("inf"), float("-inf")}:
            row["change"] = None
    typer.echo(json.dumps(document, indent=2, allow_nan=False))


def _load(path: Path) -> Result:
    from ..bench.result import load
    from ..errors import ConfigError

    try:
        return load(path)
    except OSError as e:
        # Exit code 1 means a regression here.
        msg = f"{path}: {e.strerror or e}"
        raise ConfigError(msg) from e


def parse_fraction(text: str) -> float:
    """0.05 of "5%" or "0.05".

    Raises:
        ConfigError: Neither.
    """
    from ..errors import ConfigError

    number, percent, rest = text.strip().partition("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = -1.0
    if rest or not 0 <= value <= 10 or (value >= 1 and not percent):
        msg = f"--threshold must be like 5% or 0.05, got '{text}'"
        raise ConfigError(msg)
    return value


def _show(comparison: Comparison, *, every: bool) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    for difference in comparison.differences:
        console.print(_text(f"NOT THE SAME: {difference}"))
    shown = [row for row in comparison.rows if every or row.verdict != "same"]
    if shown:
        console.print(_table(comparison, {id(row) for row in shown}))
    counts = ", ".join(
        f"{comparison.count(verdict)} {verdict}"
        for verdict in _verdicts()
        if comparison.count(verdict)
    )
    n = len(comparison.regressions)
    told = f"{n} regression{'' if n == 1 else 's'}" if n else "No regressions"
    console.print(f"{told} beyond {comparison.threshold:.3g} and noise: {counts}")


def _verdicts() -> tuple[str, ...]:
    from ..bench.compare import VERDICTS

    return VERDICTS


def _text(told: str, style: str = "") -> Text:
    """Words of files: neither markup nor anything that a terminal obeys."""
    from rich.text import Text

    return Text("".join(c if c.isprintable() else " " for c in told), style=style)


def _table(comparison: Comparison, shown: set[int]) -> Table:
    from rich import box
    from rich.table import Table

    from .bench_table import number

    made = Table(box=box.SIMPLE_HEAD)
    for heading, justify in (
        ("benchmark", "left"),
        ("case", "left"),
        ("figure", "left"),
        ("before", "right"),
        ("after", "right"),
        ("worse by", "right"),
        ("p", "right"),
        ("", "left"),
    ):
        made.add_column(heading, justify=justify)  # type: ignore[arg-type]
    styles = {"worse": "bold red", "broken": "bold red", "better": "green", "fixed": "green"}
    for row in comparison.rows:
        if id(row) not in shown:
            continue
        values = ["" if v is None else f"{number(v)} {row.unit}" for v in (row.before, row.after)]
        change = "" if row.change is None else f"{row.change:+.1%}"
        p = "" if row.p is None else f"{row.p:.2g}"
        note = f"{row.verdict}: {row.note.splitlines()[0]}" if row.note else row.verdict
        cells = (row.benchmark, row.case, row.metric.replace("_", " "), *values, change, p)
        made.add_row(*map(_text, cells), _text(note, styles.get(row.verdict, "")))
    return made
