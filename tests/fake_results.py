"""Benchmark results with made-up figures, in the form of `pyane bench`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyane.bench import (
    Benchmark,
    Case,
    DeviceFacts,
    Finding,
    HostFacts,
    Metric,
    Result,
    Software,
)

PRODUCTS = {"m2max": "M2 Max", "m4pro": "M4 Pro", "m4max": "M4 Max", "m5": "M5"}


def metric(unit: str, *samples: float, better: str = "higher") -> Metric:
    return Metric(unit, better, samples)


def training(
    ms: float,
    *,
    preset: str = "stories110m",
    pipeline: str = "static",
    ane_ms: float = 10.0,
    compile_ms: float = 3500.0,
    tflops: float = 1.5,
    percent: float = 8.0,
) -> Case:
    return Case(
        f"{preset}_{pipeline}",
        {"preset": preset, "pipeline": pipeline, "steps": 20},
        metrics={
            # The median is `ms`; mean and smallest are not.
            "time": metric("ms", ms * 0.9, ms, ms * 3, better="lower"),
            "ane_time": metric("ms", ane_ms, better="lower"),
            "compile": metric("ms", compile_ms, better="lower"),
            "rate": metric("TFLOP/s", tflops),
            "utilisation": metric("%", percent),
        },
    )


def peak(rates: Mapping[int, float], *, depth: int = 128, channels: int = 512) -> list[Case]:
    """Cases by spatial extent."""
    return [
        Case(
            f"{depth}x{channels}_sp{spatial}",
            {"depth": depth, "channels": channels, "spatial": spatial},
            metrics={"time": metric("ms", 1.0, better="lower"), "rate": metric("TFLOP/s", rate)},
        )
        for spatial, rate in rates.items()
    ]


def refused(name: str, reason: str, parameters: Mapping[str, Any] | None = None) -> Case:
    return Case(name, parameters or {}, "refused", reason)


def sustained(tflops: float, percent: float, spatial: int = 64) -> Case:
    return Case(
        f"128x512_sp{spatial}",
        {"depth": 128, "channels": 512, "spatial": spatial, "window_s": 5.0},
        metrics={
            "rate": metric("TFLOP/s", tflops * 1.1),
            "whole_rate": metric("TFLOP/s", tflops),
            "of_peak": metric("%", percent),
        },
    )


def result(
    chip: str | None = "m4max",
    *,
    kind: str = "ane",
    training: Sequence[Case] = (),
    peak: Sequence[Case] = (),
    sustained: Sequence[Case] = (),
    others: Sequence[Benchmark] = (),
    contributor: str | None = None,
    notes: str | None = None,
    cpu: str = "Made-up CPU",
    threads: int = 4,
    quick: bool = False,
) -> Result:
    engine = kind == "ane"
    named = [("training", training), ("peak", peak), ("sustained", sustained)]
    return Result(
        created="2026-11-22T14:00:00Z",
        pyane=Software("0.1.0", "0123456789abcdef0123"),
        device=DeviceFacts(kind, chip, PRODUCTS.get(chip or ""), "engine" if engine else "ieee"),
        host=HostFacts("macOS" if engine else "Linux", "26.1", cpu, 4, threads, 16.0),
        settings={"quick": quick},
        benchmarks=(
            *(Benchmark(name, tuple(cases)) for name, cases in named if cases),
            *others,
        ),
        contributor=contributor,
        notes=notes,
    )


def dispatch(us: float = 95.0, *, case: str = "smallest", finding: str = "floor") -> Benchmark:
    """A benchmark without a table of its own."""
    return Benchmark(
        "dispatch",
        (
            Case(
                case,
                {},
                metrics={
                    "time": metric("us", us, us * 1.5, us * 2, better="lower"),
                    "rate": metric("GFLOP/s", 1.0, 2.5, 9.0),
                },
            ),
            refused("too small", "width must be at least 32, got 1"),
        ),
        (Finding(finding, us, "us", "median of the smallest kernel"),),
    )


# What strangers may write into a file, each meant for another reader.
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[a](javascript:alert(1))",
    "![a](http://evil.example/x.png)",
    "| more | cells |",
    "a\\|b",
    "a `code` b ``c",
    "*bold* _em_ **x** __y__ ~~z~~ ~q~",
    "# heading",
    "- item",
    "+ item",
    "1. item",
    "2) item",
    "> quote",
    "---",
    "===",
    "&lt;b&gt; &#60;",
    "<http://evil.example>",
    "$x^2$ ``` ~~~",
    "{{ 7 * 7 }} {% raw %}",
    "\\",
    "@somebody",
]


def written_by(text: str) -> list[Result]:
    """A result of each kind of device with a text wherever a file has one."""
    return [
        result(
            None,
            kind=kind,
            training=[training(70, preset=text)],
            peak=[*peak({64: 10, 128: 12}), refused(text, text)],
            sustained=[sustained(9, 80)],
            others=[dispatch(case=text, finding=text)],
            cpu=text,
            notes=text,
            contributor=text,
        )
        for kind in ("ane", "emulator", "stand-in")
    ]
