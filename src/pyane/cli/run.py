"""`pyane run`: evaluate a model on files or random numbers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from ..errors import ConfigError, DataError, ShapeError
from .device_options import (
    ChipOption,
    DeviceOption,
    FaithfulOption,
    NumericsOption,
    StrictOption,
    open_device,
)
from .model_options import (
    FunctionOption,
    LinksOption,
    ModelArgument,
    ShapeOption,
    WeightsOption,
    check_format,
    load_model,
    parse_pair,
)

if TYPE_CHECKING:
    import numpy as np

    from ..device import Device
    from ..kernel import Kernel, TensorSpec
    from ..model import Model

    Array = np.ndarray[Any, np.dtype[Any]]


MAX_WARNINGS = 5


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
    if output is not None and not output.parent.is_dir():
        # Evaluating may take long: what cannot be written is known before.
        msg = f"--output {output}: there is no folder '{output.parent}'"
        raise ConfigError(msg)
    loaded = load_model(
        model, function=function, shapes=shape, weights=weights, allow_links=allow_links
    )
    chosen = open_device(device, chip, numerics, strict=strict, faithful=faithful)
    given = _read_inputs(inputs)
    began = time.perf_counter()
    with _compile(chosen, loaded) as kernel:
        compile_s = time.perf_counter() - began
        _fill_states(given, kernel)
        arrays = _complete(given, kernel, seed if random_inputs else None)
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


def _compile(device: Device, model: Model) -> Kernel:
    """Compiles, and tells of wrong weight files as the command line does."""
    import warnings

    from ..errors import BlobWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BlobWarning)
        kernel = device.compile(model)
    for message in kernel.warnings[:MAX_WARNINGS]:
        typer.echo(f"pyane: warning: {message}", err=True)
    if len(kernel.warnings) > MAX_WARNINGS:
        more = len(kernel.warnings) - MAX_WARNINGS
        typer.echo(f"pyane: warning: {more} more like these", err=True)
    return kernel


def _load(path: Path) -> Any:
    import numpy as np

    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as e:
        if isinstance(e, OSError) and e.errno is not None:
            raise
        # NumPy takes whatever has no header for a pickle, and advises to load it as one.
        why = "it has no header of one, or holds Python objects" if "pickle" in str(e) else e
        msg = f"{path}: must be a NumPy file (.npy or .npz) of numbers: {why}"
        raise DataError(msg) from None


def _read_inputs(options: list[str]) -> dict[str, Array]:
    """Arrays by name; under "" one without."""
    import numpy as np

    arrays: dict[str, Array] = {}
    for option in options:
        name, path = parse_pair("--input", option)
        content = _load(path)
        if isinstance(content, np.ndarray):
            found = {name: content}
        elif name:
            msg = f"--input {option}: a .npz holds several arrays; give it without a name"
            raise ConfigError(msg)
        else:
            found = dict(content)
        twice = sorted(set(found) & set(arrays))
        if twice:
            msg = f"--input {option}: input '{twice[0]}' is given twice"
            raise ConfigError(msg)
        arrays.update(found)
    return arrays


def _fill_states(given: dict[str, Array], kernel: Kernel) -> None:
    """Moves what is given for states there."""
    for name, spec in kernel.state_specs.items():
        array = given.pop(name, None)
        if array is None:
            continue
        if array.shape != spec.shape:
            msg = (
                f"--input {name}: state must have shape {list(spec.shape)}, got {list(array.shape)}"
            )
            raise ConfigError(msg)
        kernel.states[name][...] = array.astype(spec.dtype)


def _complete(given: dict[str, Array], kernel: Kernel, seed: int | None) -> dict[str, Array]:
    """Names the array that has none, and makes up those that are missing."""
    import numpy as np

    names = list(kernel.input_specs)
    if "" in given:
        missing = [name for name in names if name not in given]
        if len(missing) != 1:
            msg = f"--input must be NAME=FILE.npy, as the inputs are {', '.join(names)}"
            raise ConfigError(msg)
        given[missing[0]] = given.pop("")
    if seed is None:
        missing = [name for name in names if name not in given]
        if missing and set(given) <= set(names):  # An unknown name is the kernel's to report.
            listed = ", ".join(f"'{name}'" for name in missing)
            msg = f"kernel needs input {listed}; give it with --input NAME=FILE.npy, or --random-inputs"
            raise ShapeError(msg)
        return given
    rng = np.random.default_rng(seed)
    # In the order of the names, so that numbers do not depend on what else is given.
    made = {name: _random(spec, rng) for name, spec in kernel.input_specs.items()}
    return {**made, **given}


def _random(spec: TensorSpec, rng: np.random.Generator) -> Array:
    import numpy as np

    if spec.dtype.kind == "f":
        return (rng.random(spec.shape) * 2 - 1).astype(spec.dtype)
    if spec.dtype.kind == "b":
        return rng.integers(0, 2, spec.shape).astype(bool)
    return np.zeros(spec.shape, spec.dtype)


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
