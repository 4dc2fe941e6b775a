"""Convolutions of 8-bit activations and weights beside the same ones in fp16.

x is fp16 and quantized in the program, dequantized, and convolved with constexpr int8 weights, one scale
for each output channel: the emulator multiplies the integers (docs/numerics.md).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

import pyane
from pyane import mil
from pyane._core import base

from .harness import Row, Settings, seconds, skipped, take_turns, threads, timer

TARGET = 1 / 1.8
SCALE = np.float16(0.02)
# Channels and filters, kernel, height and width.
SHAPES = ((512, 1, 64), (128, 3, 40), (64, 3, 80))


def programs(channels: int, kernel: int, size: int) -> tuple[mil.Program, mil.Program]:
    rng = np.random.default_rng(0)
    shape = (1, channels, size, size)
    levels = rng.integers(-127, 128, (channels, channels, kernel, kernel)).astype(np.int8)
    scales = (rng.uniform(0.5, 1.5, channels) / 74 / np.sqrt(levels[0].size)).astype(np.float16)
    pad = [kernel // 2] * 4

    @mil.program(x=mil.fp16[shape])
    def int8(x: mil.Var) -> mil.Var:
        quantized = mil.quantize(input=x, scale=SCALE, output_dtype="int8")
        weight = mil.constexpr_affine_dequantize(
            quantized_data=levels,
            scale=scales,
            zero_point=np.zeros(channels, np.int8),
            axis=np.int32(0),
        )
        y = mil.dequantize(input=quantized, scale=SCALE)
        return mil.conv(x=y, weight=weight, pad_type="custom", pad=pad, name="y")

    dense = (levels * scales.astype(np.float32).reshape(-1, 1, 1, 1)).astype(np.float16)

    @mil.program(x=mil.fp16[shape])
    def fp16(x: mil.Var) -> mil.Var:
        return mil.conv(x=x, weight=dense, pad_type="custom", pad=pad, name="y")

    return int8, fp16


def rows(settings: Settings) -> Iterator[Row]:
    if base.measure_int8_gops() == 0:
        yield skipped("int8 conv", "this CPU has no products of bytes summed in 32 bits")
        return
    device = pyane.device("emulator")
    for channels, kernel, size in SHAPES[:1] if settings.quick else SHAPES:
        compiled = [device.compile(program) for program in programs(channels, kernel, size)]
        levels = np.random.default_rng(1).integers(-127, 128, (1, channels, size, size))
        x = (levels * SCALE).astype(np.float16)
        for each in compiled:
            each.inputs["x"][...] = x
            each.evaluate()
        int8, fp16 = (np.array(each.outputs["y"], np.float64) for each in compiled)
        # The levels are found again exactly; fp16 rounds each operand of a product.
        error = np.linalg.norm(int8 - fp16) / np.linalg.norm(fp16)
        if not error <= 2.0**-10:
            sys.exit(f"int8: {channels} channels, {kernel}x{kernel}: off by {error:.1e}: not timed")
        for n in settings.threads:
            with threads(n):
                calls = {"int8": timer(compiled[0].evaluate), "fp16": timer(compiled[1].evaluate)}
                found = take_turns(calls, settings.rounds(20))
            yield Row(
                f"quantize, W8A8 conv {kernel}x{kernel}, {channels} channels, {size}x{size}",
                n,
                seconds(found["int8"]),
                "fp16 conv",
                seconds(found["fp16"]),
                TARGET,
            )
        for each in compiled:
            each.unload()
