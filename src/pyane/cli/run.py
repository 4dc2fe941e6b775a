"""`pyane run`: evaluate a model on files or random numbers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from ..errors import ConfigError
from .device_options import (
    ChipOption,
    DeviceOption,
    FaithfulOption,
    NumericsOption,
    StrictOption,
    open_device,
)
from .model_inputs import compile_model, complete, fill_states, read_inputs
from .model_options import (
    FunctionOption,
    LinksOption,
    ModelArgument,
    ShapeOption,
    WeightsOption,
    check_format,
    load_model,
)
from .output_file import check_not_read, check_output, files_read

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]


def run(
    model: ModelArgument,
    inputs: Annotated[
        list[str],
        typer.Option(
            "--input", help="NAME=FILE.npy, or FILE.npz with all; states, too. Repeatable."
        ),
    ] = [],  # noqa: B006 -- typer copies
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Write the outputs to this .npz."),
    ] = None,
    random_inputs: Annotated[
        bool, typer.Option("--random-inputs", help="Make up inputs that are not given.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the random numbers.", min=0)] = 0,
    device: DeviceOption = None,
    chip: ChipOption = None,
    numerics: NumericsOption = None,
    strict: StrictOption = False,
    faithful: FaithfulOption = False,
    function: FunctionOption = "",
    shape: ShapeOption = [],  # noqa: B006
    weights: WeightsOption = [],  # noqa: B006
    repeat: Annotated[int, typer.Option(help="Evaluate this many times.", min=1)] = 1,
    output_format: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
    allow_links: LinksOption = False,
) -> None:
    """Evaluate a model, and show its outputs' shapes and ranges.

    Random inputs are uniform in [-1, 1) for floats, 0 or 1 for bools, and 0 for integers, which
    are mostly positions in tables. States are zero unless given, and kept when repeating.

    \b
    Examples:
      pyane run model.mlpackage --input x=image.npy --output y.npz
      pyane run encoder.mlmodelc --random-inputs --shape audio=1,16000 --repeat 10
    """  # noqa: D301  (\b keeps the lines of the example apart)
    check_format(output_format, ("text", "json"))
    if output is not None and output.suffix != ".npz":
        msg = f"--output must end in .npz, got '{output}'"
        raise ConfigError(msg)
    if output is not None:
        check_output("--output", output)
    loaded = load_model(
        model, function=function, shapes=shape, weights=weights, allow_links=allow_links
    )
    if output is not None:
        check_not_read("--output", output, files_read(model, loaded, weights, inputs))
    chosen = open_device(device, chip, numerics, strict=strict, faithful=faithful)
    given = read_inputs(inputs)
    began = time.perf_counter()
    with compile_model(chosen, loaded) as kernel:
        compile_s = time.perf_counter() - began
        fill_states(given, kernel)
        arrays = complete(given, kernel, seed if random_inputs else None)
        times = []
        for _ in range(repeat):
            began = time.perf_counter()
            result = kernel(**arrays)
            times.append(time.perf_counter() - began)
        outputs = result if isinstance(result, dict) else {next(iter(kernel.output_specs)): result}
        states = {name: _describe(array) for name, array in kernel.states.items()}
    if output is not None:
        _write(output, outputs)
    report = {
        "device": str(chosen),
        "compile_ms": compile_s * 1e3,
        "evaluate_ms": sorted(times)[len(times) // 2] * 1e3,
        "outputs": {name: _describe(array) for name, array in outputs.items()},
        "states": states,
    }
    if output_format == "json":
        import json

        typer.echo(json.dumps(report, indent=2))
        return
    typer.echo(
        f"{chosen}: compiled in {report['compile_ms']:.1f} ms, evaluated in "
        f"{report['evaluate_ms']:.3f} ms" + (f" (median of {repeat})" if repeat > 1 else "")
    )
    for name, facts in report["outputs"].items():  # type: ignore[attr-defined]
        typer.echo(f"  {name}: {_line(facts)}")
    for name, facts in states.items():
        typer.echo(f"  state {name}: {_line(facts)}")
    if output is not None:
        typer.echo(f"Written to {output}")


def _write(path: Path, outputs: dict[str, Array]) -> None:
    """An .npz. `numpy.savez` takes names as keywords, and an output may be called `file`."""
    import io
    import zipfile

    import numpy as np

    from ..atomic_file import atomic_write

    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in outputs.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            archive.writestr(f"{name}.npy", buffer.getvalue())


def _describe(array: Array) -> dict[str, Any]:
    import numpy as np

    facts: dict[str, Any] = {"dtype": str(array.dtype), "shape": list(array.shape)}
    numbers = array.astype(np.float64).ravel()
    finite = numbers[np.isfinite(numbers)]
    facts["n_nan"] = int(np.isnan(numbers).sum())
    facts["n_inf"] = int(np.isinf(numbers).sum())
    if finite.size:
        facts |= {
            "min": float(finite.min()),
            "max": float(finite.max()),
            "mean": float(finite.mean()),
            "std": float(finite.std()),
        }
    return facts


def _line(facts: dict[str, Any]) -> str:
    text = f"{facts['dtype']}{facts['shape']}"
    if "min" in facts:
        text += "  " + "  ".join(f"{key} {facts[key]:.6g}" for key in ("min", "max", "mean", "std"))
    for key, word in (("n_nan", "NaN"), ("n_inf", "infinite")):
        if facts[key]:
            text += f"  {facts[key]:,} {word}"
    return text
