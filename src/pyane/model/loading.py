"""`pyane.load`: from files to a model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelError
from ..mil import Program
from ._model import SUFFIXES, Model
from .classifier import without_classify
from .files import map_file, read_file, relative_path, resolve
from .metadata import compiled_notes
from .package import read_package

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Buffer


def load(
    path: str | os.PathLike[str],
    *,
    function: str | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    weights: Mapping[str, str | os.PathLike[str]] | None = None,
    allow_links: bool = False,
) -> Model:
    """Load a model: MIL text, or what Core ML's tools make.

    Args:
        path: One of

            - `x.mil`: MIL text; weight files are looked for in its folder, `@model_path` being it;
            - `x.mlmodelc`: a compiled model, a folder with `model.mil` and `weights/`;
            - `x.mlpackage`: what coremltools saves, a folder with a protobuf model and `weights/`;
            - `x.mlmodel`: the protobuf model alone.
        function: The function that is meant; None: the model's default, "main", or the first.
        shapes: Shapes of inputs with unknown dimensions, by name. Where none is given, the model's
            default is taken, if it has one.
        weights: Files to take instead of those that the text names, by the path that the text uses.
        allow_links: Follow symbolic links that lead out of the model's folder.

    Returns:
        The model. Its weights are mapped, not read, and its program is parsed, not verified:
        `Device.compile` and `pyane.check` do that.

    Raises:
        ModelError: Not a model pyane reads, a file is not what it should be, or a path leads out
            of the model's folder.
        MilSyntaxError: The text does not follow the grammar.
        ShapeError: A shape that the model does not allow.
        ConfigError: There is no such function.
        OSError: A file cannot be read.
    """
    place = Path(path)
    suffix = place.suffix.lower()
    if not place.exists():
        msg = f"{place}: model does not exist"
        raise ModelError(msg)
    text: bytes | None = None
    notes: tuple[str, ...] = ()
    if suffix == ".mlmodelc":
        text, root = _compiled(place, allow_links=allow_links), place
        program = Program.parse(text, str(place / "model.mil"))
        notes = compiled_notes(place, allow_links=allow_links)
    elif suffix == ".mil":
        text, root = read_file(place), place.parent
        program = Program.parse(text, str(place))
    elif suffix in {".mlpackage", ".mlmodel"}:
        package = read_package(place, allow_links=allow_links)
        program, root, notes = package.program, package.root, package.notes
        function = function or package.default_function
    else:
        msg = f"{place}: a model must end in {', '.join(SUFFIXES)}, got '{place.suffix}'"
        raise ModelError(msg)
    native, labels = without_classify(program.native)
    if labels:
        text, program = None, Program.parse(str(native), program.source_name)
        notes = (*notes, *(_of_labels(name, len(names)) for name, names in labels.items()))
    found, missing = _weights(program, root, weights or {}, allow_links=allow_links)
    return Model(
        Program(program.native, found),
        text=None if text is None else text.decode(),
        source=program.source_name,
        function=function,
        shapes=shapes,
        missing_weights=missing,
        notes=notes,
        labels=labels,
    )


def _of_labels(output: str, n: int) -> str:
    return f"a classifier: output '{output}' holds the probabilities of {n} labels"


def _compiled(folder: Path, *, allow_links: bool) -> bytes:
    """The text inside an .mlmodelc."""
    if not folder.is_dir():
        msg = f"{folder}: an .mlmodelc must be a folder with model.mil, got a file"
        raise ModelError(msg)
    try:
        return read_file(resolve(folder, relative_path("model.mil", ""), allow_links=allow_links))
    except FileNotFoundError:
        pass
    names = sorted(entry.name for entry in folder.iterdir())
    if any(name.startswith("model.espresso") for name in names):
        msg = (
            f"{folder}: compiled from a neural network (model.espresso.net), which has no MIL; "
            "convert the original again as an ML program "
            '(coremltools.convert(..., convert_to="mlprogram"))'
        )
    elif any((folder / name / "model.mil").exists() for name in names):
        inner = next(name for name in names if (folder / name / "model.mil").exists())
        msg = f"{folder}: a pipeline of several models; load them one by one, e.g. {folder / inner}"
    else:
        msg = f"{folder}: needs model.mil, got {', '.join(names[:8]) or 'an empty folder'}"
    raise ModelError(msg)


def _weights(
    program: Program,
    root: Path,
    given: Mapping[str, str | os.PathLike[str]],
    *,
    allow_links: bool,
) -> tuple[dict[str, Buffer], dict[str, str]]:
    """Weight files that the program names: those found, mapped, and where the others should be."""
    unknown = sorted(set(given) - set(program.weight_paths))
    if unknown:
        msg = (
            f"{program.source_name}: weights must be for paths of the text "
            f"({', '.join(program.weight_paths) or 'it names none'}), got {', '.join(unknown)}"
        )
        raise ModelError(msg)
    found: dict[str, Buffer] = {}
    missing: dict[str, str] = {}
    for name in program.weight_paths:
        if name in given:
            found[name] = map_file(Path(given[name]))
            continue
        relative = relative_path(name, program.source_name)
        try:
            found[name] = map_file(resolve(root, relative, allow_links=allow_links))
        except FileNotFoundError:
            missing[name] = str(root / relative)
    return found, missing
