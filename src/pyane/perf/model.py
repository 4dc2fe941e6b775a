"""How long a program takes on a chip, from what it asks for and what the chip is known to do.

    time = dispatch + boundary + rows + attention + max(arithmetic, weights + spill, weight reuse)

Arithmetic, weights and spill overlap over a whole program: chains are fused, and the weights of the
next operation are read while this one computes (ane-guide ch. 9, 22). In a loop over bound surfaces
inputs and outputs are memory traffic like the weights, and overlap as well; matrices among the inputs
are weights there. docs/performance_model.md
explains the terms and says how far off the model is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal

from .constants import Constants, constants, fitted
from .prediction import Prediction, Term
from .program_reader import workload
from .program_work import Step, Weight, Workload

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..model._model import ModelLike

Mode = Literal["single", "loop"]
_WHAT: Final = {"single": "one evaluate", "loop": "evaluate in a loop"}
# Passes over a row that an operation makes beyond the first, from its definition: a maximum and a
# sum before softmax divides; a mean and a variance before layer_norm does; the sum of a reduction.
_ROW_PASSES: Final = {"softmax": 2, "layer_norm": 2, "l2_norm": 1}


def predict_program(
    model: ModelLike | Workload,
    chip: str,
    *,
    mode: Mode = "single",
    fit: Mapping[str, Any] | None = None,
) -> Prediction:
    """The time of one evaluation.

    Args:
        model: A model, its path, MIL text, or a `Workload`. Weight files need not be there.
        chip: As in `pyane.chips.find`: "m4pro".
        mode: "single": one evaluate at a time, data passing from and to the caller's memory. "loop":
            bound once and evaluated back to back on surfaces that are already there.
        fit: Take these constants for fitted.json.

    Raises:
        ConfigError: There is no such chip.
        ShapeError: Dimensions of the model are not known.
    """
    from .compile_time import compile_seconds  # noqa: PLC0415 -- which reads workloads, too

    work = model if isinstance(model, Workload) else workload(model)
    known = constants(chip, fit)
    terms = program_terms(work, known.likely, mode)
    band = math.exp((fitted() if fit is None else fit)["band"]["program"])
    notes = []
    folded = sorted({w.form for w in work.weights if w.form != "dense"} - set(known.likely.streams))
    if folded:
        notes.append(
            f"{', '.join(folded)} weights become fp16 when compiled for this chip: smaller files, "
            "no faster"
        )
    return Prediction(
        chip=known.likely.chip,
        what=_WHAT[mode],
        seconds=total(terms),
        low=total(program_terms(work, known.fastest, mode)) / band,
        high=total(program_terms(work, known.slowest, mode)) * band,
        terms=terms,
        basis=known.likely.basis,
        notes=tuple(notes),
        extra={
            "compile_seconds": compile_seconds(work, known.likely.chip, fit=fit),
            "dense_weight_seconds": sum(w.stored_bytes for w in work.weights if w.form == "dense")
            / known.likely.weight_rate,
        },
    )


def total(terms: tuple[Term, ...]) -> float:
    """Seconds of all that counts."""
    return sum(term.seconds for term in terms if term.counts)


def program_terms(work: Workload, chip: Constants, mode: Mode) -> tuple[Term, ...]:
    """The parts of a program's time."""
    in_loop = mode == "loop"
    arithmetic = sum(
        step.flops / (chip.peak * _speedup(step, chip)) for step in work.steps if step.is_matrix
    )
    read = sum(_bytes(weight, chip) for weight in work.weights)
    loaded = sum(_bytes(weight, chip) for step in work.steps for weight in step.weights)
    again = loaded - read
    spill = work.spill_bytes(chip.on_chip_bytes)
    rows = sum(
        step.row_bytes * _ROW_PASSES.get(step.op, 1)
        for step in work.steps
        if step.row_extent >= chip.transpose_from
    )
    boundary_rate = chip.memory_rate if in_loop else chip.boundary_rate
    boundary_bytes = work.boundary_bytes
    if in_loop:  # else they are copied, and what is read afterwards is hidden by that
        boundary_bytes -= work.matrix_input_bytes
        read += work.matrix_input_bytes
    boundary = boundary_bytes / boundary_rate
    weights = read / chip.weight_rate
    spilled = spill / chip.memory_rate
    reuse = again / chip.reuse_rate
    memory = weights + spilled + (boundary if in_loop else 0.0)
    # Of these three the slowest hides the others.
    slowest = max(arithmetic, memory, reuse)
    by_arithmetic = arithmetic == slowest
    by_memory = not by_arithmetic and memory == slowest
    return (
        Term(
            "dispatch",
            chip.loop_dispatch if in_loop else chip.dispatch,
            True,
            "fixed cost of one evaluate",
        ),
        Term(
            "boundary",
            boundary,
            by_memory or not in_loop,
            f"{_mb(boundary_bytes)} of inputs and outputs at {_gbps(boundary_rate)}",
        ),
        Term(
            "arithmetic",
            arithmetic,
            by_arithmetic,
            _arithmetic(work, chip),
        ),
        Term("weights", weights, by_memory, f"{_mb(read)} at {_gbps(chip.weight_rate)}"),
        Term(
            "spill",
            spilled,
            by_memory,
            f"{_mb(spill)} beyond {_mb(chip.on_chip_bytes)} on the chip, at "
            f"{_gbps(chip.memory_rate)}",
        ),
        Term(
            "weight reuse",
            reuse,
            not by_arithmetic and not by_memory,
            f"{_mb(again)} of weights read again at {_gbps(chip.reuse_rate)}",
        ),
        Term(
            "rows",
            rows / chip.row_rate,
            True,
            f"{_mb(rows)} of reductions along rows of {chip.transpose_from} and more",
        ),
        Term(
            "attention",
            work.attention_bytes / chip.attention_rate,
            True,
            f"{_mb(work.attention_bytes)} through the native attention at "
            f"{_gbps(chip.attention_rate)}",
        ),
    )


def _arithmetic(work: Workload, chip: Constants) -> str:
    text = f"{work.matrix_flops / 1e9:.3g} GFLOP at {chip.peak / 1e12:.3g} TFLOP/s"
    if any(step.is_winograd for step in work.steps):
        text += f", 3x3 convolutions {chip.winograd:.2g} times as fast"
    if any(step.is_int8 for step in work.steps):
        text += f", int8 {chip.int8_speedup:.2g} times"
    return text


def _speedup(step: Step, chip: Constants) -> float:
    return (chip.winograd if step.is_winograd else 1.0) * (
        chip.int8_speedup if step.is_int8 else 1.0
    )


def _bytes(weight: Weight, chip: Constants) -> int:
    streams = weight.form == "dense" or weight.form in chip.streams
    return weight.stored_bytes if streams else weight.dense_bytes


def _mb(n_bytes: float) -> str:
    return f"{n_bytes / 1e6:.3g} MB"


def _gbps(rate: float) -> str:
    return f"{rate / 1e9:.3g} GB/s"
