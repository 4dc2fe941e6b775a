"""`pyane plot`: loss curves of runs in one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def plot(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders of pyane train.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Picture: .png, .svg or .pdf.")
    ] = Path("loss.png"),
    x: Annotated[str, typer.Option(help="Horizontal axis: step, tokens or minutes.")] = "step",
    title: Annotated[str, typer.Option(help="Headline.")] = "",
) -> None:
    """Compare the loss curves of runs.

    Dots are held-out losses, thin lines smoothed training losses. Runs may still be in training.

    \b
    Examples:
      pyane plot runs/stories260k-1
      pyane plot runs/* -o runs.svg
      pyane plot runs/small runs/large --x minutes -o speed.png
    """  # noqa: D301  (\b keeps the lines of the example apart)
    from dataclasses import replace

    from ..errors import CheckpointError, ConfigError
    from ..train.plot import X_AXES, plot_runs, read_curves

    if x not in X_AXES:
        msg = f"--x must be one of {', '.join(X_AXES)}, got {x}"
        raise ConfigError(msg)
    curves = [read_curves(run, x) for run in runs]
    if len({c.name for c in curves}) < len(curves):  # the same name in several folders
        curves = [replace(c, name=str(run)) for c, run in zip(curves, runs, strict=True)]
    try:
        plot_runs(curves, output, x, title)
    except OSError as e:  # not the name of the temporary file, which nobody asked for
        msg = f"--output {output}: could not be written ({e.strerror or e})"
        raise CheckpointError(msg) from e
    typer.echo(f"{output}: {len(runs)} run{'s' * (len(runs) != 1)}")
