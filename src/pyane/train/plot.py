"""loss.png: the loss curve of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..atomic_file import atomic_write
from .metrics import read_jsonl

FloatArray = npt.NDArray[np.float64]


def plot_loss(metrics: Path, picture: Path, title: str) -> None:
    """Draw training and held-out loss over steps.

    Args:
        metrics: metrics.jsonl of the run.
        picture: PNG file to write.
        title: Headline.

    Raises:
        OSError: A file cannot be read or written.
    """
    records = read_jsonl(metrics)
    train = [(r["step"], r["loss"]) for r in records if r.get("loss") is not None]
    held_out = [(r["step"], r["held_out_loss"]) for r in records if r.get("held_out_loss")]
    # Not pyplot: it keeps global state and may want a display.
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if train:
        curve = np.array(train)
        axes.plot(curve[:, 0], curve[:, 1], color="C0", alpha=0.3, linewidth=0.8)
        axes.plot(
            curve[:, 0],
            _smooth(curve[:, 1]),
            color="C0",
            linewidth=1.6,
            label="training (smoothed)",
        )
    if held_out:
        points = np.array(held_out)
        axes.plot(points[:, 0], points[:, 1], "o-", color="C1", markersize=4, label="held out")
        axes.annotate(
            f"{points[-1, 1]:.3f}",
            (points[-1, 0], points[-1, 1]),
            textcoords="offset points",
            xytext=(0, 8),
            ha="right",
            color="C1",
        )
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats per token)")
    axes.set_title(title)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    if train or held_out:
        axes.legend()
    with atomic_write(picture) as file:
        figure.savefig(file, format="png", metadata={"Software": None})


def _smooth(values: FloatArray) -> FloatArray:
    """Exponential mean over about 1 % of the run, corrected for its start."""
    keep = 1.0 - 1.0 / max(1.0, 0.01 * len(values))
    out = np.empty(len(values))
    mean = weight = 0.0
    for i, value in enumerate(values):
        mean = keep * mean + (1.0 - keep) * value
        weight = keep * weight + (1.0 - keep)
        out[i] = mean / weight
    return out
