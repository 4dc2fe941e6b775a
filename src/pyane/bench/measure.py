"""How one case is measured: what a benchmark gets, and what it gives.

A benchmark is a function that yields a `Plan` for each of its cases. A plan's `measure` compiles,
compares the result with what it should be (`check`), and only then times.
"""

from __future__ import annotations

import gc
import time
import warnings
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import chips
from .._core import base as _base
from ..errors import BlobWarning
from .result import Case, Finding, Metric

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..device import Device, ProgramLike
    from ..kernel import Kernel
    from .result import DeviceFacts, Scalar
    from .settings import Settings

Metrics = Mapping[str, Metric]


class WrongResult(Exception):
    """A program gave numbers that it should not; it is not timed."""


class Skip(Exception):
    """A case that makes no sense on this device; says why."""


@dataclass(frozen=True)
class Plan:
    """One case before it is measured.

    Attributes:
        name: Unique in the benchmark.
        parameters: As in `result.Case`.
        measure: Checks and measures.
    """

    name: str
    parameters: Mapping[str, Scalar]
    measure: Callable[[], Metrics]


def no_findings(_bench: Bench, _cases: Sequence[Case]) -> Iterable[Finding]:
    """Of a benchmark whose cases say it all."""
    return ()


@dataclass(frozen=True)
class Benchmark:
    """A benchmark that can be run.

    Attributes:
        name: For the command line.
        what: In one line.
        plans: Its cases.
        findings: What follows from them.
    """

    name: str
    what: str
    plans: Callable[[Bench], Iterable[Plan]]
    findings: Callable[[Bench, Sequence[Case]], Iterable[Finding]] = no_findings


@dataclass
class Bench:
    """What a benchmark measures with.

    Attributes:
        device: Where programs run.
        facts: What that is.
        settings: Sizes and durations.
    """

    device: Device
    facts: DeviceFacts
    settings: Settings
    _last_rate: float = field(default=0.0, init=False)  # FLOP/s

    def rng(self, name: str) -> np.random.Generator:
        """Random numbers of a case: the same in every run with the same seed."""
        return np.random.default_rng([self.settings.seed, zlib.crc32(name.encode())])

    def compile(self, program: ProgramLike, weights: Mapping[str, Any] | None = None) -> Kernel:
        """`Device.compile`, without warnings about weight files that are wrong on purpose."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BlobWarning)
            return self.device.compile(program, weights, source_name="benchmark")

    def sample(
        self, action: Callable[[], object], *, part: float = 1.0, times_as_many: int = 1
    ) -> list[float]:
        """Seconds that each of many calls takes.

        One to three calls that do not count come first. Python's garbage collector waits.

        Args:
            action: What to time.
            part: Of the settings' seconds, to be spent on it.
            times_as_many: Samples at most, as a multiple of the settings'.
        """
        wanted = self.settings
        seconds = part * wanted.seconds_per_case
        with _no_collection():
            begin = time.perf_counter()
            for n in range(3):
                if n and time.perf_counter() - begin > seconds / 4:
                    break
                action()
            times: list[float] = []
            begin = time.perf_counter()
            while len(times) < times_as_many * wanted.max_runs:
                start = time.perf_counter()
                is_enough = len(times) >= wanted.min_runs and start - begin > seconds
                if is_enough or (times and start - begin > wanted.seconds_at_most):
                    break
                action()
                times.append(time.perf_counter() - start)
        return times

    def expect(self, flops: float) -> None:
        """Tell what a case is going to evaluate, before it compiles.

        Raises:
            Skip: At the rate of the case before it would take longer than the settings allow.
        """
        if not self._last_rate:
            return
        runs = self.settings.min_runs + 2
        seconds, limit = runs * flops / self._last_rate, self.settings.seconds_at_most
        if seconds > limit:
            rate = self._last_rate / 1e9
            msg = (
                f"would take {seconds:.0f} s for {runs} runs at {rate:.3g} GFLOP/s, as the case "
                f"before; the limit is {limit:g} s"
            )
            raise Skip(msg)

    @cached_property
    def peak(self) -> tuple[float, str] | None:
        """What a rate is a percentage of, in TFLOP/s, and what that is.

        Of an engine its chip's profile; of an emulator what the CPU could do, measured now: never
        the chip that it imitates. None when not known.
        """
        if self.facts.kind == "emulator":
            threads = _base.num_threads()
            ceiling = max(_base.measure_fma_gflops() for _ in range(3)) * threads / 1e3
            return ceiling, f"this CPU's fp32 multiply-adds on {threads} threads, measured"
        if not self.facts.is_engine or self.facts.chip is None:
            return None
        fact = chips.find(self.facts.chip).rates["peak_fp16_tflops"]
        if not isinstance(fact.value, float):
            return None
        return fact.value, f"fp16 peak of {self.facts.product}, {fact.status}: {fact.source}"

    def rate_metrics(self, seconds: Sequence[float], flops: float) -> dict[str, Metric]:
        """Time, rate, and percent of `peak`, of calls that each make `flops` operations."""
        rates = [flops / s / 1e12 for s in seconds]
        self._last_rate = 1e12 * float(np.median(rates))
        metrics = {
            "time": times(seconds, "ms"),
            "rate": rate("TFLOP/s", rates),
        }
        if self.peak is not None:
            metrics["of_peak"] = rate("%", [100 * r / self.peak[0] for r in rates])
        return metrics

    def peak_finding(self) -> tuple[Finding, ...]:
        """What percentages in `rate_metrics` are of."""
        if self.peak is None:
            return ()
        return (Finding("peak", round(self.peak[0], 4), "TFLOP/s", self.peak[1]),)


def form_ratios(cases: Sequence[Case], plain: str, *, plain_is_over: bool) -> Iterator[Finding]:
    """Ratios of median rates, of the other forms to `plain` (or of it to them), at each size.

    Args:
        cases: Named "form_size".
        plain: The form that the others are compared with.
        plain_is_over: Whether the ratio is plain / other.
    """
    rates = {case.name: case.metrics["rate"].median for case in cases if case.status == "ok"}
    for name, rate in rates.items():
        form, _, size = name.partition("_")
        base = rates.get(f"{plain}_{size}")
        if form == plain or not base:
            continue
        over, under = (plain, form) if plain_is_over else (form, plain)
        ratio = base / rate if plain_is_over else rate / base
        yield Finding(f"{over} over {under} {size}", round(ratio, 3), "x", "ratio of median rates")


_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6}


def times(seconds: Sequence[float], unit: str) -> Metric:
    """Durations as a metric in "s", "ms" or "us"."""
    return Metric(unit, "lower", tuple(_short(s * _PER_SECOND[unit]) for s in seconds))


def gbps(seconds: Sequence[float], n_bytes: float) -> Metric:
    """Rates of moving `n_bytes` as a metric, 1 GB = 1e9 bytes."""
    return rate("GB/s", [n_bytes / s / 1e9 for s in seconds])


def rate(unit: str, values: Sequence[float]) -> Metric:
    """Rates as a metric."""
    return Metric(unit, "higher", tuple(map(_short, values)))


def _short(value: float) -> float:
    """Six digits: finer than any clock here, and a third of the file."""
    return float(f"{value:.6g}")


@contextmanager
def _no_collection() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
