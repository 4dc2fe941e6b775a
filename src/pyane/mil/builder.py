"""Builds MIL programs from Python: coremltools' conventions, types from the core's registry.

`@mil.program(x=mil.fp16[...])` runs a function once with a `Var` for each input; the operations it
calls (`mil.conv(x=..., weight=...)`) append to the program that is being built in this context.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import numpy.typing as npt

from .._core import mil as _mil
from ..errors import MilVerifyError
from ._program import Program
from .arguments import ArgumentBinder, known_arguments, known_values, names
from .constants import Constant, ConstantError, make_constant, natural_dtype
from .types import ElementType, TensorSpec
from .var import Var

WEIGHT_FOLDER = "@model_path/weights/"
DEFAULT_WEIGHT_FILE = WEIGHT_FOLDER + "weight.bin"

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_@]*")

# Versions as in text that Apple's compiler wrote for coremltools 9.0; the in-memory compiler takes
# programs with any.
_BUILD_INFO = {
    "coremlc-component-MIL": "3510.2.1",
    "coremlc-version": "3505.4.1",
    "coremltools-component-milinternal": "",
    "coremltools-version": "9.0",
}


_current: ContextVar[Builder | None] = ContextVar("pyane_mil_builder", default=None)


@functools.cache
def _records() -> dict[str, _mil.OpRecord]:
    return {record.name: record for record in _mil.op_set()}


def current_builder(op: str) -> Builder:
    """The builder of the program under construction in this context.

    Raises:
        MilVerifyError: There is none.
    """
    builder = _current.get()
    if builder is None:
        msg = f"mil.{op} needs a program to belong to; call it in @mil.program or mil.build"
        raise MilVerifyError(msg, op)
    return builder


class Builder:
    """One program under construction: its text, names and weight files."""

    def __init__(
        self, function_name: str, inputs: Mapping[str, TensorSpec], *, separate_blobs: bool = False
    ) -> None:
        self._separate_blobs = separate_blobs
        self._function_name = _checked_identifier(function_name, "function name")
        self._names: set[str] = set()
        self._counters: dict[str, int] = {}
        self._constants: dict[object, Var] = {}
        self._operations: list[_mil.Operation] = []
        self._blobs: dict[str, _mil.BlobWriter] = {}
        self.inputs: dict[str, Var] = {}
        for name, spec in inputs.items():
            if not isinstance(spec, TensorSpec):
                msg = f"input '{name}' must be a type such as mil.fp16[1, 64], got {spec!r}"
                raise MilVerifyError(msg)
            self._claim(name, "input")
            self.inputs[name] = Var(name, spec, self)

    @contextmanager
    def active(self) -> Iterator[Builder]:
        """Makes this the builder that operations append to."""
        token = _current.set(self)
        try:
            yield self
        finally:
            _current.reset(token)

    # Names

    def _claim(self, name: str, what: str, op: str = "") -> str:
        _checked_identifier(name, what, op)
        if name in self._names:
            msg = f"{what} '{name}' is already the name of another value"
            raise MilVerifyError(msg, op)
        self._names.add(name)
        return name

    def _numbered(self, stem: str) -> str:
        while True:
            number = self._counters.get(stem, 0)
            self._counters[stem] = number + 1
            name = f"{stem}_{number}"
            if name not in self._names:
                self._names.add(name)
                return name

    # Constants

    def add_constant(
        self, constant: Constant, name: str | None, label: str, parameter: str, path: str | None
    ) -> Var:
        """A constant as a value. One without a name is shared by equal arguments."""
        stem = f"{label}_{parameter}" if label else parameter
        key = None if name is not None else (parameter, constant.key, path)
        if key is not None and key in self._constants:
            return self._constants[key]
        given = self._numbered(stem) if name is None else self._claim(name, "name", "const")
        spec = TensorSpec(constant.dtype, constant.shape)
        if constant.is_large or path is not None:
            if path is None:
                path = (
                    WEIGHT_FOLDER + f"{given}.bin" if self._separate_blobs else DEFAULT_WEIGHT_FILE
                )
            writer = self._blobs.setdefault(path, _mil.BlobWriter())
            literal = _mil.Literal.blob(spec.type, path, writer.add(constant.array, constant.dtype))
        else:
            literal = constant.literal
        attributes = {"name": _mil.Literal.string(given), "val": literal}
        self._append("const", [_mil.Value(spec.type, given)], {}, attributes)
        var = Var(given, spec, self, is_constant=True, constant=constant)
        if key is not None:
            self._constants[key] = var
        return var

    # Operations

    def add_operation(
        self, op: str, name: str | None, arguments: Mapping[str, object]
    ) -> tuple[Var, ...]:
        """Appends one operation.

        Args:
            op: Name of a record of the registry.
            name: Of the result; None for `<op>_<n>`. Several results are `<name>_0`, `<name>_1`.
            arguments: Values by parameter name; None where not given.

        Returns:
            The results.

        Raises:
            MilVerifyError: The arguments do not fit; names operation and parameter.
        """
        record = _records()[op]
        label = self._numbered(op) if name is None else self._claim(name, "name", op)
        given = {key: value for key, value in arguments.items() if value is not None}
        operands = ArgumentBinder(self, record, label).bind(given)
        attributes = {"name": _mil.Literal.string(label)}
        types = _mil.infer_types(
            _mil.Operation(op, [], known_arguments(operands), attributes), known_values(operands)
        )
        specs = [TensorSpec.of(type_) for type_ in types]
        labels = [label]
        if len(specs) != 1:
            labels = [self._claim(f"{label}_{i}", "name", op) for i in range(len(specs))]
        results = tuple(
            Var(result, spec, self, is_constant=record.is_constexpr)
            for result, spec in zip(labels, specs, strict=True)
        )
        # Apple's compiler prints arguments in alphabetical order.
        written = {key: names(operands[key]) for key in sorted(operands)}
        outputs = [_mil.Value(result.spec.type, result.name) for result in results]
        self._append(op, outputs, written, attributes)
        return results

    def _append(
        self,
        op: str,
        outputs: Sequence[_mil.Value],
        arguments: Mapping[str, str | tuple[str, ...]],
        attributes: Mapping[str, _mil.Literal],
    ) -> None:
        self._operations.append(_mil.Operation(op, outputs, dict(arguments), dict(attributes)))

    # The program

    def finish(self, outputs: Sequence[object]) -> Program:
        """The program with these outputs.

        Raises:
            MilVerifyError: An output is an input or a constant, is listed twice, or belongs to
                another program.
        """
        seen: dict[str, Var] = {}
        for output in outputs:
            if not isinstance(output, Var):
                msg = f"a program must return values it computed, got {type(output).__name__}"
                raise MilVerifyError(msg)
            if output.builder is not self:
                msg = f"output '{output.name}' belongs to another program"
                raise MilVerifyError(msg)
            if output.name in self.inputs or output.is_constant:
                what = "an input" if output.name in self.inputs else "a constant"
                msg = (
                    f"output '{output.name}' is {what}; return mil.identity(x={output.name}, "
                    "name=...) to copy it"
                )
                raise MilVerifyError(msg)
            if output.name in seen:
                msg = f"output '{output.name}' is returned twice"
                raise MilVerifyError(msg)
            seen[output.name] = output
        function = _mil.Function(
            self._function_name,
            [_mil.Value(var.spec.type, name) for name, var in self.inputs.items()],
            self._operations,
            list(seen),
        )
        native = _mil.Program(
            [function], {"buildInfo": _mil.Literal.string_dict(_BUILD_INFO)}, "1.3"
        )
        return Program(native, {path: writer.finish().data for path, writer in self._blobs.items()})


def _checked_identifier(name: object, what: str, op: str = "") -> str:
    if not isinstance(name, str) or _IDENTIFIER.fullmatch(name) is None:
        msg = f"{what} must match [A-Za-z_][A-Za-z0-9_@]*, got {name!r}"
        raise MilVerifyError(msg, op)
    return name


def const(
    *,
    val: npt.ArrayLike,
    name: str | None = None,
    dtype: str | ElementType | None = None,
    path: str | None = None,
) -> Var:
    """A constant.

    Args:
        val: Value. Floats become fp16 unless `dtype` says otherwise, ints int32.
        name: Of the value; an equal unnamed constant is reused.
        dtype: MIL element type.
        path: Weight file to keep it in, e.g. "@model_path/weights/w1.bin". By default constants of
            more than 10 elements go to "@model_path/weights/weight.bin" and others into the text.

    Raises:
        MilVerifyError: The value does not fit the type.
    """
    builder = current_builder("const")
    try:
        wanted = natural_dtype(val, "fp16") if dtype is None else str(dtype)
        constant = make_constant(val, wanted)
    except ConstantError as error:
        msg = f"const '{name or ''}': val {error}"
        raise MilVerifyError(msg, "const") from None
    return builder.add_constant(constant, name, "", "const", path)


def apply(op: str, name: str | None, **arguments: object) -> Var:
    """Appends an operation with one result; called by the functions in ops.py."""
    return current_builder(op).add_operation(op, name, arguments)[0]


def apply_tuple(op: str, name: str | None, **arguments: object) -> tuple[Var, ...]:
    """Appends an operation with any number of results; called by the functions in ops.py."""
    return current_builder(op).add_operation(op, name, arguments)


def build(
    function: Callable[..., Var | Sequence[Var]],
    inputs: Mapping[str, TensorSpec],
    name: str = "main",
    *,
    separate_blobs: bool = False,
) -> Program:
    """Runs `function` with a `Var` for each input and returns the program it built.

    Args:
        function: Called once with the inputs as keywords. Returns the output, or a tuple of them;
            an output has the name of its value, set with `name=` where it was computed.
        inputs: Types by name, e.g. {"x": mil.fp16[1, 64, 1, 256]}.
        name: Of the MIL function.
        separate_blobs: Give every large constant a weight file of its own, named after it: M1 is
            reported to refuse programs that read several from one file.

    Returns:
        The program, with its weight files in `.weights`.

    Raises:
        MilVerifyError: Whatever is wrong with an operation, raised where it is called.
    """
    builder = Builder(name, inputs, separate_blobs=separate_blobs)
    with builder.active():
        result = function(**builder.inputs)
    outputs: list[object] = list(result) if isinstance(result, list | tuple) else [result]
    return builder.finish(outputs)


def program(
    **inputs: TensorSpec,
) -> Callable[[Callable[..., Var | Sequence[Var]]], Program]:
    """Decorator that turns a function into the program it builds.

    >>> @mil.program(x=mil.fp16[1, 64, 1, 256])
    ... def block(x):
    ...     return mil.silu(x=x, name="y")
    """
    return functools.partial(build, inputs=inputs)
