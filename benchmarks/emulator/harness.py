"""What the benchmarks of the emulator share: measuring in turns, and rows of results.

Whatever is compared takes turns in one run, so that a busy machine disturbs both alike; a ratio is that
of the medians, and that of the best beside it.
"""

from __future__ import annotations

import importlib.util
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import pyane
from pyane._core import base

Subject = Callable[[], float]
"""Measures once: seconds, or a rate."""


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        threads: Numbers of threads, for rows that depend on them.
        quick: Fewer rounds, and fewer shapes where there are many: to see that all works.
    """

    threads: tuple[int, ...] = (1, 2, 4)
    quick: bool = False

    def rounds(self, n: int) -> int:
        return max(3, n // 4) if self.quick else n


@dataclass(frozen=True)
class Figure:
    """Samples of one quantity. `better` is "lower" (times) or "higher" (rates)."""

    samples: tuple[float, ...]
    unit: str
    better: str = "lower"

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def best(self) -> float:
        return min(self.samples) if self.better == "lower" else max(self.samples)

    def scaled(self, factor: float, unit: str) -> Figure:
        return Figure(tuple(factor * s for s in self.samples), unit, self.better)

    def as_rate(self, amount: float, unit: str) -> Figure:
        """Of a time in seconds: amount per second."""
        return Figure(tuple(amount / s for s in self.samples), unit, "higher")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        work: What was done.
        threads: On how many threads.
        pyane: Of pyane; None when nothing was measured, which `note` explains.
        against: Its peer or ceiling; "" when the target is a number of the figure itself.
        reference: Of that.
        bound: Target, as a ratio or in the figure's unit; None: told for information.
        at_most: Whether the target is an upper bound.
        note: For people.
    """

    work: str
    threads: int
    pyane: Figure | None
    against: str = ""
    reference: Figure | None = None
    bound: float | None = None
    at_most: bool = True
    note: str = ""
    details: dict[str, object] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        if self.pyane is None or self.reference is None:
            return None
        return self.pyane.median / self.reference.median

    @property
    def best_ratio(self) -> float | None:
        if self.pyane is None or self.reference is None:
            return None
        return self.pyane.best / self.reference.best

    @property
    def is_met(self) -> bool | None:
        """By the medians; None without target or measurement."""
        value = self.pyane.median if self.pyane and not self.against else self.ratio
        if value is None or self.bound is None:
            return None
        return value <= self.bound if self.at_most else value >= self.bound


def skipped(work: str, why: str, threads: int = 0) -> Row:
    """A row that says why nothing was measured."""
    return Row(work, threads, None, note=f"skipped: {why}")


PAUSE_SECONDS = 20e-3
WARM_SECONDS = 3e-3


def timer(call: Callable[[], object], *, seconds: float = 1e-2) -> Subject:
    """Seconds of a call, over as many calls as take `seconds`; warm after this returns."""
    call()
    start = time.perf_counter()
    call()
    calls = max(1, round(seconds / max(time.perf_counter() - start, 1e-7)))

    def subject() -> float:
        # Who had the turn before may still hold the cores: PyTorch's threads, and ONNX Runtime's, look
        # for more work for some ms.
        time.sleep(PAUSE_SECONDS)
        # In a model calls follow each other, so that threads are awake.
        awake = time.perf_counter() + WARM_SECONDS
        while time.perf_counter() < awake:
            call()
        begin = time.perf_counter()
        for _ in range(calls):
            call()
        return (time.perf_counter() - begin) / calls

    return subject


def take_turns(subjects: Mapping[str, Subject], rounds: int) -> dict[str, list[float]]:
    """Samples by name: every subject once in each round."""
    samples: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, subject in subjects.items():
            samples[name].append(subject())
    return samples


def seconds(samples: Sequence[float]) -> Figure:
    return Figure(tuple(samples), "s")


def rate(samples: Sequence[float], unit: str) -> Figure:
    return Figure(tuple(samples), unit, "higher")


@contextmanager
def threads(n: int) -> Iterator[None]:
    """pyane on n threads inside."""
    before = pyane.num_threads()
    pyane.set_num_threads(n)
    try:
        yield
    finally:
        pyane.set_num_threads(before)


def against_fma(
    work: str,
    n_threads: int,
    call: Callable[[], object],
    flops: float,
    target: float | None,
    rounds: int,
) -> Row:
    """GFLOP/s of a call, if possible `target` of the multiply-add roof of as many threads."""
    with threads(n_threads):
        found = take_turns(
            {"pyane": timer(call), "roof": lambda: base.measure_fma_gflops(n_threads)}, rounds
        )
    pyane_rate = seconds(found["pyane"]).as_rate(1e-9 * flops, "GFLOP/s")
    roof = rate(found["roof"], "GFLOP/s")
    return Row(work, n_threads, pyane_rate, "FMA roof", roof, target, at_most=False)


def beside_torch(
    work: str,
    n_threads: int,
    call: Callable[[], object],
    flops: float,
    torch_call: Callable[[], object],
    rounds: int,
) -> Row:
    """GFLOP/s of a call and of PyTorch's for the same in fp32, for information: what a library of
    matrix products reaches of the roof on this machine."""
    import torch  # noqa: PLC0415 -- optional

    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        with threads(n_threads):
            found = take_turns({"pyane": timer(call), "torch": timer(torch_call)}, rounds)
    finally:
        torch.set_num_threads(before)
    ours, theirs = (
        seconds(found[name]).as_rate(1e-9 * flops, "GFLOP/s") for name in ("pyane", "torch")
    )
    return Row(work, n_threads, ours, "PyTorch fp32", theirs, at_most=False)


def has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    )
    return done.stdout.strip() or "unknown"


def facts() -> dict[str, object]:
    """Of the machine and of what was measured."""
    return {
        "cpu": cpu_name(),
        "cores": base.usable_cores(),
        "isa": base.isa(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pyane": pyane.__version__,
        "commit": commit(),
    }
