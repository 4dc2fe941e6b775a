"""The same product written as a convolution, a linear layer, a matmul, and one of two inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np

from .. import mil
from .measure import Bench, Benchmark, Metrics, Plan, form_ratios
from .programs import Product, random_product, weight_files
from .result import Case, Finding, Scalar

#: (out channels N, in channels K, positions S): square ones, and those of the reports' model.
SIZES = (
    (256, 256, 64),
    (512, 512, 64),
    (1024, 1024, 64),
    (768, 768, 256),
    (2048, 768, 256),
    (768, 2048, 256),
    (2048, 2048, 256),
    (4096, 4096, 256),
)
QUICK_SIZES = SIZES[1:6]


def _conv(product: Product) -> mil.Program:
    n, k = product.w.shape

    @mil.program(x=mil.fp16[1, k, 1, product.x.shape[3]])
    def program(x: mil.Var) -> mil.Var:
        return mil.conv(x=x, weight=product.w.reshape(n, k, 1, 1), name="y")

    return program


def _linear(product: Product) -> mil.Program:
    @mil.program(x=mil.fp16[1, product.x.shape[3], product.w.shape[1]])
    def program(x: mil.Var) -> mil.Var:
        return mil.linear(x=x, weight=product.w, name="y")

    return program


def _matmul(product: Product) -> mil.Program:
    @mil.program(x=mil.fp16[1, product.w.shape[1], product.x.shape[3]])
    def program(x: mil.Var) -> mil.Var:
        return mil.matmul(x=product.w[None], y=x, name="y")

    return program


def _dynamic(product: Product) -> mil.Program:
    n, k = product.w.shape

    @mil.program(w=mil.fp16[1, n, k], x=mil.fp16[1, k, product.x.shape[3]])
    def program(w: mil.Var, x: mil.Var) -> mil.Var:
        return mil.matmul(x=w, y=x, name="y")

    return program


FORMS: dict[str, Callable[[Product], mil.Program]] = {
    "conv": _conv,
    "linear": _linear,
    "matmul": _matmul,
    "dynamic": _dynamic,
}


def _plans(bench: Bench) -> Iterable[Plan]:
    for n, k, spatial in QUICK_SIZES if bench.settings.quick else SIZES:
        for form in FORMS:
            name = f"{form}_{n}x{k}_sp{spatial}"
            parameters: dict[str, Scalar] = {"form": form, "out": n, "in": k, "spatial": spatial}
            yield Plan(name, parameters, partial(_measure, bench, form, n, k, spatial))


def _measure(bench: Bench, form: str, n: int, k: int, spatial: int) -> Metrics:
    product = random_product(bench, f"{n}x{k}x{spatial}", n, k, spatial)
    program = FORMS[form](product)
    with bench.compile(program, weight_files(program, bench.settings.weight_records)) as kernel:
        x = product.x[0, :, 0]
        kernel.inputs["x"][...] = (x.T if form == "linear" else x).reshape(kernel.inputs["x"].shape)
        if form == "dynamic":
            kernel.inputs["w"][...] = product.w[None]
        kernel.evaluate()
        y = np.squeeze(kernel.outputs["y"])
        product.check(y.T if form == "linear" else y, bench.facts.numerics)
        return bench.rate_metrics(bench.sample(kernel.evaluate), product.flops)


def _findings(bench: Bench, cases: Sequence[Case]) -> Iterable[Finding]:
    yield from bench.peak_finding()
    yield from form_ratios(cases, "conv", plain_is_over=True)


BENCHMARK = Benchmark(
    "conv-vs-matmul", "one product as conv, linear, matmul, and of two inputs", _plans, _findings
)
