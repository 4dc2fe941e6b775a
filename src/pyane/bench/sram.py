"""Where the memory on the chip ends: rates over growing weights, and over growing activations.

Weights: one 1x1 convolution with more and more channels over rows of 64. Activations: four
convolutions of 256 channels over longer and longer rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial

from .. import mil
from .measure import Bench, Benchmark, Metrics, Plan, gbps
from .programs import conv_chain, random_product, weight_files
from .result import Case, Finding, Scalar

WEIGHT_SPATIAL = 64
WEIGHT_CHANNELS = (256, 512, 768, 1024, 1152, 1280, 1536, 2048, 2560, 3072, 4096, 5120, 6144, 8192)
ACTIVATION_CHANNELS, ACTIVATION_DEPTH = 256, 4
ACTIVATION_SPATIAL = (256, 512, 1024, 2048, 3072, 4096, 5120, 6144, 8192, 12288, 16384)
QUICK_WEIGHT_CHANNELS, QUICK_ACTIVATION_SPATIAL = 4096, 8192  # at most
#: A rate below this part of the best so far is beyond the cliff.
CLIFF = 0.8


def _plans(bench: Bench) -> Iterable[Plan]:
    quick = bench.settings.quick
    for channels in WEIGHT_CHANNELS:
        if not quick or channels <= QUICK_WEIGHT_CHANNELS:
            name = f"weights_{channels}"
            parameters: dict[str, Scalar] = {
                "sweep": "weights",
                "channels": channels,
                "spatial": WEIGHT_SPATIAL,
                "mb": 2 * channels**2 / 1e6,
            }
            yield Plan(name, parameters, partial(_weights, bench, name, channels))
    for spatial in ACTIVATION_SPATIAL:
        if not quick or spatial <= QUICK_ACTIVATION_SPATIAL:
            name = f"activations_{spatial}"
            parameters = {
                "sweep": "activations",
                "channels": ACTIVATION_CHANNELS,
                "depth": ACTIVATION_DEPTH,
                "spatial": spatial,
                "mb": 2 * ACTIVATION_CHANNELS * spatial / 1e6,
            }
            yield Plan(name, parameters, partial(_activations, bench, name, spatial))


def _weights(bench: Bench, name: str, channels: int) -> Metrics:
    product = random_product(bench, name, channels, channels, WEIGHT_SPATIAL)

    def body(x: mil.Var) -> mil.Var:
        weight = mil.const(val=product.w.reshape(channels, channels, 1, 1), name="w")
        return mil.conv(x=x, weight=weight, name="y")

    program = mil.build(body, {"x": mil.fp16[1, channels, 1, WEIGHT_SPATIAL]})
    files = weight_files(program, bench.settings.weight_records)
    with bench.compile(program, files) as kernel:
        kernel.inputs["x"][...] = product.x
        kernel.evaluate()
        product.check(kernel.outputs["y"][0, :, 0], bench.facts.numerics)
        seconds = bench.sample(kernel.evaluate)
    return {
        **bench.rate_metrics(seconds, product.flops),
        "weight_rate": gbps(seconds, product.w.nbytes),
    }


def _activations(bench: Bench, name: str, spatial: int) -> Metrics:
    chain = conv_chain(bench, name, ACTIVATION_CHANNELS, spatial, ACTIVATION_DEPTH)
    with bench.compile(chain.program, chain.weights) as kernel:
        chain.check(kernel, bench.facts.numerics)
        return bench.rate_metrics(bench.sample(kernel.evaluate), chain.flops)


def find_cliff(points: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """The two neighbouring sizes between which rates fall for good.

    Args:
        points: (size, rate) by size.

    Returns:
        The last size before, and the first from which on every rate is below `CLIFF` times the best
        rate of the sizes before it; None when there is none.
    """
    for i in range(1, len(points)):
        best = max(rate for _, rate in points[:i])
        if all(rate < CLIFF * best for _, rate in points[i:]):
            return points[i - 1][0], points[i][0]
    return None


def _findings(bench: Bench, cases: Sequence[Case]) -> Iterable[Finding]:
    yield from bench.peak_finding()
    for sweep in ("weights", "activations"):
        of_sweep = [case for case in cases if case.parameters["sweep"] == sweep]
        measured = [case for case in of_sweep if case.status == "ok"]
        points = [
            (float(case.parameters["mb"] or 0), case.metrics["rate"].median) for case in measured
        ]
        rule = f"every rate beyond is below {CLIFF:.0%} of the best before"
        cliff = find_cliff(points)
        if cliff is None:
            none = f"{rule}; no such size up to {points[-1][0]:.3g} MB" if points else rule
            yield Finding(f"{sweep} cliff", None, None, none)
            continue
        middle = math.sqrt(cliff[0] * cliff[1])
        rule += f"; between {cliff[0]:.3g} and {cliff[1]:.3g} MB, geometric mean"
        yield Finding(f"{sweep} cliff", float(f"{middle:.3g}"), "MB", rule)


BENCHMARK = Benchmark(
    "sram", "rates over growing weights and activations; where they fall", _plans, _findings
)
