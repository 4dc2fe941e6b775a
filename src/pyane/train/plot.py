"""Loss curves: of a run (loss.png), and of several in one picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..atomic_file import atomic_write
from ..errors import CheckpointError, ConfigError
from .efficiency import PARTS
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
    figure, axes = _figure()
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
    _save(figure, picture, "png")


@dataclasses.dataclass(frozen=True)
class Curves:
    """What is drawn of a run.

    Attributes:
        name: For the legend.
        training: [n, 2] x and training loss.
        held_out: [m, 2] x and held-out loss.
    """

    name: str
    training: FloatArray
    held_out: FloatArray


X_AXES: Final = {
    "step": "optimizer steps",
    "tokens": "tokens trained on",
    "minutes": "minutes of training, compiling, evaluating and saving",
}
"""What the horizontal axis can show, and its label."""


def read_curves(run: Path, x: str = "step") -> Curves:
    """Losses of a run.

    Args:
        run: Run folder, or a metrics.jsonl.
        x: A key of `X_AXES`.

    Raises:
        CheckpointError: There are no metrics, or they cannot be read.
    """
    metrics = run / "metrics.jsonl" if run.is_dir() else run
    minutes: dict[int, float] = {0: 0.0}
    try:
        records = read_jsonl(metrics)
        if x == "minutes":
            minutes |= _minutes(metrics.with_name("timing.jsonl"))
    except (OSError, UnicodeDecodeError) as e:
        reason = getattr(e, "strerror", None) or e
        msg = f"{metrics}: metrics cannot be read ({reason}); give a run folder of pyane train"
        raise CheckpointError(msg) from e
    training: list[tuple[float, float]] = []
    held_out: list[tuple[float, float]] = []
    for record in records:
        at = record.get("step" if x == "minutes" else x)
        if x == "minutes":
            at = minutes.get(at) if isinstance(at, int) else None
        if not isinstance(at, int | float):
            continue
        for key, curve in (("loss", training), ("held_out_loss", held_out)):
            loss = record.get(key)
            if isinstance(loss, int | float):
                curve.append((at, loss))
    if not training and not held_out:
        msg = f"{metrics}: holds no losses by {x}; give a run folder of pyane train"
        raise CheckpointError(msg)
    name = metrics.parent.name if metrics.name == "metrics.jsonl" else metrics.name
    shape = (-1, 2)
    return Curves(name, np.array(training).reshape(shape), np.array(held_out).reshape(shape))


def _minutes(timing: Path) -> dict[int, float]:
    """Time since the first step at the end of each."""
    if not timing.is_file():
        return {}
    result: dict[int, float] = {}
    total = 0.0
    for record in read_jsonl(timing):
        times = (record.get(f"{part}_ms") for part in PARTS)
        total += sum(t for t in times if isinstance(t, int | float))
        step = record.get("step")
        if isinstance(step, int):
            result[step] = total / 60e3
    return result


def plot_runs(runs: Sequence[Curves], picture: Path, x: str = "step", title: str = "") -> None:
    """Draw the losses of runs over each other: training thin, held out with dots.

    Args:
        runs: At least one, with names of their own.
        picture: File to write; its suffix decides the format.
        x: A key of `X_AXES`: what the runs' first columns are.
        title: Headline.

    Raises:
        ConfigError: The suffix is none of .png, .svg and .pdf.
        OSError: The file cannot be written.
    """
    kind = picture.suffix.lower().removeprefix(".")
    if kind not in ("png", "svg", "pdf"):
        msg = (
            f"--output {picture}: must end in .png, .svg or .pdf, got {picture.suffix or 'nothing'}"
        )
        raise ConfigError(msg)
    figure, axes = _figure()
    for i, run in enumerate(runs):
        color = f"C{i % 10}"
        style = ("-", "--", ":", "-.")[i // 10 % 4]
        label = run.name
        if len(run.held_out):
            x_held_out, y_held_out = run.held_out.T
            label += f" ({y_held_out[-1]:.3f} held out)"
            axes.plot(
                x_held_out,
                y_held_out,
                linestyle=style,
                marker="o",
                markersize=4,
                color=color,
                linewidth=1.6,
                label=label,
            )
            label = ""
        if len(run.training):
            smooth = _smooth(run.training[:, 1])
            axes.plot(
                run.training[:, 0],
                smooth,
                linestyle=style,
                color=color,
                linewidth=0.9,
                alpha=0.55,
                label=label or None,
            )
    axes.set_xlabel(X_AXES[x])
    axes.set_ylabel("loss (nats per token)")
    axes.set_title(title or "held out (dots) and training (thin, smoothed)")
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    _save(figure, picture, kind)


def _figure() -> tuple[Figure, Axes]:
    # Not pyplot: it keeps global state and may want a display.
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _save(figure: Figure, picture: Path, kind: str) -> None:
    # Nothing that differs from one writing to the next.
    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with (
        matplotlib.rc_context({"svg.hashsalt": "pyane", "svg.fonttype": "none"}),
        atomic_write(picture) as file,
    ):
        figure.savefig(file, format=kind, metadata=metadata[kind])


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
