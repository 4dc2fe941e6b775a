"""Matrix products of a Llama 2 layer of 110M parameters, of a weight gradient, and of a single token:
GFLOP/s. One operand constant (packed when compiling), or both of them inputs."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

import pyane
from pyane import mil

from .harness import Row, Settings, against_fma

# Batch, m, k, n: [m, k] @ [k, n].
SHAPES = (
    (1, 768, 768, 256),
    (1, 2048, 768, 256),
    (1, 768, 2048, 256),
    (1, 768, 256, 768),
    (12, 256, 64, 256),
    (12, 256, 256, 64),
    (1, 768, 768, 1),
)


def program(shape: tuple[int, int, int, int], weight: np.ndarray | None) -> mil.Program:
    batch, m, k, n = shape
    if weight is None:

        @mil.program(a=mil.fp16[batch, m, k], b=mil.fp16[batch, k, n])
        def both(a: mil.Var, b: mil.Var) -> mil.Var:
            return mil.matmul(x=a, y=b, transpose_x=False, transpose_y=False, name="c")

        return both

    @mil.program(b=mil.fp16[batch, k, n])
    def constant(b: mil.Var) -> mil.Var:
        return mil.matmul(x=weight, y=b, transpose_x=False, transpose_y=False, name="c")

    return constant


def check(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    """Half a unit of fp16 for the result, one of fp32 per term of the sum."""
    exact = np.matmul(a.astype(np.float64), b.astype(np.float64))
    magnitude = np.matmul(abs(a).astype(np.float64), abs(b).astype(np.float64))
    bound = 2.0**-11 * abs(exact) + a.shape[-1] * 2.0**-23 * magnitude + 2.0**-25
    if not (abs(c - exact) <= bound).all():
        sys.exit(f"products: wrong result for {a.shape} @ {b.shape}: not timed")


def rows(settings: Settings) -> Iterator[Row]:
    for shape in SHAPES[:2] if settings.quick else SHAPES:
        batch, m, k, n = shape
        rng = np.random.default_rng(0)
        a = rng.standard_normal((batch, m, k), np.float32).astype(np.float16)
        for weight in (None, a) if batch == 1 else (None,):
            kernel = pyane.device("emulator").compile(program(shape, weight))
            if weight is None:
                kernel.inputs["a"][...] = a
            kernel.inputs["b"][...] = rng.standard_normal((batch, k, n), np.float32)
            kernel.evaluate()
            check(a, kernel.inputs["b"], kernel.outputs["c"])
            for count in settings.threads:
                yield against_fma(
                    f"matmul {' x '.join(map(str, shape))}{', a constant' if weight is not None else ''}",
                    count,
                    kernel.evaluate,
                    2.0 * np.prod(shape),
                    None,
                    settings.rounds(12),
                )
            kernel.unload()
