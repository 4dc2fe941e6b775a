"""Sustained throughput: one stack of convolutions again and again for five seconds."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import partial

from .measure import Bench, Benchmark, Metrics, Plan, rate
from .peak import case_name
from .programs import conv_chain
from .result import Case, Finding

WINDOW_SECONDS = 5.0
#: A sample is the rate over at least as long.
SLICE_SECONDS = 0.1
DEPTH, CHANNELS = 128, 512


def _plans(bench: Bench) -> Iterable[Plan]:
    for spatial in (64,) if bench.settings.quick else (64, 2048):
        name = case_name(DEPTH, CHANNELS, spatial)
        parameters = {
            "depth": DEPTH,
            "channels": CHANNELS,
            "spatial": spatial,
            "window_s": WINDOW_SECONDS,
        }
        yield Plan(name, parameters, partial(_measure, bench, name, spatial))


def _measure(bench: Bench, name: str, spatial: int) -> Metrics:
    chain = conv_chain(bench, name, CHANNELS, spatial, DEPTH)
    with bench.compile(chain.program, chain.weights) as kernel:
        chain.check(kernel, bench.facts.numerics)
        rates = []
        begin = start = time.perf_counter()
        n = total = 0
        while start - begin < WINDOW_SECONDS:
            kernel.evaluate()
            n += 1
            end = time.perf_counter()
            if end - start >= SLICE_SECONDS:
                rates.append(n * chain.flops / (end - start) / 1e12)
                total += n
                start, n = end, 0
        whole = total * chain.flops / (start - begin) / 1e12
    metrics = {
        "rate": rate("TFLOP/s", rates),
        "whole_rate": rate("TFLOP/s", [whole]),
    }
    if bench.peak is not None:
        metrics["of_peak"] = rate("%", [100 * r / bench.peak[0] for r in rates])
    return metrics


def _findings(bench: Bench, cases: Sequence[Case]) -> Iterable[Finding]:
    yield from bench.peak_finding()
    for case in cases:
        if case.status != "ok":
            continue
        rates = case.metrics["rate"].samples
        fifth = max(len(rates) // 5, 1)
        first, last = sum(rates[:fifth]) / fifth, sum(rates[-fifth:]) / fifth
        name = f"drift of {case.name}"
        yield Finding(name, round(100 * (last / first - 1), 2), "%", "last fifth over the first")


BENCHMARK = Benchmark(
    "sustained", "a stack of convolutions for 5 seconds, percent of peak", _plans, _findings
)
