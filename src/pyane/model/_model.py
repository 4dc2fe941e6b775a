"""A model: a program, the files it came with, and the function that is meant."""

from __future__ import annotations

import os
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from .._core import mil as _mil
from ..errors import BlobError, ConfigError, MilVerifyError, ShapeError, UnsupportedOpError
from ..mil import Program
from .shapes import (
    FlexibleShape,
    bind_shapes,
    choose_shapes,
    flexible_shapes,
    tensor_of,
    unknown_inputs,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Buffer

#: What functions that take a model accept. A `str` is MIL text unless it ends like a model's path.
ModelLike: TypeAlias = "Model | Program | str | os.PathLike[str]"
SUFFIXES = (".mil", ".mlmodelc", ".mlpackage", ".mlmodel")


class Model:
    """A program with its weight files, as `pyane.load` makes it. Immutable; `str(model)` is its text.

    `Device.compile`, `pyane.check` and the command line take one.

    Attributes:
        program: The parsed program, with the weights; shapes that were asked for are put in.
        weights: Weight files by the path that the text uses; mapped, not read.
        missing_weights: Weight files that were not found, by the path that the text uses, and the
            place that was looked at. Only compiling needs them.
        source: The path it was loaded from; "<text>" for text.
        function: The function that is compiled unless another is named.
        notes: What a user should know of the inputs, e.g. that one is an image in Core ML.
        labels: Names of a classifier's classes, by the output that holds their probabilities.
    """

    def __init__(
        self,
        program: Program,
        *,
        text: str | None = None,
        source: str = "<text>",
        function: str | None = None,
        shapes: Mapping[str, Sequence[int]] | None = None,
        missing_weights: Mapping[str, str] | None = None,
        notes: Sequence[str] = (),
        labels: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.source = source
        #: The function that was asked for; empty: the device chooses.
        self.chosen_function = function or ""
        self.function = _choose_function(program, function, source)
        self.missing_weights: Mapping[str, str] = MappingProxyType(dict(missing_weights or {}))
        self.notes = tuple(notes)
        self.labels: Mapping[str, tuple[str, ...]] = MappingProxyType(dict(labels or {}))
        self._text = text
        self._is_made = text is None
        self._unbound = (program, text)
        found = _find(program, self.function)
        if found is None:
            self._flexible: dict[str, FlexibleShape] = {}
        else:
            self._flexible = flexible_shapes(found)
            for name in unknown_inputs(found):
                self._flexible.setdefault(name, FlexibleShape())
            chosen = choose_shapes(found, shapes or {}, source)
            if chosen:
                bound = _bound(program.native, self.function, chosen)
                program = Program.parse(str(bound), source, program.weights)
                self._text, self._is_made = (
                    None,
                    True,
                )  # Places in messages are those of the text with the shapes.
        self.program = program

    @property
    def weights(self) -> dict[str, Buffer]:
        """Weight files by the path that the text uses."""
        return self.program.weights

    @property
    def functions(self) -> tuple[str, ...]:
        """Names of the program's functions, in the order of the text."""
        return tuple(function.name for function in self.program.functions)

    @property
    def flexible_shapes(self) -> dict[str, FlexibleShape]:
        """What the model allows for the inputs of `function` whose shape is open."""
        return dict(self._flexible)

    @property
    def unbound_inputs(self) -> tuple[str, ...]:
        """Inputs of `function` whose shape must be given before the model can be compiled."""
        found = _find(self.program, self.function)
        return () if found is None else tuple(unknown_inputs(found))

    @property
    def is_source_text(self) -> bool:
        """Whether `str(model)` is what stands in the file `source`.

        Not for a protobuf model, nor with shapes put in: then places in messages are those of
        `str(model)`.
        """
        return not self._is_made

    @property
    def native_function(self) -> _mil.Function:
        """The function `function`, parsed.

        Raises:
            ConfigError: The program has no functions.
        """
        found = _find(self.program, self.function)
        if found is None:
            msg = f"{self.source}: the program has no functions"
            raise ConfigError(msg)
        return found

    def check_shapes(self, function: str = "") -> None:
        """Sees that every input of a function has a shape.

        Raises:
            ShapeError: Names the inputs that have none, and what they may be.
        """
        found = _find(self.program, function or self.function)
        names = [] if found is None else unknown_inputs(found)
        if not names or found is None:
            return
        allowed = flexible_shapes(found)
        inputs = "; ".join(
            f"{p.type!r} {p.name}" + (f" ({allowed[p.name]})" if p.name in allowed else "")
            for p in found.parameters
            if p.name in names
        )
        msg = (
            f"{self.source}: every dimension must be known, got {inputs}; give shapes: "
            f'pyane.load(..., shapes={{"{names[0]}": (...)}}), --shape {names[0]}=...'
        )
        raise ShapeError(msg)

    def explain_missing(self, error: BlobError) -> BlobError:
        """The same error, saying where a missing weight file was looked for."""
        for path, place in self.missing_weights.items():
            if f"'{path}'" in str(error):
                return BlobError(
                    f"{error}; there is no {place}. If it is elsewhere: "
                    f"pyane.load(..., weights={{'{path}': FILE}}), --weights FILE"
                )
        return error

    def __str__(self) -> str:
        if self._text is None:
            self._text = str(self.program)
        return self._text

    def __reduce__(self) -> tuple[object, ...]:
        # Weights become bytes: a mapping cannot travel to another process.
        program, text = self._unbound
        shapes = {
            p.name: tuple(tensor_of(p.type).shape)
            for p in (self.native_function.parameters if self.functions else ())
            if p.name in self._flexible and None not in tensor_of(p.type).shape
        }
        return (
            _unpickled,
            (
                program,
                text,
                self.source,
                self.chosen_function or None,
                shapes,
                dict(self.missing_weights),
                self.notes,
                dict(self.labels),
            ),
        )

    def __repr__(self) -> str:
        several = f", functions {', '.join(self.functions)}" if len(self.functions) > 1 else ""
        n_bytes = sum(memoryview(data).nbytes for data in self.weights.values())
        return (
            f"<Model {self.source}, {self.function}: "
            f"{len(self.native_function.operations) if self.functions else 0} operations, "
            f"{n_bytes:,} bytes of weights{several}>"
        )


def _unpickled(
    program: Program,
    text: str | None,
    source: str,
    function: str | None,
    shapes: Mapping[str, tuple[int, ...]],
    missing_weights: Mapping[str, str],
    notes: Sequence[str],
    labels: Mapping[str, tuple[str, ...]],
) -> Model:
    return Model(
        program,
        text=text,
        source=source,
        function=function,
        shapes=shapes,
        missing_weights=missing_weights,
        notes=notes,
        labels=labels,
    )


def _find(program: Program, name: str) -> _mil.Function | None:
    return next((f for f in program.functions if f.name == name), None)


def _bound(program: _mil.Program, name: str, shapes: Mapping[str, tuple[int, ...]]) -> _mil.Program:
    try:
        return _mil.bind_dimensions(program, name, shapes)
    except (MilVerifyError, UnsupportedOpError):
        # Loading does not verify. Whoever does finds the same fault, and says where it is.
        return bind_shapes(program, name, shapes)


def _choose_function(program: Program, name: str | None, source: str) -> str:
    names = [function.name for function in program.functions]
    if name:
        if name not in names:
            msg = f"{source}: function must be one of {', '.join(names) or 'none'}, got '{name}'"
            raise ConfigError(msg)
        return name
    # The same choice as compiling makes; where it makes none, showing begins with the first.
    return "main" if "main" in names or not names else names[0]


def as_model(
    model: ModelLike,
    *,
    function: str | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    **options: Any,
) -> Model:
    """A `Model` of what a user gave: a model, a program, a path, or MIL text.

    Args:
        model: A `str` is a path when it is one line that ends in .mil, .mlmodelc, .mlpackage or
            .mlmodel, otherwise text.
        function: As in `pyane.load`; None keeps the model's own.
        shapes: As in `pyane.load`.
        **options: For `pyane.load`, when `model` is a path.

    Raises:
        MilSyntaxError, ModelError, ShapeError, ConfigError, OSError: As `pyane.load`.
    """
    if isinstance(model, Model):
        if function is None and not shapes:
            return model
        program, text = model._unbound
        return Model(
            program,
            text=text,
            source=model.source,
            function=function or model.chosen_function or None,
            shapes=shapes,
            missing_weights=model.missing_weights,
            notes=model.notes,
            labels=model.labels,
        )
    if is_path(model):
        from .loading import load  # noqa: PLC0415 -- loading makes models

        return load(Path(model), function=function, shapes=shapes, **options)
    if isinstance(model, Program):
        return Model(model, source=model.source_name, function=function, shapes=shapes)
    if not isinstance(model, str):
        msg = f"a model must be a Model, a Program, a path or text, got {type(model).__name__}"
        raise TypeError(msg)
    return Model(Program.parse(model), text=model, function=function, shapes=shapes)


def is_path(model: object) -> TypeGuard[str | os.PathLike[str]]:
    """Whether what a user gave is the path of a model rather than its text."""
    if isinstance(model, str):
        return "\n" not in model and model.rstrip("/").lower().endswith(SUFFIXES)
    return isinstance(model, os.PathLike)
