"""Benchmarks that anyone can run (`pyane bench`), and results to hand in and to compare.

`result` is what a file holds, `runner.Runner` measures, `compare.compare` compares, `upstream` reads
outputs of maderix/ANE. docs/benchmarks.md says what each benchmark measures.
"""

from __future__ import annotations

from .result import (
    Benchmark,
    Case,
    DeviceFacts,
    Finding,
    HostFacts,
    Metric,
    Result,
    Software,
    load,
    schema,
    validate,
)
from .settings import Settings

__all__ = [
    "Benchmark",
    "Case",
    "DeviceFacts",
    "Finding",
    "HostFacts",
    "Metric",
    "Result",
    "Settings",
    "Software",
    "load",
    "schema",
    "validate",
]
