"""One 1x1 convolution in fp16, with int8 weights, and with int8 weights and activations (W8A8)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .. import mil
from .check import check_products
from .measure import Bench, Benchmark, Metrics, Plan, form_ratios
from .result import Case, Finding, Scalar

#: (channels, positions): few positions read weights only, many multiply.
SIZES = ((512, 64), (1024, 64), (2048, 32), (2048, 256), (512, 1024))
QUICK_SIZES = SIZES[:2] + SIZES[3:4]
FORMS = ("fp16", "int8-weights", "w8a8")
# Powers of two: scaled integers are exact in fp16, and sums of products in fp32 up to 2**24.
X_SCALE = 2.0**-6


@dataclass(frozen=True)
class Numbers:
    """Integers from -127 to 127 and their scales.

    Attributes:
        w: int8 [N, K].
        w_scale: fp16 [N], powers of two.
        x: int8 [K, S]; times `X_SCALE` the input.
    """

    w: Any
    w_scale: Any
    x: Any


def _numbers(bench: Bench, channels: int, spatial: int) -> Numbers:
    rng = bench.rng(f"int8_{channels}_{spatial}")
    w = rng.integers(-127, 128, (channels, channels), np.int8)
    low = -8 - int(np.log2(channels) / 2)
    scale = np.exp2(rng.integers(low, low + 3, channels)).astype(np.float16)
    return Numbers(w, scale, rng.integers(-127, 128, (channels, spatial), np.int8))


def _program(form: str, numbers: Numbers) -> mil.Program:
    n, k = numbers.w.shape
    scale = numbers.w_scale
    integers = numbers.w.reshape(n, k, 1, 1)

    @mil.program(x=mil.fp16[1, k, 1, numbers.x.shape[1]])
    def program(x: mil.Var) -> mil.Var:
        if form == "fp16":
            weight: Any = integers.astype(np.float16) * scale.reshape(n, 1, 1, 1)
        else:
            # Of the forms with int8 this one is taken by every chip (docs/ane_constraints.md).
            weight = mil.constexpr_affine_dequantize(
                quantized_data=integers, zero_point=np.int8(0), scale=scale, axis=0
            )
        if form == "w8a8":
            step = np.float16(X_SCALE)
            levels = mil.quantize(input=x, scale=step, output_dtype="int8")
            x = mil.dequantize(input=levels, scale=step)
        return mil.conv(x=x, weight=weight, name="y")

    return program


def _plans(bench: Bench) -> Iterable[Plan]:
    for channels, spatial in QUICK_SIZES if bench.settings.quick else SIZES:
        for form in FORMS:
            name = f"{form}_{channels}_sp{spatial}"
            parameters: dict[str, Scalar] = {"form": form, "channels": channels, "spatial": spatial}
            yield Plan(name, parameters, partial(_measure, bench, form, channels, spatial))


def _measure(bench: Bench, form: str, channels: int, spatial: int) -> Metrics:
    numbers = _numbers(bench, channels, spatial)
    with bench.compile(_program(form, numbers)) as kernel:
        kernel.inputs["x"][...] = (numbers.x * np.float16(X_SCALE)).reshape(1, channels, 1, spatial)
        kernel.evaluate()
        rows = np.unique(np.linspace(0, channels - 1, 16).astype(int))
        columns = np.unique(np.linspace(0, spatial - 1, 16).astype(int))
        w = numbers.w[rows].astype(np.float64) * numbers.w_scale[rows, None].astype(np.float64)
        x = numbers.x[:, columns].astype(np.float64) * X_SCALE
        got = kernel.outputs["y"][0, :, 0][np.ix_(rows, columns)]
        magnitude = np.abs(w) @ np.abs(x)
        check_products(got, w @ x, magnitude, channels, bench.facts.numerics, "y")
        return bench.rate_metrics(bench.sample(kernel.evaluate), 2.0 * channels**2 * spatial)


def _findings(bench: Bench, cases: Sequence[Case]) -> Iterable[Finding]:
    yield from bench.peak_finding()
    yield from form_ratios(cases, "fp16", plain_is_over=False)


BENCHMARK = Benchmark("int8", "int8 weights, and W8A8, against fp16", _plans, _findings)
