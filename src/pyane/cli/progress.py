"""Progress of a training run: a bar on a terminal, occasional lines elsewhere."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from ..train.metrics import read_jsonl
from ..train.trainer import OnStep, StepReport

if TYPE_CHECKING:
    from ..train.session import Session

# Without a terminal: a line at every tenth of the run, and at least this often.
_SECONDS_BETWEEN_LINES = 30.0


class Pace:
    """Smoothed loss, tokens per second and seconds left, from step reports."""

    def __init__(self, steps: int) -> None:
        self._loss_sum = self._loss_weight = 0.0
        self.held_out_loss: float | None = None
        self.held_out_step = 0
        self.tokens_per_second = 0.0
        self.seconds_left = math.nan
        self.steps = steps
        self._seconds_per_step = math.nan
        self.skipped = 0

    @property
    def loss(self) -> float:
        """Mean over the last steps, twenty or so; NaN before the first."""
        return self._loss_sum / self._loss_weight if self._loss_weight else math.nan

    def recall(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Losses of the steps before a run was resumed, as in metrics.jsonl."""
        for record in records:
            self._add_losses(record["step"], record.get("loss"), record.get("held_out_loss"))

    def add(self, report: StepReport) -> None:
        """Take note of a step."""
        self._add_losses(report.step, report.loss, report.held_out_loss)
        if report.step == 0:
            return
        self.skipped = report.skipped
        first = math.isnan(self._seconds_per_step)
        keep = 0.0 if first else 0.95
        average = report.seconds if first else self._seconds_per_step
        self._seconds_per_step = keep * average + (1 - keep) * report.seconds
        tokens_per_step = report.tokens / report.step
        self.tokens_per_second = tokens_per_step / max(self._seconds_per_step, 1e-9)
        self.seconds_left = (self.steps - report.step) * self._seconds_per_step

    def _add_losses(self, step: int, loss: float | None, held_out: float | None) -> None:
        if held_out is not None:
            self.held_out_loss, self.held_out_step = held_out, step
        if step and loss is not None:
            # Corrected for its start: the first loss weighs no more than the others.
            self._loss_sum = 0.95 * self._loss_sum + 0.05 * loss
            self._loss_weight = 0.95 * self._loss_weight + 0.05


@contextlib.contextmanager
def show_progress(session: Session) -> Iterator[OnStep]:
    """A function to give to `Trainer.train`, and a display while inside the block."""
    pace = Pace(session.trainer.config.steps)
    pace.recall(read_jsonl(session.run.metrics))
    if sys.stdout.isatty():
        with _bar(pace, session.trainer.step) as on_step:
            yield on_step
    else:
        yield _lines(pace)


@contextlib.contextmanager
def _bar(pace: Pace, first_step: int) -> Iterator[OnStep]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        BarColumn(bar_width=14),  # all columns together fit into 80
        MofNCompleteColumn(),
        TextColumn("{task.fields[status]}"),
    )
    with Progress(*columns, refresh_per_second=5) as progress:
        task = progress.add_task("train", total=pace.steps, completed=first_step, status="")

        def on_step(report: StepReport) -> None:
            pace.add(report)
            progress.update(task, completed=report.step, status=status(pace))

        yield on_step


def _lines(pace: Pace) -> OnStep:
    steps = pace.steps
    every = max(1, steps // 10)
    last = time.monotonic()

    def on_step(report: StepReport) -> None:
        nonlocal last
        pace.add(report)
        now = time.monotonic()
        due = report.step % every == 0 or report.step == steps
        if due or now - last > _SECONDS_BETWEEN_LINES:
            last = now
            typer.echo(f"step {report.step:>{len(str(steps))}}/{steps}  {status(pace)}")
            sys.stdout.flush()

    return on_step


def status(pace: Pace) -> str:
    """Loss, held-out loss, speed and time left in a line."""
    parts = []
    if not math.isnan(pace.loss):
        parts.append(f"loss {pace.loss:.3f}")
    if pace.held_out_loss is not None:
        parts.append(f"held out {pace.held_out_loss:.3f} at {pace.held_out_step}")
    if pace.tokens_per_second:
        parts.append(f"{pace.tokens_per_second:,.0f} tokens/s")
        left = math.ceil(pace.seconds_left)
        parts.append(f"{left // 60}:{left % 60:02d} left")
    if pace.skipped:
        parts.append(f"{pace.skipped} skipped")
    return "  ".join(parts)
