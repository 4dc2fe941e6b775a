"""1x1 convolutions of 512 to 512 channels, 128 deep, as upstream's peak benchmark: GFLOP/s."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import numpy as np

import pyane
from pyane import mil

from .harness import Row, Settings, against_fma, beside_torch, has_torch

CHANNELS = 512
DEPTH = 128
TARGET = 0.85


def program(
    spatial: int, depth: int = DEPTH, channels: int = CHANNELS
) -> tuple[mil.Program, np.ndarray]:
    """The program and its weights, [depth, O, I, 1, 1]."""
    rng = np.random.default_rng(0)
    shape = (depth, channels, channels, 1, 1)
    # Keeps the size of what passes through, layer after layer.
    weights = (rng.standard_normal(shape, np.float32) / np.sqrt(channels)).astype(np.float16)

    @mil.program(x=mil.fp16[1, channels, 1, spatial])
    def deep(x: mil.Var) -> mil.Var:
        for i, weight in enumerate(weights):
            x = mil.conv(x=x, weight=weight, name=f"y{i}")
        return x

    return deep, weights


def check(weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    """Layer after layer in fp32, rounded to fp16: other orders of the sums round differently."""
    expected = x[0, :, 0, :].astype(np.float32)
    for weight in weights:
        expected = (weight[:, :, 0, 0].astype(np.float32) @ expected).astype(np.float16)
        expected = expected.astype(np.float32)
    # Independent roundings of 2^-11 per layer add up as a random walk; times four for its tail.
    bound = 4 * 2.0**-11 * np.sqrt(len(weights))
    error = np.linalg.norm(y[0, :, 0, :] - expected) / np.linalg.norm(expected)
    if not error <= bound:
        sys.exit(
            f"peak: the result is off by {error:.1e} of its norm (at most {bound:.1e}): not timed"
        )


def torch_layers(weights: np.ndarray, spatial: int) -> Callable[[], object]:
    """The same layers as products of fp32 matrices."""
    import torch  # noqa: PLC0415 -- optional

    matrices = [torch.from_numpy(weight[:, :, 0, 0].astype(np.float32)) for weight in weights]
    x, y = torch.ones(CHANNELS, spatial), torch.empty(CHANNELS, spatial)

    def call() -> None:
        source, target = x, y
        for matrix in matrices:
            torch.mm(matrix, source, out=target)
            source, target = target, source

    return call


def rows(settings: Settings) -> Iterator[Row]:
    for spatial in (64, 512) if settings.quick else (64, 128, 256, 512, 1024, 2048):
        deep, weights = program(spatial)
        kernel = pyane.device("emulator").compile(deep)
        rng = np.random.default_rng(spatial)
        kernel.inputs["x"][...] = rng.standard_normal((1, CHANNELS, 1, spatial), np.float32)
        kernel.evaluate()
        check(weights, kernel.inputs["x"], next(iter(kernel.outputs.values())))
        flops = 2.0 * CHANNELS**2 * DEPTH * spatial
        for n in settings.threads:
            yield against_fma(
                f"conv 1x1 512x512, depth 128, spatial {spatial}",
                n,
                kernel.evaluate,
                flops,
                TARGET,
                settings.rounds(12),
            )
            if has_torch():
                yield beside_torch(
                    f"the same, spatial {spatial}",
                    n,
                    kernel.evaluate,
                    flops,
                    torch_layers(weights, spatial),
                    settings.rounds(12),
                )
        kernel.unload()
