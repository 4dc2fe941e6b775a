"""Fits the constants of pyane.perf to one half of the published points, and writes fitted.json.

    python tools/fit_performance_model.py            # fit; print the fitted half's errors; write
    python tools/fit_performance_model.py --judge    # print both halves, as the documentation has them

The halves are fixed (src/pyane/perf/points.json). Needs SciPy. Errors enter as soft-L1 of
log(predicted / published), so that a point that no constants explain does not bend the others.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy.optimize import least_squares

from pyane import chips, llama
from pyane.perf import points
from pyane.perf.compile_time import compile_seconds
from pyane.perf.constants import constants
from pyane.perf.model import program_terms, total
from pyane.perf.training import matmul_rate
from pyane.perf.training_work import TrainingWork, training_work

if TYPE_CHECKING:
    from pyane.perf.model import Mode

TARGET = Path(__file__).parents[1] / "src" / "pyane" / "perf" / "fitted.json"
# Where the search begins, as well as from half and twice of these. From twice, the reuse rate is
# past where it matters and stays there, at a higher cost.
START: dict[str, float] = {
    "m1max.dispatch_us": 190,
    "m1max.weight_gbps": 50,
    "m1max.io_gbps": 5.5,
    "m2pro.dispatch_us": 120,
    "m2pro.weight_gbps": 55,
    "m5pro.dispatch_us": 75,
    "m5pro.weight_gbps": 157,
    "m5pro.io_gbps": 23,
    "winograd": 1.5,
    "row_bytes_per_cycle": 15,
    "attention_bytes_per_cycle": 1.5,
    "loop_factor": 0.8,
    "reuse_bytes_per_cycle": 90,
}
COMPILE_START: dict[str, float] = {"program_ms_m1": 120, "program_ms_m3": 55, "ms_per_mb": 1}
SCALE = 0.15
DIGITS = 4


def unpack(x: Any) -> dict[str, Any]:
    """Constants as in fitted.json, of their logarithms."""
    values = {name: float(value) for name, value in zip(START, np.exp(x), strict=True)}
    single: dict[str, dict[str, float]] = {"m1max": {}, "m2pro": {}, "m5pro": {}}
    fit: dict[str, Any] = {"single": single}
    for name, value in values.items():
        chip, dot, key = name.partition(".")
        if dot:
            single[chip][key] = value
        else:
            fit[name] = value
    # No timing of M2 Pro moves enough data to tell: between M1 Max and M5 Pro by generation.
    first, last = single["m1max"]["io_gbps"], single["m5pro"]["io_gbps"]
    single["m2pro"]["io_gbps"] = first**0.75 * last**0.25
    return fit


def report_work() -> TrainingWork:
    """The community report's step."""
    options = llama.PipelineOptions(pipeline="static")
    return training_work(llama.PRESETS["stories110m"], options, 1, 256, 10)


def engine_ms(chip: str, fit: dict[str, Any], work: TrainingWork) -> float:
    """Predicted milliseconds of the engine in a step."""
    known = constants(chip, fit).likely
    return 1e3 * sum(
        times * total(program_terms(program, known, "loop")) for program, times in work.programs
    )


def fit_rates(*, swapped: bool = False) -> dict[str, Any]:
    """Dispatch, bandwidths and the few constants all chips share, of one half or of the other."""
    used = [p for p in points.load() if p.mode != "compile" and p.held_out is swapped]
    rows = [row for row, held_out in points.training_rows() if held_out is swapped]
    work = report_work()

    def residuals(x: Any) -> Any:
        fit = unpack(x)
        known = {name: constants(name, fit).likely for name in {p.chip for p in used}}
        errors = [
            math.log(total(program_terms(p.work, known[p.chip], cast("Mode", p.mode))) / p.seconds)
            for p in used
        ]
        errors += [
            math.log(engine_ms(row.chip, fit, work) / row.ane_ms.middle)
            for row in rows
            if row.ane_ms
        ]
        return np.array(errors)

    starts = [np.log(list(START.values())) + math.log(factor) for factor in (0.5, 1.0, 2.0)]
    found = [
        least_squares(residuals, start, loss="soft_l1", f_scale=SCALE, xtol=1e-12, ftol=1e-12)
        for start in starts
    ]
    return rounded(unpack(min(found, key=lambda one: one.cost).x))


def fit_cpu(fit: dict[str, Any]) -> float:
    """GB/s of the CPU's memory passes on M1, from the fitted half's only row of an M1."""
    (row,) = [
        row
        for row, held_out in points.training_rows()
        if not held_out and chips.find(row.chip).generation == 1
    ]
    work = report_work()
    products = 1e3 * work.cpu_flops / matmul_rate(chips.find(row.chip))
    left = row.ms_per_step.middle - engine_ms(row.chip, fit, work) - products
    return work.cpu_bytes / left * 1e-6


def program_errors(fit: dict[str, Any], *, held_out: bool) -> list[float]:
    """Predicted / published - 1 of one half's programs."""
    return [
        total(program_terms(p.work, constants(p.chip, fit).likely, cast("Mode", p.mode)))
        / p.seconds
        - 1
        for p in points.load()
        if p.mode != "compile" and p.held_out is held_out
    ]


def compile_points() -> list[tuple[str, Any, float, bool]]:
    """Chip, programs and how often each, seconds of a compilation, and whether it is held out."""
    made: list[tuple[str, Any, float, bool]] = [
        (p.chip, [(p.work, 1)], p.seconds, p.held_out) for p in points.load() if p.mode == "compile"
    ]
    compiled = report_work().compiled
    for row, held_out in points.training_rows():
        if row.compile_seconds_per_10:
            made.append((row.chip, compiled, row.compile_seconds_per_10.middle, held_out))
    return made


def fit_compile() -> dict[str, float]:
    """Fixed cost of a program, and milliseconds per megabyte of weights."""
    used = [p for p in compile_points() if not p[3]]

    def residuals(x: Any) -> Any:
        values = dict(zip(COMPILE_START, np.exp(x), strict=True))
        return [
            math.log(
                sum(
                    compile_seconds(work, chip, programs=times, fit={"compile": values})
                    for work, times in programs
                )
                / seconds
            )
            for chip, programs, seconds, _ in used
        ]

    found = least_squares(
        residuals, np.log(list(COMPILE_START.values())), loss="soft_l1", f_scale=SCALE
    )
    values = zip(COMPILE_START, np.exp(found.x), strict=True)
    return {name: float(value) for name, value in values}


def rounded(value: Any) -> Any:
    """To a few digits: what is left out is far below what is known."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return float(f"{value:.{DIGITS}g}")


def fit_all() -> dict[str, Any]:
    """All of fitted.json."""
    fit = fit_rates()
    fit["cpu_stream_gbps_m1"] = rounded(fit_cpu(fit))
    fit["compile"] = rounded(fit_compile())
    errors = [abs(math.log1p(error)) for error in program_errors(fit, held_out=False)]
    band = rounded(statistics.quantiles(errors, n=5)[3])
    fit["band"] = {"program": band, "training": band}
    # For the documentation only: as good the other way round?
    other = program_errors(fit_rates(swapped=True), held_out=False)
    fit["swapped_median_error"] = rounded(statistics.median(abs(error) for error in other))
    return fit


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--judge", action="store_true", help="print both halves, write nothing")
    args = parser.parse_args()
    from pyane.perf import accuracy

    if not args.judge:
        made = fit_all()
        TARGET.write_text(json.dumps(made, indent=2) + "\n")
    for held_out in (False, True) if args.judge else (False,):
        sys.stdout.write(accuracy.text(held_out=held_out) + "\n")
