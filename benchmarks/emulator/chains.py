"""Elementwise chains: GB/s of what they must read and write, beside the conversion fp16 to fp32 to fp16
over as much memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

import pyane
from pyane import mil
from pyane._core import base
from pyane.llama.kernels import building_blocks

from .harness import Row, Settings, rate, seconds, take_turns, threads, timer

SHAPES = ((768, 256), (2048, 256))
EPS = 1e-5
TARGET = 0.7


def programs(channels: int, positions: int) -> dict[str, mil.Program]:
    shape = (1, channels, 1, positions)

    @mil.program(x=mil.fp16[shape], w=mil.fp16[1, 1, 1, channels])
    def rmsnorm(x: mil.Var, w: mil.Var) -> mil.Var:
        return building_blocks.rmsnorm(x, w, EPS, name="y")

    @mil.program(a=mil.fp16[shape], b=mil.fp16[shape])
    def silu_gate(a: mil.Var, b: mil.Var) -> mil.Var:
        return mil.mul(x=mil.silu(x=a), y=b, name="y")

    @mil.program(x=mil.fp16[1, 1, channels, positions])
    def softmax(x: mil.Var) -> mil.Var:
        return mil.softmax(x=x, axis=-1, name="y")

    return {"rmsnorm": rmsnorm, "silu gate": silu_gate, "softmax": softmax}


def check(name: str, inputs: dict[str, np.ndarray], y: np.ndarray) -> None:
    wide = {key: value.astype(np.float64) for key, value in inputs.items()}
    if name == "rmsnorm":
        x, w = wide["x"], wide["w"].reshape(-1, 1, 1)
        exact = w * x / np.sqrt((x * x).mean(1, keepdims=True) + EPS)
    elif name == "silu gate":
        exact = wide["a"] / (1 + np.exp(-wide["a"])) * wide["b"]
    else:
        e = np.exp(wide["x"] - wide["x"].max(-1, keepdims=True))
        exact = e / e.sum(-1, keepdims=True)
    # At most ten roundings to fp16 between inputs and result.
    error = (np.abs(y - exact) / (np.abs(exact) + 2.0**-14)).max()
    if not error <= 10 * 2.0**-11:
        sys.exit(f"chains: {name} is off by {error:.1e}: not timed")


def rows(settings: Settings) -> Iterator[Row]:
    for channels, positions in SHAPES:
        for name, made in programs(channels, positions).items():
            kernel = pyane.device("emulator").compile(made)
            rng = np.random.default_rng(0)
            for array in kernel.inputs.values():
                array[...] = rng.standard_normal(array.shape, np.float32)
            kernel.evaluate()
            check(name, dict(kernel.inputs), kernel.outputs["y"])
            n_bytes = sum(a.nbytes for a in (*kernel.inputs.values(), *kernel.outputs.values()))
            for n in settings.threads:
                with threads(n):
                    found = take_turns(
                        {
                            "pyane": timer(kernel.evaluate),
                            "roof": lambda n_bytes=n_bytes, n=n: base.measure_conversion_gbps(
                                n_bytes, n
                            ),
                        },
                        settings.rounds(20),
                    )
                yield Row(
                    f"{name} [{channels}, {positions}]",
                    n,
                    seconds(found["pyane"]).as_rate(1e-9 * n_bytes, "GB/s"),
                    "conversion",
                    rate(found["roof"], "GB/s"),
                    TARGET,
                    at_most=False,
                )
            kernel.unload()
