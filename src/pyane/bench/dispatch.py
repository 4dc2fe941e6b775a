"""What a call costs: the smallest kernel, alone, in a list, and with arrays copied in and out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from .. import mil
from ..kernel import Kernel, evaluate
from ..surface import Surface
from .check import check_products
from .measure import Bench, Benchmark, Metrics, Plan, times
from .result import Case, Finding, Scalar

CHANNELS, SPATIAL = 16, 64
LIST_LENGTH = 16
PERCENTILES = (99, 99.9)  # besides the median and the 95th, which every figure has

Call = Callable[[Kernel, Any], Callable[[], object]]


def _request(kernel: Kernel, _x: Any) -> Callable[[], object]:
    inputs = {"x": Surface(kernel.surface_bytes)}
    outputs = {"y": Surface(kernel.surface_bytes)}
    return kernel.bind(inputs, outputs).evaluate


def _kernel(kernel: Kernel, _x: Any) -> Callable[[], object]:
    return kernel.evaluate


def _arrays(kernel: Kernel, x: Any) -> Callable[[], object]:
    return partial(kernel, x)


def _list(kernel: Kernel, _x: Any) -> Callable[[], object]:
    requests = [
        kernel.bind({"x": Surface(kernel.surface_bytes)}, {"y": Surface(kernel.surface_bytes)})
        for _ in range(LIST_LENGTH)
    ]
    return partial(evaluate, requests)


#: What is called, how, and how many evaluations a call makes.
CALLS: dict[str, tuple[str, Call, int]] = {
    "request": ("Request.evaluate", _request, 1),
    "kernel": ("Kernel.evaluate", _kernel, 1),
    "arrays": ("Kernel(x): copies in and out", _arrays, 1),
    f"list_of_{LIST_LENGTH}": ("pyane.evaluate(requests), for each", _list, LIST_LENGTH),
}


def _plans(bench: Bench) -> Iterable[Plan]:
    for name, (what, call, n) in CALLS.items():
        parameters: dict[str, Scalar] = {
            "channels": CHANNELS,
            "spatial": SPATIAL,
            "call": what,
            "evaluations": n,
        }
        yield Plan(name, parameters, partial(_measure, bench, call, n))


def _measure(bench: Bench, call: Call, n: int) -> Metrics:
    @mil.program(x=mil.fp16[1, CHANNELS, 1, SPATIAL])
    def program(x: mil.Var) -> mil.Var:
        return mil.add(x=x, y=np.float16(1.5), name="y")

    x = bench.rng("dispatch").uniform(-1, 1, (1, CHANNELS, 1, SPATIAL)).astype(np.float16)
    with bench.compile(program) as kernel:
        exact = x.astype(np.float64) + 1.5
        kernel.inputs["x"][...] = x
        kernel.evaluate()
        y = kernel.outputs["y"]
        check_products(y, exact, np.abs(exact), 1, bench.facts.numerics, "y")
        seconds = bench.sample(call(kernel, x), times_as_many=10)
    return {"time": times([s / n for s in seconds], "us")}


def _findings(_bench: Bench, cases: Sequence[Case]) -> Iterable[Finding]:
    for case in cases:
        if case.status != "ok":
            continue
        samples = case.metrics["time"].samples
        for percentile in PERCENTILES:
            if len(samples) < 100 / (100 - percentile):
                continue  # None of them lies beyond.
            value = float(np.percentile(samples, percentile))
            rule = f"of {len(samples)} samples, linear between neighbours"
            yield Finding(f"{case.name} p{percentile}", round(value, 3), "us", rule)


BENCHMARK = Benchmark("dispatch", "the smallest kernel: what a call costs", _plans, _findings)
