"""How long a training step takes: the engine's evaluations, and the CPU's share.

    step = evaluations on the engine + matrix products / rate + memory passes / rate

The CPU's matrix products are the weight gradients and the classifier. They are taken to wait for
nothing and to overlap with nothing: upstream's trainer overlaps some, and how much was not published.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from .. import chips
from ..errors import ConfigError
from .compile_time import compile_seconds
from .constants import Constants, constants, fitted
from .model import program_terms, total
from .prediction import Prediction, Term
from .training_work import TrainingWork, training_work

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..chips import Chip
    from ..llama import Config

# One product stays on one die: with all four units of an Ultra the M3 Ultra's row, which is fitted
# to, would be 25 ms faster than it is.
_UNITS_PER_PRODUCT: Final = 2
_FIRST_KNOWN: Final = (
    4  # M4 and later read memory as M5 Pro does; M1 is fitted, M2, M3 lie between.
)
_ACCUMULATION: Final = {"static": 10, "dynamic": 1}  # as in the community's report; as pyane train


def predict_training(
    config: Config | str,
    chip: str,
    *,
    pipeline: str = "static",
    cls: str = "cpu",
    batch: int = 1,
    positions: int | None = None,
    accumulation: int | None = None,
    fit: Mapping[str, Any] | None = None,
) -> Prediction:
    """The time of one step: forward and backward pass of a micro-batch, and its share of an update.

    Compiling is not part of it, as in the community's report: `extra["compile_seconds"]` has its
    share of a step, `extra["engine_seconds"]` the evaluations alone.

    Args:
        config: Sizes of the model, or the name of a preset.
        chip: As in `pyane.chips.find`.
        pipeline: "static" or "dynamic"; tensors are inputs and outputs of their own.
        cls: Where the classifier runs: "cpu", as in the community's report, or "ane".
        batch: Sequences in a micro-batch.
        positions: Tokens of a sequence; None: the model's `seq_len`.
        accumulation: Micro-batches in an update; None: 10 in the static pipeline, 1 in the dynamic.
        fit: Take these constants for fitted.json.

    Raises:
        ConfigError: There is no such chip, preset, pipeline or place, or a size is not positive.
    """
    from ..llama import PRESETS, PipelineOptions  # noqa: PLC0415 -- NumPy

    if isinstance(config, str):
        if config not in PRESETS:
            msg = f"no preset '{config}'; presets are {', '.join(PRESETS)}"
            raise ConfigError(msg)
        config = PRESETS[config]
    options = PipelineOptions(pipeline=pipeline, cls=cls)
    given = {
        "batch": batch,
        "positions": config.seq_len if positions is None else positions,
        "accumulation": _ACCUMULATION[pipeline] if accumulation is None else accumulation,
    }
    for name, value in given.items():
        if value < 1:
            msg = f"{name} must be at least 1, got {value}"
            raise ConfigError(msg)
    fit = fitted() if fit is None else fit
    found = chips.find(chip)
    work = training_work(config, options, *given.values(), chip=found.name)
    known = constants(chip, fit)
    rate, slow, fast = stream_rates(found, fit)
    products = matmul_rate(found)
    at_best = products * (2 if _has_doubtful_unit(found) else 1)
    terms = training_terms(work, known.likely, products, rate)
    band = math.exp(fit["band"]["training"])
    engine = terms[0].seconds
    compiling = sum(
        compile_seconds(program, chip, programs=times, fit=fit) for program, times in work.compiled
    )
    return Prediction(
        chip=found.name,
        what=f"training step, {pipeline}"
        + (", classifier on the engine" if work.cls == "ane" else ""),
        seconds=total(terms),
        low=total(training_terms(work, known.fastest, at_best, fast)) / band,
        high=total(training_terms(work, known.slowest, products, slow)) * band,
        terms=terms,
        basis=known.likely.basis,
        notes=_doubts(found, known.likely.basis),
        extra={
            "engine_seconds": engine,
            "compile_seconds": compiling / work.accumulation,
            "engine_tflops": work.engine_flops / total(terms) / 1e12,
        },
    )


_PRODUCTS: Final = {"cpu": "weight gradients and classifier", "ane": "weight gradients"}


def training_terms(
    work: TrainingWork, chip: Constants, matmul: float, stream_rate: float
) -> tuple[Term, ...]:
    """The parts of a step, of CPU rates in operations and bytes a second."""
    engine = sum(
        times * total(program_terms(program, chip, "loop")) for program, times in work.programs
    )
    return (
        Term(
            "engine",
            engine,
            True,
            f"{work.n_evaluations} evaluations of {engine / work.n_evaluations * 1e6:.0f} us, "
            f"{work.n_evaluations * chip.loop_dispatch * 1e3:.3g} ms of it dispatch",
        ),
        Term(
            "matrix products",
            work.cpu_flops / matmul,
            True,
            f"{work.cpu_flops / 1e9:.3g} GFLOP of {_PRODUCTS[work.cls]} on the CPU at "
            f"{matmul / 1e9:.0f} GFLOP/s",
        ),
        Term(
            "memory passes",
            work.cpu_bytes / stream_rate,
            True,
            f"{work.cpu_bytes / 1e9:.3g} GB of conversions, loss, gradients and Adam on the CPU at "
            f"{stream_rate / 1e9:.3g} GB/s",
        ),
    )


def matmul_rate(chip: Chip) -> float:
    """fp32 operations a second of the CPU in one matrix product."""
    units = _value(chip, "matrix_units")
    return _value(chip, "matmul_gflops") * 1e9 * min(1.0, _UNITS_PER_PRODUCT / units)


def _has_doubtful_unit(chip: Chip) -> bool:
    """One matrix unit beside the efficiency cores', whose help nobody published a step for."""
    from ..report import community  # noqa: PLC0415 -- the report may show predictions

    rows = {row.chip for row in community.load().training}
    return _value(chip, "matrix_units") == 1 and chip.name not in rows


def stream_rates(chip: Chip, fit: Mapping[str, Any]) -> tuple[float, float, float]:
    """Bytes a second of the CPU's passes over memory: likely, at worst, at best."""
    later = _value(chip, "stream_gbps") * 1e9
    first = min(fit["cpu_stream_gbps_m1"] * 1e9, later)
    share = min(1.0, (chip.generation - 1) / (_FIRST_KNOWN - 1))
    likely = float(first ** (1 - share) * later**share)
    is_known = chip.generation in (1, _FIRST_KNOWN, 5)
    return (likely, likely, likely) if is_known else (likely, first, later)


def _doubts(chip: Chip, basis: str) -> tuple[str, ...]:
    notes = []
    if basis == "between":
        notes.append(
            f"hardly a program was timed on an M{chip.generation} in public: its rates are taken from "
            "the generations around it, hence the range"
        )
    if _has_doubtful_unit(chip):
        notes.append(
            "nobody published a step on this chip; at best the efficiency cores' matrix unit helps as "
            "much as the performance cores'"
        )
    if _value(chip, "matrix_units") > _UNITS_PER_PRODUCT:
        notes.append("the CPU's matrix products are taken to use one of the two dies")
    return tuple(notes)


def _value(chip: Chip, name: str) -> float:
    value = chip.host[name].value
    assert isinstance(value, int | float)
    return float(value)
