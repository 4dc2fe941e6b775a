"""What compiling costs: new programs (cold), the same again (warm), and text alone, by size."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial

from .. import mil
from .measure import Bench, Benchmark, Metrics, Plan, times
from .programs import Chain, conv_chain

#: (depth, channels).
SIZES = ((1, 64), (1, 256), (1, 512), (1, 1024), (1, 2048), (8, 256), (32, 256), (128, 256))
QUICK_SIZES = ((1, 64), (1, 512), (1, 1024), (8, 256), (32, 256))
SPATIAL = 64
#: Compilations of a case where they count: an engine takes some 119 in a process. With the first of
#: each warm case that makes 8 * (6 + 1 + 6) = 104.
COLD_RUNS = 6


def _plans(bench: Bench) -> Iterable[Plan]:
    for depth, channels in QUICK_SIZES if bench.settings.quick else SIZES:
        size = f"{depth}x{channels}"
        parameters = {
            "depth": depth,
            "channels": channels,
            "spatial": SPATIAL,
            "weight_mb": 2 * depth * channels**2 / 1e6,
        }
        cold, warm = f"cold_{size}", f"warm_{size}"
        yield Plan(cold, parameters, partial(_cold, bench, size, channels, depth))
        yield Plan(warm, parameters, partial(_warm, bench, size, channels, depth))
    # Text alone, without weights: the front end's part.
    parameters = {"depth": 256, "channels": 64, "spatial": SPATIAL}
    yield Plan("parse_256x64", parameters, partial(_parse, bench))


def _compile(bench: Bench, chain: Chain) -> float:
    """Seconds to compile and load; the result is checked."""
    start = time.perf_counter()
    kernel = bench.compile(chain.program, chain.weights)
    seconds = time.perf_counter() - start
    with kernel:
        chain.check(kernel, bench.facts.numerics)
    return seconds


def _cold(bench: Bench, size: str, channels: int, depth: int) -> Metrics:
    # Other weights each time, and others than in the last run: a cache of programs has none of them.
    new = time.time_ns()
    seconds = [
        _compile(bench, conv_chain(bench, f"cold_{size}_{new}_{i}", channels, SPATIAL, depth))
        for i in range(_runs(bench))
    ]
    return {"time": times(seconds, "ms")}


def _warm(bench: Bench, size: str, channels: int, depth: int) -> Metrics:
    chain = conv_chain(bench, f"warm_{size}", channels, SPATIAL, depth)
    _compile(bench, chain)
    if bench.device.budget() is None:
        seconds = bench.sample(lambda: bench.compile(chain.program, chain.weights).unload())
    else:
        # An engine's framework keeps programs compiled; where it does not, these count, too.
        seconds = [_compile(bench, chain) for _ in range(_runs(bench))]
    return {"time": times(seconds, "ms")}


def _runs(bench: Bench) -> int:
    return max(COLD_RUNS, bench.settings.min_runs)


def _parse(bench: Bench) -> Metrics:
    text = str(conv_chain(bench, "parse", 64, SPATIAL, 256).program)
    mil.verify(mil.parse(text))
    return {"time": times(bench.sample(lambda: mil.verify(mil.parse(text))), "ms")}


BENCHMARK = Benchmark("compile", "compiling: cold, warm, by size, and text alone", _plans)
