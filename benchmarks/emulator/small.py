"""What a call costs: the smallest kernel, an addition on 48 KB, from Python and inside a list of requests."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

import pyane
from pyane import mil

from .harness import Row, Settings, seconds, take_turns, threads, timer

SHAPE = (1, 96, 1, 256)  # 48 KB of fp16.
IN_A_LIST = 64
TARGET_CALL, TARGET_LISTED = 15e-6, 5e-6


def rows(settings: Settings) -> Iterator[Row]:
    @mil.program(a=mil.fp16[SHAPE], b=mil.fp16[SHAPE])
    def add(a: mil.Var, b: mil.Var) -> mil.Var:
        return mil.add(x=a, y=b, name="y")

    kernel = pyane.device("emulator").compile(add)
    rng = np.random.default_rng(0)
    for array in kernel.inputs.values():
        array[...] = rng.standard_normal(SHAPE, np.float32)
    kernel.evaluate()
    if not np.array_equal(kernel.outputs["y"], kernel.inputs["a"] + kernel.inputs["b"]):
        sys.exit("small: wrong sums: not timed")
    surfaces = [{name: pyane.Surface(2 * 96 * 256) for name in ("a", "b", "y")} for _ in range(4)]
    requests = [
        kernel.bind({"a": s["a"], "b": s["b"]}, {"y": s["y"]})
        for s in (surfaces[i % len(surfaces)] for i in range(IN_A_LIST))
    ]
    for n in settings.threads:
        with threads(n):
            found = take_turns(
                {
                    "call": timer(kernel.evaluate),
                    "list": timer(lambda: pyane.evaluate(requests)),
                },
                settings.rounds(40),
            )
        yield Row("add on 48 KB, a call", n, seconds(found["call"]), bound=TARGET_CALL)
        listed = seconds(found["list"]).scaled(1 / IN_A_LIST, "s")
        yield Row("add on 48 KB, in a list of requests", n, listed, bound=TARGET_LISTED)
    kernel.unload()
