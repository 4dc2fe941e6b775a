"""Inputs whose shape is left open: what a model allows, and programs with shapes put in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._core import mil as _mil
from ..errors import ShapeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Shape = tuple[int, ...]

#: The attribute of a function in which Apple's compiler keeps what Core ML knows about shapes.
ATTRIBUTE = "FlexibleShapeInformation"


@dataclass(frozen=True)
class FlexibleShape:
    """What a model allows for the shape of one input.

    Attributes:
        default: Taken when no shape is asked for; None when the model names none.
        ranges: Lowest and highest size of every dimension, None for no upper end; empty when only
            the shapes in `choices` are allowed, or anything is.
        choices: The shapes that are allowed, if they are listed.
    """

    default: tuple[int, ...] | None = None
    ranges: tuple[tuple[int, int | None], ...] = ()
    choices: tuple[tuple[int, ...], ...] = ()

    def __str__(self) -> str:
        parts = [] if self.default is None else [f"default {list(self.default)}"]
        if self.ranges:
            ends = (
                str(low) if low == high else f"{low}..{'' if high is None else high}"
                for low, high in self.ranges
            )
            parts.append(f"allows [{', '.join(ends)}]")
        if self.choices:
            parts.append("one of " + ", ".join(str(list(choice)) for choice in self.choices))
        return "; ".join(parts) or "any shape"

    def allows(self, shape: Sequence[int]) -> bool:
        """Whether the model was made for this shape."""
        if self.choices:
            return tuple(shape) in self.choices
        if not self.ranges:
            return True
        return len(shape) == len(self.ranges) and all(
            low <= size and (high is None or size <= high)
            for size, (low, high) in zip(shape, self.ranges, strict=True)
        )


def _numbers(value: Any) -> Shape:
    return tuple(int(size) for size in value)


def flexible_shapes(function: _mil.Function) -> dict[str, FlexibleShape]:
    """What the attribute `FlexibleShapeInformation` says, by input; empty without one.

    The attribute is a tuple of (kind, dict) pairs: "DefaultShapes" {input: shape}, "RangeDims"
    {input: [[low, high], ...]} with -1 for no upper end, "EnumeratedShapes" {label: {input: shape}}.
    What does not have this form is passed over: nothing depends on it but defaults.
    """
    literal = function.attributes.get(ATTRIBUTE)
    if literal is None:
        return {}
    defaults: dict[str, Shape] = {}
    ranges: dict[str, tuple[tuple[int, int | None], ...]] = {}
    choices: dict[str, list[Shape]] = {}
    try:
        for kind, entries in literal.value:
            for key, value in entries.items():
                if kind == "DefaultShapes":
                    defaults[key] = _numbers(value)
                elif kind == "RangeDims":
                    ends = [_numbers(pair) for pair in value]
                    ranges[key] = tuple((low, None if high < 0 else high) for low, high in ends)
                elif kind == "EnumeratedShapes":
                    for name, shape in value.items():
                        choices.setdefault(name, []).append(_numbers(shape))
    except (AttributeError, TypeError, ValueError):
        return {}
    return {
        name: FlexibleShape(
            defaults.get(name), ranges.get(name, ()), tuple(dict.fromkeys(choices.get(name, [])))
        )
        for name in {**defaults, **ranges, **choices}
    }


def unknown_inputs(function: _mil.Function) -> list[str]:
    """Parameters with a dimension `?`."""
    return [p.name for p in function.parameters if None in tensor_of(p.type).shape]


def tensor_of(type_: _mil.Type) -> _mil.Type:
    """The tensor inside a state, else the type itself."""
    return type_.elements[0] if type_.kind == "state" else type_


def _checked(
    name: str,
    shape: Sequence[int],
    declared: Sequence[int | None],
    flexible: FlexibleShape | None,
    source: str,
) -> Shape:
    def fail(rule: str) -> None:
        msg = f"{source}: shape of input '{name}' {rule}, got {list(shape)}"
        raise ShapeError(msg)

    sizes: Sequence[object] = shape
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in sizes):
        fail("must have whole dimensions from 1")
    pattern = "[" + ", ".join("?" if n is None else str(n) for n in declared) + "]"
    if len(shape) != len(declared):
        fail(f"must have {len(declared)} dimensions, as {pattern} is declared")
    if any(n is not None and n != m for n, m in zip(declared, shape, strict=True)):
        fail(f"must fit {pattern}, as it is declared")
    if flexible is not None and not flexible.allows(shape):
        fail(f"must be one that the model allows ({flexible})")
    return tuple(shape)


def choose_shapes(
    function: _mil.Function, asked: Mapping[str, Sequence[int]], source: str
) -> dict[str, Shape]:
    """Shapes for the inputs with unknown dimensions: those asked for, else the model's defaults.

    Raises:
        ShapeError: A shape that the input or the model does not allow, or of no input.
    """
    flexible = flexible_shapes(function)
    declared = {p.name: tensor_of(p.type).shape for p in function.parameters}
    unknown = set(asked) - set(declared)
    if unknown:
        msg = (
            f"{source}: shapes must be of inputs of '{function.name}' "
            f"({', '.join(declared) or 'none'}), got {', '.join(sorted(unknown))}"
        )
        raise ShapeError(msg)
    chosen = {
        name: _checked(name, shape, declared[name], flexible.get(name), source)
        for name, shape in asked.items()
    }
    for name in unknown_inputs(function):
        default = flexible[name].default if name in flexible else None
        if name not in chosen and default is not None:
            chosen[name] = _checked(name, default, declared[name], None, source)
    return chosen


def bind_shapes(program: _mil.Program, name: str, shapes: Mapping[str, Shape]) -> _mil.Program:
    """The program with shapes put into the parameters of one function.

    Types of later values keep their `?`; inference fills them in.
    """

    def bound(value: _mil.Value) -> _mil.Value:
        if value.name not in shapes:
            return value
        if value.type.kind == "state":
            tensor = _mil.Type.tensor(value.type.elements[0].dtype or "", shapes[value.name])
            return _mil.Value(_mil.Type.state(tensor), value.name)
        return _mil.Value(_mil.Type.tensor(value.type.dtype or "", shapes[value.name]), value.name)

    functions = [
        f
        if f.name != name
        else _mil.Function(
            f.name, [bound(p) for p in f.parameters], f.operations, f.outputs, f.opset, f.attributes
        )
        for f in program.functions
    ]
    return _mil.Program(functions, program.attributes, program.version, program.source_name)
