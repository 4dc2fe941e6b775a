"""JSON lines in the form of maderix/ANE's training programs, for tools that were made for those.

Every forward and backward pass writes a `step` record, every optimizer step a `batch` and a `perf`
record; times are in milliseconds:

    {"type": "step", "step": 12, "loss": 5.1, "t_ane": ..., "t_io": ..., "t_cls": ..., "t_elem": ...,
     "t_rms": ..., "t_cblas_wait": ..., "compiles": 9}
    {"type": "batch", "batch": 3, "compile_ms": ..., "train_ms": ..., "ms_per_step": ...}
    {"type": "perf", "ane_tflops": ..., "ane_util_pct": ..., "device": "emulator"}

What is not known is null: phases that the model does not tell, utilisation of no particular chip.
"""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import Any, Final

from ..errors import CheckpointError
from .efficiency import Device, tflops
from .trainer import StepReport

PHASES: Final = ("t_ane", "t_io", "t_cls", "t_elem", "t_rms", "t_cblas_wait")
"""Phases of a pass, as upstream names them: device, copies from and to it, classifier and loss,
elementwise work, RMSNorm, and waiting for the weight gradients."""


class StepLog:
    """Appends to a JSON lines file.

    Args:
        path: The file; created when missing.
        device: What the run is measured against.

    Raises:
        CheckpointError: The file could not be opened.
    """

    def __init__(self, path: Path, device: Device) -> None:
        self._path = path
        self._device = device
        try:
            self._file = path.open("a", encoding="utf-8")
        except OSError as e:
            msg = f"--jsonl {path}: could not be opened ({e.strerror or e})"
            raise CheckpointError(msg) from e

    def on_step(self, report: StepReport) -> None:
        """Write the records of a step.

        Raises:
            CheckpointError: The file could not be written.
        """
        if not report.micro_batches:
            return
        n = len(report.micro_batches)
        records: list[dict[str, Any]] = [
            {
                "type": "step",
                "step": (report.step - 1) * n + i,
                "loss": batch.loss,
                **{phase: _ms(batch.timings.get(phase)) for phase in PHASES},
                "compiles": report.n_compiles,
            }
            for i, batch in enumerate(report.micro_batches)
        ]
        seconds = sum(batch.seconds for batch in report.micro_batches)
        rate = tflops(report.ane_flops, seconds) if report.ane_flops else math.nan
        used = self._device.utilisation(rate)
        records += [
            {
                "type": "batch",
                "batch": report.step,
                "compile_ms": _ms(report.compile_seconds),
                "train_ms": _ms(seconds),
                "ms_per_step": _ms(seconds / n),
            },
            {
                "type": "perf",
                "ane_tflops": None if math.isnan(rate) else rate,
                "ane_util_pct": None if used is None or math.isnan(used) else used,
                "device": self._device.name,
            },
        ]
        try:
            for record in records:
                self._file.write(json.dumps(record, allow_nan=False) + "\n")
            self._file.flush()
        except OSError as e:
            msg = f"--jsonl {self._path}: could not be written ({e.strerror or e})"
            raise CheckpointError(msg) from e

    def close(self) -> None:
        """Close the file. Idempotent, and never fails: each step was flushed."""
        with contextlib.suppress(OSError):
            self._file.close()


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 3)
