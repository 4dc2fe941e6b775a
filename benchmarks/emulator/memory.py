"""Resident memory: of training, and of weights packed for the matrix kernels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .harness import Figure, Row, Settings
from .training_steps import Step
from .worker import Worker, resident

TARGET_TRAINING = 2.4
# fp32 panels of what a program gives as fp16: once, and some room for the rest of a plan.
TARGET_PACKED = 1.1


def packing(_threads: int) -> tuple[dict[str, Any], Step]:
    """Compiles the 128 convolutions of `peak`, and evaluates them."""
    import pyane  # noqa: PLC0415 - only where it runs

    from .peak import program  # noqa: PLC0415

    small, _ = program(64, depth=1)
    pyane.device("emulator").compile(small).evaluate()  # Threads, arenas.
    deep, weights = program(64)
    text, files = str(deep), deep.weights
    before = resident()["now"]
    kernel = pyane.device("emulator").compile(text, files)
    kernel.evaluate()
    grown = resident()["now"] - before
    kept = [kernel]

    def step() -> None:
        kept[0].evaluate()

    return {"grown": grown, "packed": 2 * weights.nbytes}, step


SUBJECTS = {"packing": packing}


def rows(settings: Settings) -> Iterator[Row]:
    n = settings.threads[-1]
    for pipeline in ("dynamic", "static"):
        with Worker("training_steps", f"pyane-{pipeline}", n) as worker:
            for _ in range(3):
                worker()
            peak = 1e-9 * worker.memory()["peak"]
        yield Row(
            f"training stories110m, {pipeline}: most resident",
            n,
            Figure((peak,), "GB"),
            bound=TARGET_TRAINING if pipeline == "dynamic" else None,
        )
    with Worker("memory", "packing", n) as worker:
        grown, packed = (Figure((1e-6 * worker.facts[k],), "MB") for k in ("grown", "packed"))
    yield Row("compiled 128 convolutions 512x512", n, grown, "as fp32", packed, TARGET_PACKED)
