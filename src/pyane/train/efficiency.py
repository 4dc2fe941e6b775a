"""How well a run used its time and its device: the report at the end, and its numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Final

from .metrics import read_jsonl

PARTS: Final = ("train", "compile", "evaluate", "save")
"""What a run does, without overlap: the times in timing.jsonl, each with `_ms`."""


@dataclasses.dataclass(frozen=True)
class Device:
    """What a run is measured against.

    Attributes:
        name: "ane" or "emulator".
        chip: Product, e.g. "M1 Max"; "" when none is known or was asked for.
        peak_tflops: fp16 peak of that chip, 1e12 operations a second; None when not known.
    """

    name: str
    chip: str = ""
    peak_tflops: float | None = None

    def utilisation(self, tflops: float) -> float | None:
        """Percent of the chip's peak."""
        return 100.0 * tflops / self.peak_tflops if self.peak_tflops else None


@dataclasses.dataclass(frozen=True)
class Efficiency:
    """Where the time of a run went, over all the processes that worked on it.

    Attributes:
        steps: Optimizer steps whose times are known.
        wall_seconds: All of it: training, compiling, evaluating, saving.
        compile_seconds: Compiling kernels.
        train_seconds: Optimizer steps without compiling.
        ane_flops: Floating-point operations of a step on the device, a multiply-add counting two;
            0 when not known.
        total_flops: The same, those on the CPU included.
        phases: Milliseconds of an average step by phase, as far as the model tells.
    """

    steps: int
    wall_seconds: float
    compile_seconds: float
    train_seconds: float
    ane_flops: float
    total_flops: float
    phases: dict[str, float]

    @property
    def ms_per_step(self) -> float:
        """Milliseconds of a step, without compiling."""
        return 1e3 * self.train_seconds / self.steps if self.steps else 0.0

    @property
    def ane_tflops(self) -> float:
        """1e12 operations a second that the device sustained while training."""
        return tflops(self.ane_flops * self.steps, self.train_seconds)

    @property
    def total_tflops(self) -> float:
        """The same for device and CPU together."""
        return tflops(self.total_flops * self.steps, self.train_seconds)


def tflops(flops: float, seconds: float) -> float:
    """1e12 operations a second; 0 for no time."""
    return flops / seconds / 1e12 if seconds > 0 else 0.0


def measure(timing: Path, ane_flops: float, total_flops: float) -> Efficiency:
    """Add up timing.jsonl.

    Args:
        timing: The file.
        ane_flops: Operations of a step on the device.
        total_flops: Operations of a step in all.

    Raises:
        OSError: The file cannot be read.
    """
    records = read_jsonl(timing)
    sums: dict[str, float] = {}
    for record in records:
        for name, value in record.items():
            if name.endswith("_ms") and isinstance(value, int | float):
                sums[name.removesuffix("_ms")] = sums.get(name.removesuffix("_ms"), 0.0) + value
    parts = {name: sums.pop(name, 0.0) / 1e3 for name in PARTS}
    n = sum(record["step"] > 0 for record in records)  # step 0 is the evaluation before the first
    return Efficiency(
        steps=n,
        wall_seconds=sum(parts.values()),
        compile_seconds=parts["compile"],
        train_seconds=parts["train"],
        ane_flops=ane_flops,
        total_flops=total_flops,
        phases={name: value / n for name, value in sums.items()} if n else {},
    )


def report(efficiency: Efficiency, device: Device) -> str:
    """The report for people; several lines."""
    e = efficiency
    wall = e.wall_seconds or 1.0
    lines = [
        "=== Efficiency Report ===",
        f"Total steps:     {e.steps}",
        f"Wall time:       {e.wall_seconds * 1e3:.0f} ms ({e.wall_seconds:.1f} s)",
        f"Compile time:    {e.compile_seconds * 1e3:.0f} ms ({100 * e.compile_seconds / wall:.1f}%)",
        f"Train time:      {e.train_seconds * 1e3:.0f} ms ({100 * e.train_seconds / wall:.1f}%)",
        f"Avg train:       {e.ms_per_step:.1f} ms/step",
    ]
    if e.phases:
        phases = "  ".join(f"{name} {ms:.1f}" for name, ms in e.phases.items())
        lines.append(f"Avg phases:      {phases} ms")
    if e.ane_flops:
        real = device.name == "ane"
        label = "ANE TFLOPS:" if real else "Emulated TFLOPS:"
        note = " sustained" if real else " sustained (emulator on this CPU, not an ANE)"
        lines.append(f"{label:<16} {e.ane_tflops:.4g}{note}")
        lines.append(f"{'Total TFLOPS:':<16} {e.total_tflops:.4g} (device + CPU)")
        used = device.utilisation(e.ane_tflops)
        if used is not None:
            whose = "" if real else "the emulator reaches "
            lines.append(
                f"{'ANE utilization:':<16} {whose}{used:.2g}% of {device.peak_tflops:g} TFLOPS "
                f"({device.chip})"
            )
    return "\n".join(lines)
