"""`Surface.write` and `Surface.read`: fp16 as it is, and fp32 that is rounded or widened."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np

from ..surface import Surface
from .measure import Bench, Benchmark, Metrics, Plan, WrongResult, gbps, times

#: Elements of the tensor: one that stays in a core's cache, the largest activation of the reports'
#: model (2048 channels of 256), and one that stays in no cache.
SIZES = {"32k": 1 << 15, "512k": 1 << 19, "16m": 1 << 24}


def _plans(bench: Bench) -> Iterable[Plan]:
    for size, n in SIZES.items():
        for direction in ("write", "read"):
            for dtype in ("fp16", "fp32"):
                parameters = {"elements": n, "array": dtype, "surface": "fp16"}
                name = f"{direction}_{dtype}_{size}"
                yield Plan(name, parameters, partial(_measure, bench, name, direction, dtype, n))


def _measure(bench: Bench, name: str, direction: str, dtype: str, n: int) -> Metrics:
    surface = Surface(2 * n)
    view = surface.array(n, np.float16)
    array = bench.rng(name).uniform(-1, 1, n).astype(np.float16 if dtype == "fp16" else np.float32)

    def write() -> None:
        with surface.lock():
            surface.write(array)

    def read() -> None:
        with surface.lock(read_only=True):
            surface.read(n, out=array)

    rounded = array.astype(np.float16)
    if direction == "write":
        write()
        found = view
    else:
        view[...] = rounded
        array.fill(0)
        read()
        found = array
    if not np.array_equal(found, rounded):
        msg = f"{name}: the copy differs from what was copied"
        raise WrongResult(msg)
    seconds = bench.sample(write if direction == "write" else read)
    # Bytes of the array: what a caller hands over or gets.
    return {"time": times(seconds, "us"), "rate": gbps(seconds, array.nbytes)}


BENCHMARK = Benchmark("io", "surface writes and reads, fp16 and fp32", _plans)
