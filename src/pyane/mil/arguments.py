"""Turning the arguments of an operation into values of the program under construction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .._core import mil as _mil
from ..errors import MilVerifyError
from .constants import FLOATS, Constant, ConstantError, make_constant, natural_dtype
from .var import Var

if TYPE_CHECKING:
    from .builder import Builder


class ArgumentBinder:
    """Turns the arguments of one call into values of the program."""

    def __init__(self, builder: Builder, record: _mil.OpRecord, label: str) -> None:
        self._builder = builder
        self._record = record
        self._label = label

    def _fail(self, message: str) -> MilVerifyError:
        op = self._record.name
        return MilVerifyError(f"{op} '{self._label}': {message}", op)

    def bind(self, given: Mapping[str, object]) -> dict[str, list[Var] | Var]:
        """Values by parameter name, with the record's defaults written out."""
        inputs = {spec.name: spec for spec in self._record.inputs}
        groups = self._group_dtypes(given)
        operands: dict[str, list[Var] | Var] = {}
        for key, value in given.items():
            spec = inputs[key]
            hint = groups.get(spec.group) if spec.group else self._first_float(given)
            if spec.is_variadic:
                if not isinstance(value, Iterable) or isinstance(value, str | np.ndarray | Var):
                    msg = f"{key} must be a sequence of values, got {type(value).__name__}"
                    raise self._fail(msg)
                operands[key] = [self._operand(spec, entry, hint) for entry in value]
            else:
                operands[key] = self._operand(spec, value, hint)
        rank = self._rank_of_x(operands)
        for key, spec in inputs.items():
            default = spec.default
            if key in operands or default is None:
                continue
            if isinstance(default, _mil.Fill):
                default = [default.value] * (default.per_spatial_dim * max(rank - 2, 0))
            hint = groups.get(spec.group) if spec.group else self._first_float(given)
            operands[key] = self._default(spec, default, hint)
        return operands

    def _group_dtypes(self, given: Mapping[str, object]) -> dict[str, str]:
        """Element type of each group, from the values of the program among its arguments."""
        found: dict[str, str] = {}
        for spec in self._record.inputs:
            value = given.get(spec.name)
            entries = value if spec.is_variadic and isinstance(value, list | tuple) else [value]
            for entry in entries:
                if isinstance(entry, Var):
                    found.setdefault(spec.group, entry.dtype)
        return found

    @staticmethod
    def _first_float(given: Mapping[str, object]) -> str | None:
        for value in given.values():
            if isinstance(value, Var) and value.dtype in FLOATS:
                return value.dtype
        return None

    @staticmethod
    def _rank_of_x(operands: Mapping[str, list[Var] | Var]) -> int:
        x = operands.get("x")
        return x.rank if isinstance(x, Var) else 0

    def _operand(self, spec: _mil.InputSpec, value: object, hint: str | None) -> Var:
        if isinstance(value, Var):
            if value.builder is not self._builder:
                msg = f"{spec.name} ('{value.name}') belongs to another program"
                raise self._fail(msg)
            return value
        try:
            constant = self._constant(spec, value, hint)
        except ConstantError as error:
            msg = f"{spec.name} {error}"
            raise self._fail(msg) from None
        return self._add(spec, constant)

    def _add(self, spec: _mil.InputSpec, constant: Constant) -> Var:
        return self._builder.add_constant(constant, None, self._label, spec.name, None)

    def _constant(self, spec: _mil.InputSpec, value: object, hint: str | None) -> Constant:
        if spec.rank == 1 and np.ndim(value) == 0:  # type: ignore[arg-type]
            value = [value]
        float_dtype = hint if hint in FLOATS else "fp16"
        dtype = natural_dtype(value, float_dtype)
        is_weak = not isinstance(value, np.ndarray | np.generic)
        takes_hint = hint in FLOATS and hint in spec.dtypes
        if dtype == "int32" and ((is_weak and takes_hint) or "int32" not in spec.dtypes):
            # Python's ints go with the other operand; so do ints where only floats are taken.
            dtype = float_dtype if float_dtype in spec.dtypes else _only(spec.dtypes, dtype)
        elif dtype in FLOATS and dtype not in spec.dtypes:
            dtype = _only([d for d in spec.dtypes if d in FLOATS], dtype)
        return make_constant(value, dtype)

    def _default(self, spec: _mil.InputSpec, default: object, hint: str | None) -> Var:
        if isinstance(default, float) and hint in (None, "fp16"):
            # coremltools' defaults of 1e-12 and 1e-45 are 0 in fp16, there as here.
            default = float(np.float16(default))
        return self._add(spec, self._constant(spec, default, hint))


def _only(candidates: Sequence[str], otherwise: str) -> str:
    return candidates[0] if candidates else otherwise


def _vars(value: list[Var] | Var) -> list[Var]:
    return value if isinstance(value, list) else [value]


def names(value: list[Var] | Var) -> str | tuple[str, ...]:
    """An argument as it is written: a name, or a tuple of them."""
    return tuple(var.name for var in value) if isinstance(value, list) else value.name


def known_arguments(
    operands: Mapping[str, list[Var] | Var],
) -> dict[str, tuple[_mil.Literal | str, ...]]:
    """For the core's inference: small constants by value, everything else by name."""
    return {
        key: tuple(
            var.name if var.constant is None or var.constant.is_large else var.constant.literal
            for var in _vars(value)
        )
        for key, value in operands.items()
    }


def known_values(operands: Mapping[str, list[Var] | Var]) -> list[tuple[_mil.Value, bool]]:
    """The values that an operation names."""
    found = {var.name: var for value in operands.values() for var in _vars(value)}
    return [(_mil.Value(var.spec.type, name), var.is_constant) for name, var in found.items()]
