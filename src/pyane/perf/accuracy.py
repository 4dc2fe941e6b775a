"""How far the model is from what was published, for the half it was fitted to and the other."""

from __future__ import annotations

import dataclasses
import functools
import statistics
from typing import TYPE_CHECKING, Literal, cast

from . import points
from .compile_time import compile_seconds
from .model import predict_program
from .training import predict_training

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..report.quantity import Quantity


@dataclasses.dataclass(frozen=True)
class Judged:
    """A published figure beside its prediction, in seconds.

    Attributes:
        id: Of the point.
        chip: As in `pyane.chips`.
        kind: Of the program; "training step", "training, engine alone", "compile".
        label: What ran.
        published: The figure, or the middle of its range.
        low, high: The range; both equal to `published` for one number.
        predicted: By the model.
        held_out: Not fitted to.
        note, source: Of the point.
    """

    id: str
    chip: str
    kind: str
    label: str
    published: float
    low: float
    high: float
    predicted: float
    held_out: bool
    note: str
    source: str

    @property
    def error(self) -> float:
        """Predicted / published - 1."""
        return self.predicted / self.published - 1

    @property
    def outside(self) -> float:
        """The same to the nearer end of the published range; 0 inside it."""
        if self.low <= self.predicted <= self.high:
            return 0.0
        return self.predicted / (self.low if self.predicted < self.low else self.high) - 1


@functools.cache
def programs() -> tuple[Judged, ...]:
    """Single programs, evaluated."""
    return tuple(
        Judged(
            id=point.id,
            chip=point.chip,
            kind=point.kind,
            label=point.label,
            published=point.seconds,
            low=point.seconds,
            high=point.seconds,
            predicted=predict_program(
                point.work, point.chip, mode=cast("Literal['single', 'loop']", point.mode)
            ).seconds,
            held_out=point.held_out,
            note=point.note,
            source=point.source,
        )
        for point in points.load()
        if point.mode != "compile"
    )


@functools.cache
def training() -> tuple[Judged, ...]:
    """Rows of the community's training table: the step, and the engine's part of it."""
    judged = []
    for place, (row, held_out) in enumerate(points.training_rows(), 1):
        prediction = predict_training("stories110m", row.chip)
        for kind, figure, predicted in (
            ("training step", row.ms_per_step, prediction.seconds),
            ("training, engine alone", row.ane_ms, prediction.extra["engine_seconds"]),
        ):
            if figure is not None:
                judged.append(_row(f"T-{place}", row.chip, kind, figure, 1e-3, predicted, held_out))
    return tuple(judged)


@functools.cache
def compiling() -> tuple[Judged, ...]:
    """Compilations: single programs, and the sets of the community's training table."""
    judged = [
        Judged(
            id=point.id,
            chip=point.chip,
            kind="compile",
            label=point.label,
            published=point.seconds,
            low=point.seconds,
            high=point.seconds,
            predicted=compile_seconds(point.work, point.chip),
            held_out=point.held_out,
            note=point.note,
            source=point.source,
        )
        for point in points.load()
        if point.mode == "compile"
    ]
    for place, (row, held_out) in enumerate(points.training_rows(), 1):
        if row.compile_seconds_per_10 is not None:
            predicted = 10 * predict_training("stories110m", row.chip).extra["compile_seconds"]
            judged.append(
                _row(
                    f"T-{place}",
                    row.chip,
                    "compile",
                    row.compile_seconds_per_10,
                    1.0,
                    predicted,
                    held_out,
                )
            )
    return tuple(judged)


def _row(
    id: str, chip: str, kind: str, figure: Quantity, scale: float, predicted: float, held_out: bool
) -> Judged:
    label = "60 programs of stories110m, static" if kind == "compile" else "stories110m, static"
    return Judged(
        id=id,
        chip=chip,
        kind=kind,
        label=label,
        published=figure.middle * scale,
        low=figure.low * scale,
        high=figure.high * scale,
        predicted=predicted,
        held_out=held_out,
        note="",
        source="maderix/ANE benchmark report (issue 3)",
    )


def median_error(judged: Iterable[Judged]) -> float:
    """Of |predicted / published - 1|.

    Raises:
        statistics.StatisticsError: There are none.
    """
    return statistics.median(abs(j.error) for j in judged)


def text(*, held_out: bool) -> str:
    """One half as lines for a terminal."""
    rows = [j for j in (*programs(), *training(), *compiling()) if j.held_out == held_out]
    lines = [
        f"{j.id:20} {j.chip:8} {j.published * 1e6:11.0f} us {j.predicted * 1e6:11.0f} us "
        f"{j.error:+5.0%}  {j.label}"
        for j in rows
    ]
    for name, some in (
        ("programs", programs()),
        ("training", training()),
        ("compile", compiling()),
    ):
        half = [j for j in some if j.held_out == held_out]
        lines.append(f"{name}: {len(half)} points, median error {median_error(half):.1%}")
    return "\n".join(lines)
