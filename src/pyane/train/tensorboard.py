"""Curves for TensorBoard, written by the package `tensorboardX`."""

from __future__ import annotations

import importlib
import importlib.util
import math
from pathlib import Path

from ..errors import ConfigError
from .trainer import StepReport


def check_installed() -> None:
    """Make sure that the curves can be written.

    Raises:
        ConfigError: The package is missing.
    """
    if importlib.util.find_spec("tensorboardX") is None:
        msg = "--tensorboard needs the package tensorboardX: pip install 'pyane[tensorboard]'"
        raise ConfigError(msg)


class TensorBoardLog:
    """Scalars of every step in an event file.

    Args:
        folder: Where the event files go.
        first_step: Curves are shown up to here and go on from here: what an interrupted run wrote
            beyond the state it is resumed from is hidden.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        # Optional, and slow to load.
        writer = importlib.import_module("tensorboardX").SummaryWriter
        self._writer = writer(str(folder), purge_step=first_step + 1)

    def on_step(self, report: StepReport) -> None:
        """Write the scalars of a step."""
        values = {
            "loss/training": report.loss,
            "loss/held_out": report.held_out_loss,
            "optimizer/learning_rate": report.learning_rate if report.step else None,
            "optimizer/gradient_norm": report.gradient_norm,
            "optimizer/loss_scale": report.loss_scale,
            "optimizer/skipped_steps": report.skipped,
            "time/ms_per_step": report.seconds * 1e3 if report.step else None,
        }
        for batch in report.micro_batches:
            for phase, seconds in batch.timings.items():
                name = f"time/{phase}_ms"
                values[name] = (values.get(name) or 0.0) + seconds * 1e3
        for name, value in values.items():
            if value is not None and math.isfinite(value):
                self._writer.add_scalar(name, value, report.step)

    def close(self) -> None:
        """Write what is left. Idempotent."""
        self._writer.close()
