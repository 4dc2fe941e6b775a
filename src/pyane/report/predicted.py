"""Predictions of the chips' performance model (`pyane.perf`) beside rows of the training table."""

from __future__ import annotations

from collections.abc import Sequence

from ..chips import all_chips
from .document import Table, marked
from .measured import Training
from .quantity import Quantity
from .rows import TrainingRow

_MS = 1e3


def predicted_table(rows: Sequence[TrainingRow], what: Training) -> Table | None:
    """Measured and predicted milliseconds of a step; None where the model can say nothing.

    Args:
        rows: Of engines.
        what: The model and the pipeline that they are about.
    """
    from .. import perf  # noqa: PLC0415 -- reports without training need none of it
    from ..llama import PRESETS  # noqa: PLC0415

    known = {chip.name for chip in all_chips()}
    if what.preset not in PRESETS or what.pipeline not in ("static", "dynamic"):
        return None
    cells = []
    for row in rows:
        if row.chip not in known:
            continue
        found = perf.predict_training(what.preset, row.chip, pipeline=what.pipeline)
        likely = found.seconds * _MS
        span = Quantity(found.low * _MS, found.high * _MS).rounded(2)
        engine = found.extra["engine_seconds"] * _MS
        off = 100.0 * (likely / row.ms_per_step.middle - 1.0)
        cells.append(
            (
                row.product,
                str(row.ms_per_step),
                str(Quantity(likely, likely).rounded(3)),
                str(span),
                f"{off:+.0f} %" if round(off) else "0 %",
                str(row.ane_ms) if row.ane_ms else "-",
                str(Quantity(engine, engine).rounded(3)),
            )
        )
    if not cells:
        return None
    header = ("Chip", "ms/step", "Predicted", "Range", "Off by", "ANE ms", "Predicted ANE ms")
    note = marked(
        "Predicted by `pyane.perf` from published timings, half of the community's rows among them; "
        "nothing was run for it. docs/performance_model.md says which, and how far off it is on the "
        "others. Off by: from the middle of a range."
    )
    return Table(header, tuple(cells), "lrrrrrr", (note,), "Beside the performance model")
