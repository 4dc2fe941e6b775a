"""Surfaces written from fp32 and read to fp32, beside memcpy of as many bytes."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

import pyane
from pyane._core import base

from .harness import Row, Settings, rate, seconds, take_turns, threads, timer

TARGET = 0.8
SHAPES = ((768, 256), (32000, 768))


def measure(shape: tuple[int, int], n: int, rounds: int) -> Iterator[Row]:
    values = np.random.default_rng(0).standard_normal(shape, np.float32)
    back = np.empty_like(values)
    surface = pyane.Surface(2 * values.size)
    surface.write(values)
    surface.read(shape, out=back)
    if not np.array_equal(back, values.astype(np.float16)):
        sys.exit("io: wrong conversion: not timed")
    moved = 6 * values.size  # 4 bytes on one side, 2 on the other.
    with threads(n):
        found = take_turns(
            {
                "write from": timer(lambda: surface.write(values)),
                "read to": timer(lambda: surface.read(shape, out=back)),
                "memcpy": lambda: base.measure_copy_gbps(moved, n),
            },
            rounds,
        )
    for what in ("write from", "read to"):
        yield Row(
            f"surface {what} fp32, {list(shape)}",
            n,
            seconds(found[what]).as_rate(1e-9 * moved, "GB/s"),
            "memcpy",
            rate(found["memcpy"], "GB/s"),
            TARGET,
            at_most=False,
        )


def rows(settings: Settings) -> Iterator[Row]:
    for shape in SHAPES:
        for n in settings.threads:
            yield from measure(shape, n, settings.rounds(12))
