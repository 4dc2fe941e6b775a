"""Findings computed from the rows of the tables. No figure here comes from anywhere else.

Where a figure is a range, so is what follows from it: "1.6-1.9 times as long".
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from ..chips import all_chips
from .measured import Configuration, peak_tflops
from .quantity import Quantity
from .rows import PeakRow, SustainedRow, TrainingRow

Rates: TypeAlias = "Mapping[str, Mapping[Configuration, Quantity]]"
"""TFLOPS by product and configuration of the peak benchmark."""

_MS_PER_SECOND = 1000.0
_STEPS_PER_COMPILE = 10


@dataclasses.dataclass(frozen=True)
class Measurements:
    """What findings are about: figures of one kind of device.

    Attributes:
        training: Rows of one pipeline.
        peak: Rows of one configuration.
        sustained: Rows.
        rates: All configurations of the peak benchmark.
        is_engine: Of an engine. Else nothing is compared with what engines can do.
    """

    training: Sequence[TrainingRow] = ()
    peak: Sequence[PeakRow] = ()
    sustained: Sequence[SustainedRow] = ()
    rates: Rates = dataclasses.field(default_factory=dict)
    is_engine: bool = True


def findings(of: Measurements) -> tuple[str, ...]:
    """Sentences about speed, ranges, use of the engine and its scaling; none without figures."""
    return (
        *_training(of.training, is_engine=of.is_engine),
        *_peak(of.peak, is_engine=of.is_engine),
        *_spatial(of.rates),
        *_sustained(of),
    )


# -- training


def _training(rows: Sequence[TrainingRow], *, is_engine: bool) -> Iterator[str]:
    if not rows:
        return
    fastest = min(rows, key=lambda row: row.ms_per_step.middle)
    slowest = max(rows, key=lambda row: row.ms_per_step.middle)
    text = f"Fastest training: {fastest.product}, {fastest.ms_per_step} ms a step{_by(fastest)}."
    if slowest is not fastest:
        ratio = slowest.ms_per_step / fastest.ms_per_step
        text += (
            f" {slowest.product}, the slowest, takes {_factor(ratio)} times as long "
            f"({slowest.ms_per_step} ms)."
        )
    yield text
    ranges = [row for row in rows if row.ms_per_step.is_range]
    if ranges:
        widest = sorted(ranges, key=lambda row: -row.ms_per_step.spread_percent)
        listed = ", ".join(
            f"{row.product} {row.ms_per_step} ms ({row.ms_per_step.spread_percent:.0f} %)"
            for row in widest
        )
        yield f"Range of a step on one chip, widest first: {listed}."
    yield from _utilisation(rows, is_engine=is_engine)
    yield from _device_share(rows, "engine" if is_engine else "device")
    yield from _compiling(rows)
    if is_engine:
        yield from _slower_successors(rows)


def _utilisation(rows: Sequence[TrainingRow], *, is_engine: bool) -> Iterator[str]:
    known = [(row, row.utilisation_percent) for row in rows if row.utilisation_percent]
    if not known:
        return
    best, most = max(known, key=lambda pair: pair[1].high)
    whose = "the engine's" if is_engine else "its CPU's"
    text = f"Training uses at most {most} % of {whose} peak ({best.product})"
    worst, least = min(known, key=lambda pair: pair[1].low)
    if worst is not best:
        text += f", and least on {worst.product}, {least} %"
    yield text + "."
    references = reference_peaks(rows)
    if is_engine and len({row.chip for row, _ in known}) > 1 and references:
        yield (
            f"The utilisation column takes {_range_of(references)} TFLOPS as the peak, whatever the "
            "chip; it is the TFLOPS column in other units."
            if _range_of(references) == f"{references[0]:g}"
            else f"The utilisation column takes peaks of {_range_of(references)} TFLOPS."
        )


def reference_peaks(rows: Sequence[TrainingRow]) -> list[float]:
    """Peaks, TFLOPS, that explain the utilisation of each row; to the precision of its figures.

    Where one peak explains all rows, it is the only element.
    """
    bounds = []
    for row in rows:
        if row.ane_tflops and row.utilisation_percent:
            for tflops, percent in (
                (row.ane_tflops.low, row.utilisation_percent.low),
                (row.ane_tflops.high, row.utilisation_percent.high),
            ):
                half_tflops, half_percent = _half_unit(tflops), _half_unit(percent)
                bounds.append(
                    (
                        100 * (tflops - half_tflops) / (percent + half_percent),
                        100 * (tflops + half_tflops) / (percent - half_percent),
                    )
                )
    if not bounds:
        return []
    low, high = max(low for low, _ in bounds), min(high for _, high in bounds)
    if low <= high:
        # The shortest number between.
        decimals = next(d for d in range(12) if low <= round((low + high) / 2, d) <= high)
        return [round((low + high) / 2, decimals)]
    middles = sorted({round((low + high) / 2, 1) for low, high in bounds})
    return [middles[0], middles[-1]]


def _half_unit(number: float) -> float:
    """Half of the last decimal that a figure was given with, at least two significant digits."""
    decimals = len(f"{number:.12g}".partition(".")[2])
    return 0.5 * 10.0 ** -max(decimals, 1 - math.floor(math.log10(abs(number) or 1)))


def _range_of(numbers: Sequence[float]) -> str:
    return str(Quantity(min(numbers), max(numbers)))


def _device_share(rows: Sequence[TrainingRow], device: str) -> Iterator[str]:
    shares = [(row, (row.ane_ms / row.ms_per_step).scaled(100.0)) for row in rows if row.ane_ms]
    if shares:
        listed = ", ".join(f"{row.product} {_percent(share)} %" for row, share in shares)
        rest = "the CPU" if device == "engine" else "the trainer"
        yield f"Part of a step that the {device} works, {rest} having the rest: {listed}."


def _compiling(rows: Sequence[TrainingRow]) -> Iterator[str]:
    ratios = [
        (
            row,
            row.compile_seconds_per_10.scaled(_MS_PER_SECOND / _STEPS_PER_COMPILE)
            / row.ms_per_step,
        )
        for row in rows
        if row.compile_seconds_per_10
    ]
    if not ratios:
        return
    listed = ", ".join(f"{row.product} {_factor(ratio)}" for row, ratio in ratios)
    yield f"Compiling for {_STEPS_PER_COMPILE} steps, in times of those steps: {listed}."


def _slower_successors(rows: Sequence[TrainingRow]) -> Iterator[str]:
    """Chips of a later generation that train slower than one of an earlier."""
    chips = {chip.name: chip for chip in all_chips()}
    known = [row for row in rows if row.chip in chips]
    for later in known:
        earlier = [
            row
            for row in known
            if chips[row.chip].generation < chips[later.chip].generation
            and row.ms_per_step.high < later.ms_per_step.low
        ]
        if not earlier:
            continue
        best = min(earlier, key=lambda row: row.ms_per_step.middle)
        ratio = later.ms_per_step / best.ms_per_step
        text = (
            f"{later.product}, the later chip, takes {_factor(ratio)} times as long for a step as "
            f"{best.product}"
        )
        if later.ane_ms and best.ane_ms and later.ane_ms.high <= best.ane_ms.low:
            rest, best_rest = later.ms_per_step - later.ane_ms, best.ms_per_step - best.ane_ms
            text += (
                f", though its engine needs less ({later.ane_ms} against {best.ane_ms} ms): what "
                f"is slower is the rest of the step ({rest.rounded(2)} against "
                f"{best_rest.rounded(2)} ms)"
            )
        yield text + "."


# -- peak


def _peak(rows: Sequence[PeakRow], *, is_engine: bool) -> Iterator[str]:
    measured = [(row, row.tflops) for row in rows if row.tflops]
    if measured:
        best, most = max(measured, key=lambda pair: pair[1].middle)
        of = f", the highest of {len(measured)} figures" if len(measured) > 1 else ""
        yield f"Peak throughput: {most} TFLOPS on {best.product}{of}."
        if is_engine:
            yield from _of_rated(measured)
            yield from _of_profile(measured)
            yield from _repeated(measured)
            yield from _same_engine(measured)
    without: dict[str, list[str]] = {}
    for row in rows:
        if row.tflops is None:
            without.setdefault(row.note or row.status, []).append(row.product)
    if without:
        listed = "; ".join(f"{', '.join(names)} ({why})" for why, names in without.items())
        yield f"No figure in the peak table: {listed}."


def _of_rated(measured: Sequence[tuple[PeakRow, Quantity]]) -> Iterator[str]:
    rated = [(row, tflops, row.rated_tops) for row, tflops in measured if row.rated_tops]
    if rated:
        listed = ", ".join(
            f"{row.product} {_percent(tflops.scaled(100.0 / tops))} %"
            for row, tflops, tops in rated
        )
        yield f"Measured, of Apple's rating (whose arithmetic differs): {listed}."


def _of_profile(measured: Sequence[tuple[PeakRow, Quantity]]) -> Iterator[str]:
    chips = {chip.name: chip for chip in all_chips()}
    shares = [(row, tflops, chips[row.chip]) for row, tflops in measured if row.chip in chips]
    if shares:
        listed = ", ".join(
            f"{row.product} {_percent(tflops.scaled(100.0 / peak_tflops(chip)))} % of "
            f"{peak_tflops(chip):.1f}"
            for row, tflops, chip in shares
        )
        yield f"Measured, of the fp16 peak in pyane's chip profiles (TFLOPS): {listed}."


def _repeated(measured: Sequence[tuple[PeakRow, Quantity]]) -> Iterator[str]:
    """Rows about the same chip."""
    for chip in dict.fromkeys(row.chip for row, _ in measured):
        figures = [tflops for row, tflops in measured if row.chip == chip]
        if chip and len(figures) > 1:
            low, high = min(q.low for q in figures), max(q.high for q in figures)
            product = next(row.product for row, _ in measured if row.chip == chip)
            both = Quantity(low, high)
            yield (
                f"{len(figures)} figures of {product} lie {both.spread_percent:.0f} % apart ({both})."
            )


def _same_engine(measured: Sequence[tuple[PeakRow, Quantity]]) -> Iterator[str]:
    """Products whose profiles have the same engine and whose figures differ nevertheless."""
    chips = {chip.name: chip for chip in all_chips()}
    known = [(row, tflops) for row, tflops in measured if row.chip in chips]
    for (a, tflops_a), (b, tflops_b) in itertools.combinations(known, 2):
        same = all(
            chips[a.chip].identity[fact].value == chips[b.chip].identity[fact].value
            for fact in ("compiler_target", "cores")
        )
        if a.chip == b.chip or not same or tflops_a.middle == tflops_b.middle:
            continue
        (slow, less), (fast, more) = sorted(
            ((a, tflops_a), (b, tflops_b)), key=lambda pair: pair[1].middle
        )
        yield (
            f"{fast.product} and {slow.product} have the same engine in their profiles; "
            f"{more} and {less} TFLOPS are {100 * (more.middle / less.middle - 1):.0f} % apart, which "
            "is what runs differ by, or a difference that nobody has named."
        )


def _spatial(rates: Rates) -> Iterator[str]:
    """How throughput grows with the spatial extent, depth and channels fixed."""
    for product, found in rates.items():
        sweeps: dict[tuple[int, int], list[tuple[int, Quantity]]] = {}
        for (depth, channels, spatial), tflops in sorted(found.items()):
            sweeps.setdefault((depth, channels), []).append((spatial, tflops))
        for (depth, channels), sweep in sweeps.items():
            if len(sweep) < 2:
                continue
            (first, low), (last, high) = sweep[0], sweep[-1]
            text = (
                f"{product}: from spatial {first} to {last} ({depth} convolutions of {channels} "
                f"channels) throughput goes from {low} to {high} TFLOPS, {_factor(high / low)} times"
            )
            best_spatial, best = max(sweep, key=lambda pair: pair[1].middle)
            if best_spatial != last:
                text += f"; most at {best_spatial}, {best}"
            yield text + "."


def _sustained(of: Measurements) -> Iterator[str]:
    for row in of.sustained:
        text = f"{row.product} sustains {row.tflops} TFLOPS over {row.window_seconds:g} s"
        if row.percent:
            what = {"rated": "Apple's rating", "profile": "the peak in its profile"}.get(
                row.percent_of, "what its CPU could do"
            )
            text += f", {row.percent} % of {what}"
        known = [
            tflops.high
            for product, found in of.rates.items()
            if product == row.product
            for tflops in found.values()
        ]
        if known and row.percent_of == "rated":
            best = max(known)
            share = _percent(row.tflops.scaled(100.0 / best))
            text += f" and {share} % of the highest that was measured on it ({best:g})"
        yield text + "."


# -- words


def _by(row: TrainingRow) -> str:
    return f" ({', '.join('@' + name for name in row.contributors)})" if row.contributors else ""


def _factor(ratio: Quantity) -> str:
    return str(ratio.rounded(2))


def _percent(share: Quantity) -> str:
    return str(Quantity(round(share.low), round(share.high), share.approximate))
