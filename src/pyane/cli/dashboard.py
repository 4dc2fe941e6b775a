"""`pyane train --dashboard`: the run as one screen that keeps up."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..errors import CompileBudgetError
from ..train.metrics import read_jsonl
from ..train.sample import sample, why_no_sample
from .chart import bar, line_chart
from .progress import Pace, status

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from ..train.session import Session
    from ..train.trainer import OnStep, StepReport

_SAMPLE_TOKENS = 64
_MOST_POINTS = 8192  # far more than a screen has columns
_HEIGHT_WITH_SAMPLE = 24
_SECONDS_BETWEEN_SAMPLES = 5.0


class Dashboard:
    """What is shown, brought up to date by step reports.

    Args:
        session: The run. Its metrics so far are read, so that a resumed run shows its whole curve.
    """

    def __init__(self, session: Session) -> None:
        trainer = session.trainer
        self._session = session
        self._steps = trainer.config.steps
        self._pace = Pace(self._steps)
        self._report: StepReport | None = None
        self._times: dict[str, float] = {}
        self._sample = ""
        self._sampled = -math.inf
        records = read_jsonl(session.run.metrics)
        self._pace.recall(records)
        self.losses = [(r["step"], r["loss"]) for r in records if r.get("loss") is not None]
        self.held_out = [
            (r["step"], r["held_out_loss"]) for r in records if r.get("held_out_loss") is not None
        ]

    def on_step(self, report: StepReport) -> None:
        """Take note of a step; after an evaluation let the model tell something."""
        self._pace.add(report)
        self._report = report
        if report.step:
            self.losses.append((report.step, report.loss))
            if len(self.losses) > _MOST_POINTS:
                self.losses = _halved(self.losses)
            self._add_times(report)
        if report.held_out_loss is not None:
            self.held_out.append((report.step, report.held_out_loss))
            self._refresh_sample()

    def leave_summary(self) -> None:
        """What stays when the screen has gone."""
        if self._report is not None:
            typer.echo(f"step {self._report.step}/{self._steps}  {status(self._pace)}")

    def _add_times(self, report: StepReport) -> None:
        times: dict[str, float] = {}
        for batch in report.micro_batches:
            times["passes"] = times.get("passes", 0.0) + batch.seconds
            for phase, seconds in batch.timings.items():
                times[phase] = times.get(phase, 0.0) + seconds
        times["compile"] = report.compile_seconds
        times["other"] = max(0.0, report.seconds - times.get("passes", 0.0) - times["compile"])
        if any(batch.timings for batch in report.micro_batches):
            del times["passes"]  # shown by phase
        # A new dict: the screen is drawn by another thread.
        self._times = {
            name: seconds if name not in self._times else 0.9 * self._times[name] + 0.1 * seconds
            for name, seconds in times.items()
        }

    def _refresh_sample(self) -> None:
        """A few words from the model, unless it has just said some or cannot."""
        now = time.monotonic()
        if now - self._sampled < _SECONDS_BETWEEN_SAMPLES:
            return
        self._sampled = now
        reason = why_no_sample(self._session)
        if not reason and self._session.trainer.config.pipeline == "static":
            reason = "the static pipeline's compilations are for training"
        if reason:
            self._sample = f"(none: {reason})"
            return
        with contextlib.suppress(CompileBudgetError):
            self._sample = "".join(sample(self._session, self._session.model, _SAMPLE_TOKENS))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = options.height or console.height
        sample = 5 if height >= _HEIGHT_WITH_SAMPLE else 0
        layout = Layout()
        layout.split_column(
            Layout(self._header(), size=1),
            Layout(self._curve(options.max_width - 4, height - 13 - sample), name="curve"),
            Layout(name="numbers", size=10),
            Layout(Panel(Text(self._sample), title="sample", border_style="dim"), name="sample"),
        )
        layout["sample"].size = sample
        layout["sample"].visible = sample > 0
        layout["numbers"].split_row(
            Layout(Panel(self._numbers(), title="now", border_style="dim")),
            Layout(
                Panel(
                    self._split(options.max_width // 2 - 4),
                    title="time per step",
                    border_style="dim",
                )
            ),
        )
        yield from console.render(layout, options.update(height=height))

    def _header(self) -> RenderableType:
        shape = self._session.model.config
        text = (
            f"{self._session.run.path}  {shape.n_parameters:,} parameters on {self._session.device}"
        )
        return Text(text, style="bold", no_wrap=True, overflow="ellipsis")

    def _curve(self, width: int, height: int) -> RenderableType:
        points = self.losses or self.held_out
        lines = line_chart(points, width, max(3, height), x_max=self._steps)
        body = Group(*(Text(line, style="cyan", no_wrap=True) for line in lines))
        return Panel(body, title="training loss", border_style="dim")

    def _numbers(self) -> RenderableType:
        report, pace = self._report, self._pace
        table = Table.grid(padding=(0, 2))
        step = report.step if report else self._session.trainer.step
        table.add_row("step", f"{step:,} of {self._steps:,}")
        if not math.isnan(pace.loss):
            table.add_row("loss", f"{pace.loss:.4f}")
        if self.held_out:
            at, loss = self.held_out[-1]
            best = min(loss for _, loss in self.held_out)
            table.add_row("held out", f"{loss:.4f} at {at}")
            table.add_row("lowest", f"{best:.4f}")
        if report and report.step:
            table.add_row("rate, norm", f"{report.learning_rate:.2e}, {report.gradient_norm:.3g}")
            table.add_row("loss scale", f"{report.loss_scale:.0f}, {report.skipped} skipped")
            left = math.ceil(pace.seconds_left)
            table.add_row(
                "speed",
                f"{pace.tokens_per_second:,.0f} tokens/s, {left // 60}:{left % 60:02d} left",
            )
        table.add_row("memory", _memory())
        return table

    def _split(self, width: int) -> RenderableType:
        total = sum(self._times.values())
        table = Table.grid(padding=(0, 1))
        # The largest parts; the panel has eight lines.
        for name, seconds in sorted(self._times.items(), key=lambda item: -item[1])[:8]:
            share = seconds / total if total else 0.0
            table.add_row(name, f"{seconds * 1e3:7.1f} ms", bar(share, max(4, width - 32)))
        return table


def _halved(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Means of neighbours, so that a long run is drawn as quickly as a short one."""
    pairs = zip(points[::2], points[1::2], strict=False)
    return [(x, (y + y_before) / 2) for (_, y_before), (x, y) in pairs]


@contextlib.contextmanager
def show_dashboard(session: Session) -> Iterator[OnStep]:
    """A function to give to `Trainer.train`, and the screen while inside the block."""
    dashboard = Dashboard(session)
    with Live(dashboard, screen=True, refresh_per_second=4):
        yield dashboard.on_step
    dashboard.leave_summary()


def resident_bytes() -> int | None:
    """Memory of this process that is in RAM; None where /proc does not tell."""
    try:
        fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    except OSError:
        return None
    import resource

    return int(fields[1]) * resource.getpagesize()


def _memory() -> str:
    resident = resident_bytes()
    if resident is not None:
        return f"{resident / 1e9:.2f} GB"
    import resource

    # macOS, where it counts bytes.
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9:.2f} GB at most"
