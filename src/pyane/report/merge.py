"""The community's rows together with rows that `pyane bench` measured on engines."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TypeVar

from ..chips import all_chips
from .quantity import merged
from .rows import PeakRow, SustainedRow, TrainingRow

Row = TypeVar("Row", TrainingRow, PeakRow, SustainedRow)


def merge_training(
    reported: Sequence[TrainingRow], own: Sequence[TrainingRow], reference_peaks: Sequence[float]
) -> tuple[TrainingRow, ...]:
    """Rows of one pipeline; of the same product one, with the range of both.

    Args:
        reported: The community's.
        own: Measured.
        reference_peaks: What the community's utilisation refers to, TFLOPS. If it is one peak, the
            utilisation of measured rows is of the same, so that the column has one meaning; if not,
            theirs is left out.
    """
    rows = list(reported)
    for row in own:
        percent = None
        if len(reference_peaks) == 1 and row.ane_tflops:
            percent = row.ane_tflops.scaled(100.0 / reference_peaks[0]).rounded(2)
        new = dataclasses.replace(row, utilisation_percent=percent)
        at = _find(rows, new)
        if at is None:
            rows.append(new)
            continue
        old = rows[at]
        ms = merged([old.ms_per_step, new.ms_per_step])
        assert ms is not None
        rows[at] = dataclasses.replace(
            old,
            ms_per_step=ms,
            ane_ms=merged([old.ane_ms, new.ane_ms]),
            compile_seconds_per_10=merged([old.compile_seconds_per_10, new.compile_seconds_per_10]),
            ane_tflops=merged([old.ane_tflops, new.ane_tflops]),
            utilisation_percent=merged([old.utilisation_percent, new.utilisation_percent]),
            contributors=_joined(old.contributors, new.contributors),
            n_results=old.n_results + new.n_results,
        )
    return _oldest_first(rows)


def merge_peak(reported: Sequence[PeakRow], own: Sequence[PeakRow]) -> tuple[PeakRow, ...]:
    """Rows of one configuration. A figure takes the place of a failure, never the other way round."""
    rows = list(reported)
    for new in own:
        at = _find(rows, new)
        if at is None:
            rows.append(new)
            continue
        old = rows[at]
        has_figure = old.tflops is not None or new.tflops is not None
        notes = [row.note for row in (old, new) if row.note and (row.tflops or not has_figure)]
        rows[at] = dataclasses.replace(
            old,
            status="ok" if has_figure else old.status,
            tflops=merged([old.tflops, new.tflops]),
            note="; ".join(dict.fromkeys(notes)),
            contributors=_joined(old.contributors, new.contributors),
            n_results=old.n_results + new.n_results,
        )
    return _oldest_first(rows)


def merge_sustained(
    reported: Sequence[SustainedRow], own: Sequence[SustainedRow]
) -> tuple[SustainedRow, ...]:
    """Rows side by side: their shares are of different things."""
    return _oldest_first([*reported, *own])


def _oldest_first(rows: Iterable[Row]) -> tuple[Row, ...]:
    """By the age of the chip; what is unknown comes last."""
    order = {chip.name: i for i, chip in enumerate(all_chips())}
    return tuple(sorted(rows, key=lambda row: order.get(row.chip, len(order))))


def _find(rows: Sequence[Row], row: Row) -> int | None:
    return next((i for i, old in enumerate(rows) if old.product == row.product), None)


def _joined(*names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for group in names for name in group))
