"""`pyane profile`: where the time of a model goes on the emulator."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from .._core import base
from .device_options import ChipOption, FaithfulOption, NumericsOption, StrictOption, open_device
from .model_inputs import compile_model, complete, fill_states, read_inputs
from .model_options import (
    FunctionOption,
    LinksOption,
    ModelArgument,
    ShapeOption,
    WeightsOption,
    human_bytes,
    load_model,
)
from .output_file import check_not_read, check_output, files_read

if TYPE_CHECKING:
    from ..profile import GroupTime, Profile

_WIDTH = 120


def profile(
    model: ModelArgument,
    trace: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--output", "-o", help="Write a trace for chrome://tracing and ui.perfetto.dev here."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    top: Annotated[int, typer.Option(help="Show the slowest groups only; 0: all.", min=0)] = 0,
    in_order: Annotated[
        bool, typer.Option("--in-order", help="As evaluated, not the slowest first.")
    ] = False,
    repeat: Annotated[
        int, typer.Option(help="Evaluations; that of median time is shown.", min=1)
    ] = 10,
    inputs: Annotated[
        list[str],
        typer.Option(
            "--input", help="NAME=FILE.npy, or FILE.npz with several; states, too. Repeatable."
        ),
    ] = [],  # noqa: B006 -- typer copies
    seed: Annotated[int, typer.Option(help="Of inputs that are not given.", min=0)] = 0,
    threads: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Threads to use. Default: one per core.", min=1, max=base.MAX_THREADS),
    ] = None,
    chip: ChipOption = None,
    numerics: NumericsOption = None,
    strict: StrictOption = False,
    faithful: FaithfulOption = False,
    function: FunctionOption = "",
    shape: ShapeOption = [],  # noqa: B006
    weights: WeightsOption = [],  # noqa: B006
    allow_links: LinksOption = False,
) -> None:
    """Show where the time of a model goes on the emulator, operation by operation.

    Operations that are fused share a line, named by them and their first output. Beside the time
    stand what they compute and move, and how near that comes to this machine's roof, which is
    measured: arithmetic on registers ("compute") or memory, whichever takes longer. Inputs that are not given
    are random. Says nothing of the engine's speed.

    \b
    Examples:
      pyane profile model.mlpackage --top 20
      pyane profile encoder.mlmodelc --threads 1 -o trace.json
      pyane profile model.mil --json > profile.json
    """  # noqa: D301  (\b keeps the lines of the example apart)
    if trace is not None:
        check_output("--output", trace)
    loaded = load_model(
        model, function=function, shapes=shape, weights=weights, allow_links=allow_links
    )
    if trace is not None:
        check_not_read("--output", trace, files_read(model, loaded, weights, inputs))
    device = open_device("emulator", chip, numerics, strict=strict, faithful=faithful)
    given = read_inputs(inputs)
    import json

    import pyane

    before = pyane.num_threads()
    pyane.set_num_threads(threads or before)
    try:
        with compile_model(device, loaded) as kernel:
            fill_states(given, kernel)
            kernel(**complete(given, kernel, seed))
            found = kernel.profile(repeat=repeat)
    finally:
        pyane.set_num_threads(before)
    if trace is not None:
        from ..atomic_file import atomic_write

        with atomic_write(trace) as file:
            file.write(json.dumps(found.chrome_trace()).encode())
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2))
        return
    _print(found, top, in_order=in_order)
    if trace is not None:
        typer.echo(f"Trace of this evaluation written to {trace}")


def _print(found: Profile, top: int, *, in_order: bool) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    # In a file or a pipe nothing tells the width; names are long.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    table = Table(box=SIMPLE_HEAD)
    for title in ("ms", "share", "GFLOP/s", "moved", "GB/s"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("of roof", no_wrap=True)
    table.add_column("operations -> first output", overflow="fold", min_width=20)
    groups = list(found.groups)
    if not in_order:
        # Blocks' groups stay out of the order of their loops: each is compared by itself.
        groups.sort(key=lambda group: -group.seconds)
    shown = groups[:top] if top else groups
    for group in shown:
        table.add_row(*_cells(group, found.profiled_seconds))
    console.print(table)
    if len(shown) < len(groups):
        rest = sum(group.seconds for group in groups[top:] if group.depth == 0)
        typer.echo(
            f"{len(groups) - len(shown)} more groups take {1e3 * rest:.3f} ms (--top 0: all)"
        )
    typer.echo(
        f"{found.device}, {found.threads} {'thread' if found.threads == 1 else 'threads'}, "
        f"{found.isa}: {1e3 * found.seconds:.3f} ms per evaluation (median of {found.evaluations}); "
        f"profiled {1e3 * found.profiled_seconds:.3f} ms, {1e3 * found.unaccounted_seconds:.3f} of "
        "it between the groups"
    )
    fastest = max(gbps for _, gbps in found.roofs.gbps)
    typer.echo(
        f"Measured roof: {found.roofs.gflops:.0f} GFLOP/s; {fastest:.0f} GB/s in caches, "
        f"{found.roofs.gbps[-1][1]:.0f} GB/s in memory"
    )


def _cells(group: GroupTime, total: float) -> tuple[str, ...]:
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.1f}"

    percent = group.percent_of_roof
    runs = f" x {group.runs:,}" if group.runs > 1 else ""
    return (
        f"{1e3 * group.seconds:.3f}",
        f"{100 * group.seconds / total:.1f} %" if total > 0 else "",
        number(group.gflops),
        "" if group.n_bytes is None else human_bytes(group.n_bytes),
        number(group.gbps),
        "" if percent is None else f"{percent:3.0f} % {group.bound}",
        f"{'  ' * group.depth}{group.name}{runs}",
    )
