"""Whether the quality of service of a call changes its time. Engines only.

m5result.md of maderix/ANE (M5) saw no effect from 0 to 63; macOS names the five values tried here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from .. import device as open_device
from .measure import Bench, Benchmark, Metrics, Plan, Skip
from .programs import conv_chain

#: <sys/qos.h>.
CLASSES = {
    "background": 9,
    "utility": 17,
    "default": 21,
    "user-initiated": 25,
    "user-interactive": 33,
}
CHANNELS, SPATIAL, DEPTH = 512, 64, 32


def _plans(bench: Bench) -> Iterable[Plan]:
    for name, qos in CLASSES.items():
        parameters = {"qos": qos, "depth": DEPTH, "channels": CHANNELS, "spatial": SPATIAL}
        yield Plan(name, parameters, partial(_measure, bench, qos))


def _measure(bench: Bench, qos: int) -> Metrics:
    if bench.device.name != "ane":
        msg = f"the {bench.facts.kind} takes no notice of quality of service"
        raise Skip(msg)
    served = replace(bench, device=open_device("ane", qos=qos))
    chain = conv_chain(served, "qos", CHANNELS, SPATIAL, DEPTH)
    with served.compile(chain.program, chain.weights) as kernel:
        chain.check(kernel, served.facts.numerics)
        return served.rate_metrics(served.sample(kernel.evaluate), chain.flops)


BENCHMARK = Benchmark("qos", "quality of service of a call; engines only", _plans)
