"""Which numbers of channels compile, from 1 to 4096, and why the others do not.

The community's report tried 52 values, which it does not list, and on M3 Pro only 512 compiled. Its
programs write weight records by hand, with a size that is right for 512 channels alone
(docs/ane_constraints.md, ANE091). So every number is tried twice: with records as Apple writes them,
and with those. If the reading is right, an engine takes all of the former.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from .. import mil
from .measure import Bench, Benchmark, Metrics, Plan, times
from .programs import random_product, weight_files
from .result import Case, Finding
from .settings import RECORDS

#: 52 values: powers of two and their neighbours, multiples of 16 and of other things, primes.
CHANNELS = (
    *(1, 2, 3, 4, 5, 7, 8, 12, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 80, 96, 112),
    *(127, 128, 129, 144, 160, 192, 224, 255, 256, 257, 288, 320, 384, 448, 511, 512, 513),
    *(576, 640, 768, 896, 1000, 1024, 1280, 1536, 1792, 2048, 2560, 3072, 4096),
)
SPATIAL = 64


def _plans(bench: Bench) -> Iterable[Plan]:
    for records in RECORDS:
        for channels in CHANNELS:
            name = f"{records}_{channels}"
            parameters = {"channels": channels, "spatial": SPATIAL, "weight_records": records}
            yield Plan(name, parameters, partial(_measure, bench, channels, records))


def _measure(bench: Bench, channels: int, records: str) -> Metrics:
    product = random_product(bench, f"channels_{channels}", channels, channels, SPATIAL)

    def body(x: mil.Var) -> mil.Var:
        # In the weight file however small it is: it is the file that is tried.
        weight = mil.const(
            val=product.w.reshape(channels, channels, 1, 1), path="@model_path/weights/weight.bin"
        )
        return mil.conv(x=x, weight=weight, name="y")

    program = mil.build(body, {"x": mil.fp16[1, channels, 1, SPATIAL]})
    with bench.compile(program, weight_files(program, records)) as kernel:
        kernel.inputs["x"][...] = product.x
        kernel.evaluate()
        product.check(kernel.outputs["y"][0, :, 0], bench.facts.numerics)
        return {"time": times(bench.sample(kernel.evaluate, part=0.2), "us")}


def _findings(_bench: Bench, cases: Sequence[Case]) -> Iterable[Finding]:
    for records in RECORDS:
        tried = [case for case in cases if case.parameters["weight_records"] == records]
        taken = [str(case.parameters["channels"]) for case in tried if case.status == "ok"]
        told = "all" if len(taken) == len(tried) else ", ".join(taken[:12]) or "none"
        if len(taken) > 12 and told != "all":
            told += ", ..."
        rule = f"{len(taken)} of {len(tried)} compile and compute rightly"
        yield Finding(f"channels with {records} records", told, None, rule)


BENCHMARK = Benchmark(
    "channels",
    "which of 52 numbers of channels compile, and why the others do not",
    _plans,
    _findings,
)
