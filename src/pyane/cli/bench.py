"""`pyane bench`: benchmarks, and a file of results to hand in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from .device_options import (
    ChipOption,
    DeviceOption,
    FaithfulOption,
    NumericsOption,
    StrictOption,
    open_device,
)
from .output_file import check_output, unfinished

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..bench.measure import Benchmark
    from ..bench.result import Result
    from ..bench.runner import Runner
    from ..device import Device


def bench(
    names: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(metavar="NAME...", help="Benchmarks, or all. See --list."),
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="List the benchmarks.")] = False,
    show_schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of results.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Smaller sizes: all in minutes, also on the emulator.")
    ] = False,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("-o", "--output", metavar="FILE.json", help="Where to write the results."),
    ] = None,
    device: DeviceOption = None,
    chip: ChipOption = None,
    numerics: NumericsOption = None,
    strict: StrictOption = False,
    faithful: FaithfulOption = False,
    seconds: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="For which each case is sampled. Default: 2, or 0.25 with --quick."),
    ] = None,
    weight_records: Annotated[
        str,
        typer.Option(help="official, or hand-made as in the community's programs (docs)."),
    ] = "official",
    contributor: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="HANDLE", help="Goes into the file. Default: nothing about you does."),
    ] = None,
    notes: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Goes into the file, too."),
    ] = None,
    part: Annotated[bool, typer.Option("--part", hidden=True)] = False,
) -> None:
    """Measure the device: rates, sizes, calls, compiling, copies, training.

    Every result is checked before it is timed. What cases the device refuses, and why, is told.
    Exit code 1 when a case gives wrong numbers or fails. Ctrl-C keeps what was measured.

    \b
    Examples:
      pyane bench --list
      pyane bench peak dispatch --quick
      pyane bench all -o result.json --contributor @handle
      pyane bench channels --device emulator:m3pro:strict
    """  # noqa: D301  (\b keeps the lines of the example apart)
    from ..bench.registry import BENCHMARKS, select
    from ..bench.result import validate
    from ..bench.runner import Runner
    from ..bench.settings import Settings

    if show_list:
        width = max(map(len, BENCHMARKS))
        for name, benchmark in BENCHMARKS.items():
            typer.echo(f"{name:<{width}}  {benchmark.what}")
        return
    if show_schema:
        import json

        from ..bench.result import schema

        typer.echo(json.dumps(schema(), indent=2))
        return
    selected = select(names or [])
    settings = Settings(quick=quick, seconds=seconds, weight_records=weight_records)
    chosen = open_device(device, chip, numerics, strict=strict, faithful=faithful)
    runner = Runner(chosen, settings, contributor=contributor, notes=notes)
    validate(runner.result().to_dict(), "bench")  # before it takes minutes
    if output is not None:
        check_output("--output", output)
    if not part:
        typer.echo(f"Device: {runner.result().device}")
    so_far = None if output is None else unfinished(output)
    target = so_far
    lost: list[str] = []
    try:
        if chosen.budget() is not None and len(selected) > 1:
            options = settings_options(settings)
            lost = _run_in_processes(runner, selected, chosen, options, so_far)
        else:
            _run(runner, selected, so_far)
        target = output
    finally:
        result = runner.result()
        if target is not None and result.benchmarks:
            result.save(target)
            if not part:
                _show_file(result, target)
    if so_far is not None and so_far != output:
        so_far.unlink(missing_ok=True)
    for name in lost:
        typer.echo(f"pyane: {name}: the process that measured it ended without results", err=True)
    if lost or any(case.status == "failed" for b in result.benchmarks for case in b.cases):
        raise typer.Exit(1)


def settings_options(settings: object) -> list[str]:
    """The options that make these settings again."""
    from ..bench.settings import Settings

    assert isinstance(settings, Settings)
    options = ["--weight-records", settings.weight_records]
    options += ["--quick"] if settings.quick else []
    return options + ([] if settings.seconds is None else ["--seconds", str(settings.seconds)])


def _run(runner: Runner, selected: Sequence[Benchmark], output: Path | None) -> None:
    from .bench_table import Screen

    with Screen(runner.result().device) as screen:
        for benchmark in selected:
            runner.run([benchmark.name], screen)
            if output is not None:
                runner.result().save(output)


def _run_in_processes(
    runner: Runner,
    selected: Sequence[Benchmark],
    device: Device,
    options: list[str],
    output: Path | None,
) -> list[str]:
    """Names of benchmarks whose processes ended without results."""
    from ..bench import processes

    lost = []

    options = ["--device", _device_name(device), *options]
    for benchmark in selected:
        sys.stdout.flush()
        try:
            found = processes.run(benchmark.name, options)
        except processes.Interrupted as e:
            if e.benchmark is not None:
                runner.add(e.benchmark)
            raise
        if found is None:
            lost.append(benchmark.name)
            continue
        runner.add(found)
        if output is not None:
            runner.result().save(output)
    return lost


def _device_name(device: Device) -> str:
    emulation = device.emulation
    if emulation is None:
        return device.name
    parts = [device.name, emulation.chip, "" if emulation.numerics is None else "hardware"]
    parts += [word for word in ("strict", "faithful") if getattr(emulation, word)]
    return ":".join(part for part in parts if part)


def _show_file(result: Result, output: Path) -> None:
    """What a person who hands the file in should know: all of it but the figures, as it is."""
    from ..bench.result import dumps

    document = result.to_dict()
    benchmarks = document.pop("benchmarks")
    cases = [case for benchmark in benchmarks for case in benchmark["cases"]]
    samples = sum(m["runs"] for case in cases for m in case["metrics"].values())
    typer.echo(f"\nWritten to {output}. All that is in it:")
    typer.echo(dumps(document), nl=False)
    names = ", ".join(benchmark["name"] for benchmark in benchmarks)
    typer.echo(f"and {samples:,} samples of {len(cases)} cases of: {names}.")
    if not result.device.is_engine:
        typer.echo(f"These are figures of the {result.device.kind}, not of an ANE.")
