"""Benchmarks that anyone can run (`pyane bench`), and results to hand in and to compare.

docs/benchmarks.md says what each measures; `result` holds what a file of results holds.
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

__all__ = [
    "Benchmark",
    "Case",
    "DeviceFacts",
    "Finding",
    "HostFacts",
    "Metric",
    "Result",
    "Software",
    "load",
    "schema",
    "validate",
]
