"""The training step of stories110m, 256 positions, Adam included, beside PyTorch's, JAX's and its floor."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator

from pyane._core import base
from pyane.llama.flops import training_flops

from .harness import Figure, Row, Settings, rate, seconds, skipped, take_turns
from .training_steps import CONFIG, POSITIONS
from .worker import Worker

# What pyane may take of their time; None: told for information.
PEERS = {
    "torch-eager": ("torch", 0.55),
    "torch-compile": ("torch", 0.9),
    "jax-jit": ("jax", 0.9),
    "torch-eager-bf16": ("torch", 1.0),
}
FLOOR_TARGET = 1.35
# Adam reads weights, gradients and both moments, and writes all but the gradients, in fp32.
ADAM_BYTES = 7 * 4 * CONFIG.n_parameters
MEMORY_BYTES = 2**28
# fp16 storage and bf16 products against fp32, at a loss of ln(32000) = 10.4.
LOSS_TOLERANCE = 0.02

WORK = "training step, stories110m"


def check(workers: list[Worker]) -> None:
    losses = {worker.name: worker.facts["loss"] for worker in workers}
    if max(losses.values()) - min(losses.values()) > LOSS_TOLERANCE:
        sys.exit(
            f"training: first losses differ by more than {LOSS_TOLERANCE}, {losses}: not timed"
        )


def floor(found: dict[str, list[float]]) -> Figure:
    """Seconds: its products at the multiply-add roof, then Adam's traffic at memory's bandwidth."""
    flops = training_flops(CONFIG, 1, POSITIONS, cls_on_ane=False).total
    roofs, memory = rate(found["fma"], "GFLOP/s"), rate(found["triad"], "GB/s")
    return Figure(
        tuple(
            1e-9 * flops / f + 1e-9 * ADAM_BYTES / m
            for f, m in zip(roofs.samples, memory.samples, strict=True)
        ),
        "s",
    )


def ours(settings: Settings, n: int) -> Iterator[Row]:
    """Both pipelines, and the floor."""
    with (
        Worker("training_steps", "pyane-dynamic", n) as dynamic,
        Worker("training_steps", "pyane-static", n) as static,
    ):
        check([dynamic, static])
        found = take_turns(
            {
                "dynamic": dynamic,
                "static": static,
                "fma": lambda: base.measure_fma_gflops(n),
                "triad": lambda: base.measure_triad_gbps(MEMORY_BYTES, n),
            },
            settings.rounds(9),
        )
    mine = seconds(found["dynamic"])
    yield Row(f"{WORK}, dynamic", n, mine, "its floor", floor(found), FLOOR_TARGET)
    compiling = static.parts["upload"]
    without = [whole - part for whole, part in zip(static.parts["seconds"], compiling, strict=True)]
    yield Row(f"{WORK}, static, without compiling", n, seconds(without), "dynamic", mine, 1.0)
    yield Row("recompile the static pipeline's 60 kernels", n, seconds(compiling), bound=0.8)


def rows(settings: Settings) -> Iterator[Row]:
    for n in settings.threads:
        yield from ours(settings, n)
        for peer, (module, target) in PEERS.items():
            if importlib.util.find_spec(module) is None:
                yield skipped(f"{WORK} beside {peer}", f"{module} is not installed", n)
                continue
            with (
                Worker("training_steps", "pyane-dynamic", n) as mine,
                Worker("training_steps", peer, n) as theirs,
            ):
                check([mine, theirs])
                found = take_turns({"mine": mine, "theirs": theirs}, settings.rounds(9))
                engine = str(theirs.facts["engine"])
            yield Row(
                f"{WORK}, dynamic",
                n,
                seconds(found["mine"]),
                engine,
                seconds(found["theirs"]),
                target,
            )
