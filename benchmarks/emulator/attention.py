"""Attention of 12 heads over 256 positions of 64 channels: GFLOP/s of its products, everything else
(softmax, mask) counting as time only. Keys that a mask hides count as multiplied, which need not be."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import numpy as np

import pyane
from pyane import mil
from pyane.llama.kernels import building_blocks

from .harness import Row, Settings, against_fma

HEADS, POSITIONS, DIM = 12, 256, 64
SHAPE = (HEADS, 1, POSITIONS, DIM)
TARGET = 0.6
FLOPS = 2 * 2.0 * HEADS * POSITIONS**2 * DIM
SCALE = DIM**-0.5


def fused() -> mil.Program:
    """The operation of opset ios18, with the mask as an operand."""
    mask = np.tril(np.ones((POSITIONS, POSITIONS), bool))[None]

    @mil.program(q=mil.fp16[SHAPE], k=mil.fp16[SHAPE], v=mil.fp16[SHAPE])
    def attention(q: mil.Var, k: mil.Var, v: mil.Var) -> mil.Var:
        return mil.scaled_dot_product_attention(query=q, key=k, value=v, attn_mask=mask, name="y")

    return attention


def decomposed() -> mil.Program:
    """As models without that operation have it."""
    mask = np.triu(np.full((1, 1, POSITIONS, POSITIONS), -1e4, np.float16), 1)

    @mil.program(q=mil.fp16[SHAPE], k=mil.fp16[SHAPE], v=mil.fp16[SHAPE])
    def attention(q: mil.Var, k: mil.Var, v: mil.Var) -> mil.Var:
        scaled = mil.mul(x=q, y=np.float16(SCALE))
        scores = mil.matmul(x=scaled, y=k, transpose_x=False, transpose_y=True)
        probs = mil.softmax(x=mil.add(x=scores, y=mask), axis=-1)
        return mil.matmul(x=probs, y=v, transpose_x=False, transpose_y=False, name="y")

    return attention


def without_mask() -> mil.Program:
    """Every query looks at every key."""

    @mil.program(q=mil.fp16[SHAPE], k=mil.fp16[SHAPE], v=mil.fp16[SHAPE])
    def attention(q: mil.Var, k: mil.Var, v: mil.Var) -> mil.Var:
        scaled = mil.mul(x=q, y=np.float16(SCALE))
        scores = mil.matmul(x=scaled, y=k, transpose_x=False, transpose_y=True)
        probs = mil.softmax(x=scores, axis=-1)
        return mil.matmul(x=probs, y=v, transpose_x=False, transpose_y=False, name="y")

    return attention


def channels_first() -> mil.Program:
    """As the training kernels have it: [1, H * D, 1, S] between reshapes."""
    packed = (1, HEADS * DIM, 1, POSITIONS)

    @mil.program(q=mil.fp16[packed], k=mil.fp16[packed], v=mil.fp16[packed])
    def attention(q: mil.Var, k: mil.Var, v: mil.Var) -> mil.Var:
        query, key, value = (building_blocks.split_heads(x, HEADS, DIM) for x in (q, k, v))
        scaled = mil.mul(x=query, y=np.float16(SCALE))
        probs = building_blocks.causal_softmax(scaled, key)
        mixed = mil.matmul(x=value, y=probs, transpose_x=False, transpose_y=True)
        return building_blocks.merge_heads(mixed, 1, name="y")

    return attention


def reference(q: np.ndarray, k: np.ndarray, v: np.ndarray, is_causal: bool) -> np.ndarray:
    """[H, S, D] in fp64."""
    scores = q @ k.swapaxes(1, 2) * SCALE
    if is_causal:
        scores = np.where(np.tril(np.ones((POSITIONS, POSITIONS), bool)), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ v


def heads(x: np.ndarray) -> np.ndarray:
    """[H, S, D] of either layout."""
    x = x.astype(np.float64)
    if x.shape[2] == 1:
        return x.reshape(HEADS, DIM, POSITIONS).swapaxes(1, 2)
    return x.reshape(HEADS, POSITIONS, DIM)


def rows(settings: Settings) -> Iterator[Row]:
    variants: dict[str, Callable[[], mil.Program]] = {
        "scaled_dot_product_attention with mask": fused,
        "matmul, mask, softmax, matmul": decomposed,
        "the same, channels first": channels_first,
        "matmul, softmax, matmul, no mask": without_mask,
    }
    for name, make in variants.items():
        kernel = pyane.device("emulator").compile(make())
        rng = np.random.default_rng(0)
        for array in kernel.inputs.values():
            array[...] = rng.standard_normal(array.shape, np.float32)
        kernel.evaluate()
        exact = reference(*(heads(kernel.inputs[x]) for x in "qkv"), make is not without_mask)
        # Scores of some units and probabilities are rounded to fp16 on the way.
        error = np.abs(heads(kernel.outputs["y"]) - exact).max()
        if not error <= 2.0**-6:
            sys.exit(f"attention: {name} is off by {error:.1e}: not timed")
        for n in settings.threads:
            yield against_fma(
                f"attention 12 x 256 x 64: {name}",
                n,
                kernel.evaluate,
                FLOPS,
                TARGET,
                settings.rounds(20),
            )
        kernel.unload()
