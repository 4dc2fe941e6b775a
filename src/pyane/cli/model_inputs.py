"""What the commands that evaluate a model share: compiling it, and what goes in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from ..errors import ConfigError, DataError, ShapeError
from .model_options import parse_pair

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from ..device import Device
    from ..kernel import Kernel, TensorSpec
    from ..model import Model

    Array = np.ndarray[Any, np.dtype[Any]]

MAX_WARNINGS = 5


def compile_model(device: Device, model: Model) -> Kernel:
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


def read_inputs(options: list[str]) -> dict[str, Array]:
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


def fill_states(given: dict[str, Array], kernel: Kernel) -> None:
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


def complete(given: dict[str, Array], kernel: Kernel, seed: int | None) -> dict[str, Array]:
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
