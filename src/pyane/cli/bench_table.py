"""What `pyane bench` shows: a line while it measures, a table when a benchmark is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from rich.table import Table

    from ..bench import measure
    from ..bench.result import Benchmark, Case, DeviceFacts, Metric

_WIDTH = 120  # where there is no terminal
_NOTE = 90


class Screen:
    """Watches a `Runner`; a context manager.

    Tables go to stdout, the line to stderr, and only where that is a terminal.
    """

    def __init__(self, device: DeviceFacts) -> None:
        from rich.console import Console

        self._device = device
        self._console = Console(highlight=False)
        if not self._console.is_terminal:
            self._console.width = _WIDTH
        self._status = Console(stderr=True).status("")
        self._benchmark = ""
        self._n_cases = self._n_done = 0

    def __enter__(self) -> Screen:  # noqa: PYI034 -- typing.Self needs Python 3.11
        self._status.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._status.stop()

    def begin(self, benchmark: measure.Benchmark, n_cases: int) -> None:
        """Part of `Watcher`."""
        self._benchmark, self._n_cases, self._n_done = benchmark.name, n_cases, 0

    def begin_case(self, name: str) -> None:
        """Part of `Watcher`."""
        self._status.update(f"{self._benchmark} {self._n_done + 1}/{self._n_cases}: {name}")

    def end_case(self, case: Case) -> None:  # noqa: ARG002
        """Part of `Watcher`."""
        self._n_done += 1

    def end(self, benchmark: Benchmark) -> None:
        """Part of `Watcher`."""
        self._console.print(f"{benchmark.name} on {self._device}", markup=False)
        self._console.print(table(benchmark))
        for finding in benchmark.findings:
            value = "not seen" if finding.value is None else finding.value
            unit = f" {finding.unit}" if finding.unit and finding.value is not None else ""
            self._console.print(f"  {finding.name}: {value}{unit} ({finding.rule})", markup=False)
        self._console.print()


def table(benchmark: Benchmark) -> Table:
    """One row a case: the first figure in full, medians of the others, or why there are none."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    names = list(dict.fromkeys(name for case in benchmark.cases for name in case.metrics))
    made = Table(box=box.SIMPLE_HEAD)
    made.add_column("case", no_wrap=True)
    first = names[0] if names else "median"
    for heading in (first, "min", "p95", "runs", *names[1:]):
        made.add_column(heading.replace("_", " "), justify="right", no_wrap=True)
    has_notes = any(case.status != "ok" for case in benchmark.cases)
    if has_notes:
        made.add_column("", overflow="fold")
    for case in benchmark.cases:
        cells = _cells(case, names)
        note = [Text(_note(case))] if has_notes else []
        made.add_row(Text(case.name), *cells, *note)
    return made


def _cells(case: Case, names: list[str]) -> list[str]:
    if not names:
        return [""] * 4
    metric = case.metrics.get(names[0])
    full = [""] * 4
    if metric is not None:
        full = [_with_unit(metric), number(metric.min), number(metric.p95), str(metric.runs)]
    others = [case.metrics.get(name) for name in names[1:]]
    return full + ["" if other is None else _with_unit(other) for other in others]


def _with_unit(metric: Metric) -> str:
    return f"{number(metric.median)} {metric.unit}"


def number(value: float) -> str:
    """Three digits."""
    if value and (abs(value) >= 1e6 or abs(value) < 1e-4):
        return f"{value:.2e}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _note(case: Case) -> str:
    if case.status == "ok":
        return ""
    lines = (case.reason or "").splitlines()
    # Of a strict emulator the second line is its first finding.
    text = lines[1].partition("refused-at-compile: ")[2] if len(lines) > 1 else ""
    text = text or (lines[0] if lines else "")
    return f"{case.status}: {text if len(text) <= _NOTE else text[: _NOTE - 4] + ' ...'}"
