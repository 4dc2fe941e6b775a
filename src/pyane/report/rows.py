"""Rows of the report's tables, whether the community reported them or `pyane bench` measured them."""

from __future__ import annotations

import dataclasses

from .quantity import Quantity


@dataclasses.dataclass(frozen=True)
class TrainingRow:
    """Training speed of a chip.

    Attributes:
        chip: As in `pyane.chips`: "m1pro"; "" where it is not known.
        product: As Apple calls it, or what stands in the first column.
        ms_per_step: Milliseconds of an optimizer step, without compiling.
        ane_ms: Those of them on the engine.
        compile_seconds_per_10: Seconds of compiling for ten steps.
        ane_tflops: 1e12 floating-point operations a second, the engine's over the whole step.
        utilisation_percent: The same, of the peak that the source takes.
        contributors: Handles; empty where the source names nobody.
        note: What stands in place of a contributor.
        footnote: A sentence below the table.
        n_results: From how many submissions it is.
    """

    chip: str
    product: str
    ms_per_step: Quantity
    ane_ms: Quantity | None = None
    compile_seconds_per_10: Quantity | None = None
    ane_tflops: Quantity | None = None
    utilisation_percent: Quantity | None = None
    contributors: tuple[str, ...] = ()
    note: str = ""
    footnote: str = ""
    n_results: int = 1


@dataclasses.dataclass(frozen=True)
class PeakRow:
    """Throughput of a chip in one configuration of the in-memory peak benchmark.

    Attributes:
        chip, product: As in TrainingRow.
        ne_cores: Cores of the engine, as Apple counts them.
        status: "ok", "failed" or "missing".
        tflops: Measured, fp16, 1e12 operations a second; None unless ok.
        rated_tops: What Apple states, in whatever arithmetic; None where it does not.
        rated_note: Why not.
        note: Why it failed or is missing.
        contributors, n_results: As in TrainingRow.
    """

    chip: str
    product: str
    ne_cores: int | None
    status: str
    tflops: Quantity | None
    rated_tops: float | None = None
    rated_note: str = ""
    note: str = ""
    contributors: tuple[str, ...] = ()
    n_results: int = 1


@dataclasses.dataclass(frozen=True)
class SustainedRow:
    """Throughput of a chip over a window of seconds.

    Attributes:
        chip, product: As in TrainingRow.
        tflops: 1e12 operations a second over the window.
        percent: Of what `percent_of` says.
        percent_of: "rated" (by Apple), "profile" (the peak in pyane's chip profile) or "CPU".
        window_seconds: The window.
        configuration: What ran, "128x512_sp2048"; "" where the source does not say.
        contributors, n_results: As in TrainingRow.
    """

    chip: str
    product: str
    tflops: Quantity
    percent: Quantity | None
    percent_of: str
    window_seconds: float
    configuration: str = ""
    contributors: tuple[str, ...] = ()
    n_results: int = 1
