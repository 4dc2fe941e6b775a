"""Ceilings of this machine, on registers, caches and memory. See cpp/pyane/base/ceilings.h."""

from __future__ import annotations

from collections.abc import Iterator

from pyane._core import base

from .harness import Row, Settings, rate, take_turns

L2_BYTES = 2**19  # Per thread: fits into the second-level cache of everything since 2017 or so.
MEMORY_BYTES = 2**28  # More than any last-level cache here.


def rows(settings: Settings) -> Iterator[Row]:
    for n in settings.threads:
        subjects = {
            "fp32 multiply-adds on registers, GFLOP/s": lambda n=n: base.measure_fma_gflops(n),
            "int8 dot products on registers, GOP/s": lambda n=n: base.measure_int8_gops(n),
            "fp16 to fp32 to fp16, second-level cache, GB/s": lambda n=n: (
                base.measure_conversion_gbps(n * L2_BYTES, n)
            ),
            "fp16 to fp32 to fp16, memory, GB/s": lambda n=n: base.measure_conversion_gbps(
                MEMORY_BYTES, n
            ),
            "memcpy, second-level cache, GB/s": lambda n=n: base.measure_copy_gbps(n * L2_BYTES, n),
            "memcpy, memory, GB/s": lambda n=n: base.measure_copy_gbps(MEMORY_BYTES, n),
            "triad past the caches, GB/s": lambda n=n: base.measure_triad_gbps(MEMORY_BYTES, n),
        }
        found = take_turns(subjects, settings.rounds(7))
        for name, samples in found.items():
            work, _, unit = name.rpartition(", ")
            yield Row(work, n, rate(samples, unit))
