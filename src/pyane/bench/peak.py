"""Peak throughput: deep stacks of 1x1 convolutions whose activations stay on the chip.

Ten configurations at spatial 64 in the manner of maderix/ANE's in-memory peak benchmark, of which the
community's report names one, 128 layers of 512 channels; and these 128 layers over longer and longer
rows, where the report saw 1.7 times the rate at 2048 of that at 64.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from .measure import Bench, Benchmark, Metrics, Plan
from .programs import conv_chain
from .result import Case, Finding

#: (depth, channels, spatial).
CONFIGURATIONS = (
    *((depth, 512, 64) for depth in (32, 48, 64, 96, 128)),
    *((depth, 256, 64) for depth in (64, 128, 256)),
    *((depth, 384, 64) for depth in (64, 128)),
    *((128, 512, spatial) for spatial in (128, 256, 512, 1024, 2048)),
)


def case_name(depth: int, channels: int, spatial: int) -> str:
    """Such as 128x512_sp64."""
    return f"{depth}x{channels}_sp{spatial}"


def _plans(bench: Bench) -> Iterable[Plan]:
    for depth, channels, spatial in CONFIGURATIONS:
        name = case_name(depth, channels, spatial)
        parameters = {
            "depth": depth,
            "channels": channels,
            "spatial": spatial,
            "weight_mb": 2 * depth * channels**2 / 1e6,
            "gflop": 2 * depth * channels**2 * spatial / 1e9,
        }
        yield Plan(name, parameters, partial(_measure, bench, name, channels, spatial, depth))


def _measure(bench: Bench, name: str, channels: int, spatial: int, depth: int) -> Metrics:
    chain = conv_chain(bench, name, channels, spatial, depth)
    with bench.compile(chain.program, chain.weights) as kernel:
        chain.check(kernel, bench.facts.numerics)
        return bench.rate_metrics(bench.sample(kernel.evaluate), chain.flops)


def _findings(bench: Bench, cases: Sequence[Case]) -> Iterable[Finding]:
    measured = [case for case in cases if case.status == "ok"]
    yield from bench.peak_finding()
    if not measured:
        return
    best = max(measured, key=lambda case: case.metrics["rate"].median)
    rate = best.metrics["rate"].median
    yield Finding("highest rate", round(rate, 4), "TFLOP/s", f"largest median: {best.name}")
    rates = {case.name: case.metrics["rate"].median for case in measured}
    short, long = (rates.get(case_name(128, 512, spatial)) for spatial in (64, 2048))
    if short and long:
        ratio = round(long / short, 3)
        yield Finding("sp2048 over sp64", ratio, "x", "ratio of medians of 128x512")


BENCHMARK = Benchmark(
    "peak", "stacks of 1x1 convolutions: depth x channels x spatial", _plans, _findings
)
