"""Rows of the tables out of results of `pyane bench`.

Results of one subject (a chip; of the emulator a CPU) become one row with the range of their medians and
all contributors. Figures of Apple's engine, of the stand-in and of the emulator never meet in a row:
callers choose one kind of device.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from ..chips import Chip, all_chips
from .quantity import Quantity, merged
from .rows import PeakRow, SustainedRow, TrainingRow

if TYPE_CHECKING:
    from ..bench import Benchmark, Case, Metric, Result

Configuration: TypeAlias = "tuple[int, int, int]"
"""depth, channels and spatial extent of a case of the peak benchmark."""

ENGINE: Final = "ane"
TABLED: Final = ("training", "peak", "sustained")
"""Benchmarks with a table of their own; the others are shown as they are."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """What results are about: those of one subject are merged.

    Attributes:
        kind: "ane", "stand-in" or "emulator".
        chip: Profile of the engine, or of the one an emulator imitates; "" when unknown or none.
        label: First column of tables.
    """

    kind: str
    chip: str
    label: str


def subject(result: Result) -> Subject:
    """What a result is about. Quick runs are a subject of their own."""
    device = result.device
    words: list[str] = []
    if device.is_engine:
        name = device.product or _product(device.chip) or device.architecture or "unknown chip"
    else:
        name = _cpu(result.host.cpu)
        if result.host.threads:
            words.append(f"{result.host.threads} thread{'s' * (result.host.threads != 1)}")
        if device.chip or device.product:
            words.append(f"as {device.product or device.chip}")
        if device.numerics != "ieee":
            words.append(f"{device.numerics} arithmetic")
        words += [word for word in ("strict", "faithful") if getattr(device, word)]
    if result.settings.get("quick"):
        words.append("quick")
    about = f" ({', '.join(words)})" if words else ""
    return Subject(device.kind, device.chip or "", name + about)


def _cpu(name: str | None) -> str:
    """Without marks of trade and clock rates, which make names of processors long."""
    short = re.sub(r"\((?:R|TM)\)|\bCPU\b|@.*", " ", name or "", flags=re.IGNORECASE)
    return " ".join(short.split()) or "unknown CPU"


def _product(chip: str | None) -> str | None:
    return _known_chips()[chip].product if chip in _known_chips() else chip


def _known_chips() -> dict[str, Chip]:
    return {chip.name: chip for chip in all_chips()}


def by_subject(results: Iterable[Result]) -> dict[Subject, list[Result]]:
    """Results of each subject; chips oldest first, then others in the order of the files."""
    order = {name: i for i, name in enumerate(_known_chips())}
    groups: dict[Subject, list[Result]] = {}
    for result in results:
        groups.setdefault(subject(result), []).append(result)
    return dict(sorted(groups.items(), key=lambda item: order.get(item[0].chip, len(order))))


def contributors(results: Iterable[Result]) -> tuple[str, ...]:
    """Handles without "@", each once."""
    named = (result.contributor.lstrip("@") for result in results if result.contributor)
    return tuple(dict.fromkeys(named))


@dataclasses.dataclass(frozen=True)
class Training:
    """What a training table is about.

    Attributes:
        preset: The model, as `pyane train --preset` calls it.
        pipeline: "static" or "dynamic".
    """

    preset: str
    pipeline: str


REPORTED: Final = Training("stories110m", "static")
"""The community's training table."""


def training_rows(results: Sequence[Result]) -> dict[Training, tuple[TrainingRow, ...]]:
    """Rows of the training tables; the community's model and pipeline first."""
    tables: dict[Training, list[TrainingRow]] = {}
    for about, group in by_subject(results).items():
        cases = _ok_cases(group, "training")
        for what in dict.fromkeys(_training(case) for _, case in cases):
            chosen = [(r, case) for r, case in cases if _training(case) == what]
            ms = _figure(chosen, "time")
            if ms is None:
                continue
            # The dynamic pipeline compiles once, not for every ten steps.
            tflops = _figure(chosen, "rate")
            compile_ms = _figure(chosen, "compile") if what.pipeline == "static" else None
            row = TrainingRow(
                chip=about.chip,
                product=about.label,
                ms_per_step=ms.rounded(),
                ane_ms=_rounded(_figure(chosen, "ane_time")),
                compile_seconds_per_10=_rounded(compile_ms and compile_ms.scaled(1e-3)),
                ane_tflops=_rounded(tflops),
                utilisation_percent=_rounded(_utilisation(about, tflops, chosen), 2),
                contributors=contributors(r for r, _ in chosen),
                n_results=len(chosen),
            )
            tables.setdefault(what, []).append(row)
    return {what: tuple(tables[what]) for what in sorted(tables, key=_order)}


def _utilisation(
    about: Subject, tflops: Quantity | None, cases: Sequence[tuple[Result, Case]]
) -> Quantity | None:
    """Percent of the peak in the chip's profile, whatever the program that measured refers to.

    Off the engine as measured, of what the CPU could do.
    """
    chip = _known_chips().get(about.chip)
    if about.kind != ENGINE or chip is None or tflops is None:
        return _figure(cases, "utilisation")
    return tflops.scaled(100.0 / peak_tflops(chip))


def peak_tflops(chip: Chip) -> float:
    """fp16 peak of a chip's profile, 1e12 operations a second."""
    return float(str(chip.rates["peak_fp16_tflops"].value))


def _order(what: Training) -> tuple[bool, str, bool, str]:
    return (
        what.preset != REPORTED.preset,
        what.preset,
        what.pipeline != REPORTED.pipeline,
        what.pipeline,
    )


def _training(case: Case) -> Training:
    """maderix/ANE's own program trains one model in one way and does not say so."""
    preset, pipeline = (case.parameters.get(name) for name in ("preset", "pipeline"))
    return Training(
        preset if isinstance(preset, str) else REPORTED.preset,
        pipeline if isinstance(pipeline, str) else case.name,
    )


def peak_rates(results: Sequence[Result]) -> dict[Subject, dict[Configuration, Quantity]]:
    """What each subject reached in each configuration of the peak benchmark, TFLOPS."""
    rates: dict[Subject, dict[Configuration, Quantity]] = {}
    for about, group in by_subject(results).items():
        found: dict[Configuration, list[Quantity]] = {}
        for _, case in _ok_cases(group, "peak"):
            place = configuration(case)
            rate = case.metrics.get("rate")
            if place and rate:
                found.setdefault(place, []).append(_median(rate))
        rates[about] = {
            place: q.rounded() for place, values in found.items() if (q := merged(values))
        }
    return {about: found for about, found in rates.items() if found}


def peak_rows(results: Sequence[Result], place: Configuration) -> tuple[PeakRow, ...]:
    """Rows of the peak table: each subject in one configuration."""
    rows = []
    for about, group in by_subject(results).items():
        cases = [(r, c) for r, c in _cases(group, "peak") if configuration(c) == place]
        if not cases:
            continue
        ok = [(r, case) for r, case in cases if case.status == "ok"]
        tflops = _figure(ok, "rate")
        chip = _known_chips().get(about.chip) if about.kind == ENGINE else None
        reasons = dict.fromkeys(c.reason or c.status for _, c in cases if c.status != "ok")
        rows.append(
            PeakRow(
                chip=about.chip,
                product=about.label,
                ne_cores=int(str(chip.identity["cores"].value)) if chip else None,
                status=_status(tflops, [case for _, case in cases]),
                tflops=_rounded(tflops),
                note="; ".join(reasons),
                contributors=contributors(r for r, _ in cases),
                n_results=len(cases),
            )
        )
    return tuple(rows)


def _status(tflops: Quantity | None, cases: Sequence[Case]) -> str:
    if tflops is not None:
        return "ok"
    return "failed" if any(case.status in ("refused", "failed") for case in cases) else "missing"


def sustained_rows(results: Sequence[Result]) -> tuple[SustainedRow, ...]:
    """Rows of the table of sustained throughput: each subject in each configuration."""
    rows = []
    for about, group in by_subject(results).items():
        cases = _ok_cases(group, "sustained")
        for name in dict.fromkeys(case.name for _, case in cases):
            chosen = [(r, case) for r, case in cases if case.name == name]
            tflops = _figure(chosen, "whole_rate") or _figure(chosen, "rate")
            if tflops is None:
                continue
            windows = [case.parameters.get("window_s") for _, case in chosen]
            seconds = [float(w) for w in windows if isinstance(w, int | float)]
            rows.append(
                SustainedRow(
                    chip=about.chip,
                    product=about.label,
                    tflops=tflops.rounded(),
                    percent=_rounded(_figure(chosen, "of_peak")),
                    percent_of="profile" if about.kind == ENGINE else "CPU",
                    window_seconds=max(seconds, default=0.0),
                    configuration=name,
                    contributors=contributors(r for r, _ in chosen),
                    n_results=len(chosen),
                )
            )
    return tuple(rows)


def configuration(case: Case) -> Configuration | None:
    """depth, channels and spatial of a peak case, if it says them."""
    values = [case.parameters.get(name) for name in ("depth", "channels", "spatial")]
    depth, channels, spatial = (
        v if isinstance(v, int) and not isinstance(v, bool) else None for v in values
    )
    if depth is None or channels is None or spatial is None:
        return None
    return depth, channels, spatial


def other_benchmarks(results: Sequence[Result]) -> dict[str, list[tuple[Subject, Benchmark]]]:
    """Benchmarks without a table of their own, by name, with what they are about."""
    found: dict[str, list[tuple[Subject, Benchmark]]] = {}
    for about, group in by_subject(results).items():
        for result in group:
            for benchmark in result.benchmarks:
                if benchmark.name not in TABLED and benchmark.cases:
                    found.setdefault(benchmark.name, []).append((about, benchmark))
    return found


def unmeasured(results: Sequence[Result], benchmark: str) -> list[tuple[Subject, Case]]:
    """Cases of a benchmark that gave no figure."""
    return [
        (about, case)
        for about, group in by_subject(results).items()
        for _, case in _cases(group, benchmark)
        if case.status != "ok"
    ]


def _cases(results: Sequence[Result], benchmark: str) -> list[tuple[Result, Case]]:
    return [
        (result, case)
        for result in results
        if (found := result.benchmark(benchmark)) is not None
        for case in found.cases
    ]


def _ok_cases(results: Sequence[Result], benchmark: str) -> list[tuple[Result, Case]]:
    return [(result, case) for result, case in _cases(results, benchmark) if case.status == "ok"]


def _figure(cases: Iterable[tuple[Result, Case]], metric: str) -> Quantity | None:
    found: list[Mapping[str, Metric]] = [case.metrics for _, case in cases]
    return merged(_median(metrics[metric]) for metrics in found if metric in metrics)


def _median(metric: Metric) -> Quantity:
    return Quantity(metric.median, metric.median)


def _rounded(quantity: Quantity | None, digits: int = 3) -> Quantity | None:
    return quantity.rounded(digits) if quantity else None
