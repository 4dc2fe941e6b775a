"""Reads what a program asks of an engine off its operations and types."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from .._core import mil as _mil
from ..errors import ShapeError
from ..model import as_model
from .program_work import Step, Weight, Workload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..model import Model
    from ..model._model import ModelLike

_MATRIX: Final = frozenset({"conv", "linear", "transformers", "recurrent"})
# Results that are their operand, seen otherwise.
_VIEWS: Final = frozenset(
    {"reshape", "reshape_like", "expand_dims", "squeeze", "flatten2d", "identity", "cast"}
)
# Of what a constexpr operation is given, what is not data.
_NO_DATA: Final = frozenset({"name", "axis", "shape", "vector_axis", "output_dtype"})
_BITS: Final = {"uint1": 1, "uint2": 2, "uint3": 3, "uint4": 4, "int4": 4, "uint6": 6}
_BYTES: Final = {"bool": 1, "int8": 1, "uint8": 1, "fp32": 4, "int32": 4, "uint32": 4}
# Elements up to which constants are taken to stand in the program.
_INLINE: Final = 10
_FORMS: Final = {
    "constexpr_affine_dequantize": "int8",
    "constexpr_lut_to_dense": "lut",
    "constexpr_sparse_to_dense": "sparse",
    "constexpr_lut_to_sparse": "sparse",
    "constexpr_sparse_blockwise_shift_scale": "sparse",
    "constexpr_blockwise_shift_scale": "blockwise",
}


def workload(model: ModelLike, *, function: str | None = None) -> Workload:
    """Read a model's function.

    Raises:
        ShapeError: A dimension is not known; names the inputs or the operation.
        MilVerifyError: The program is not valid.
    """
    loaded = as_model(model, function=function)
    loaded.check_shapes()
    return _Reader(loaded).read()


class _Reader:
    def __init__(self, model: Model) -> None:
        self.model = model
        self.function = model.native_function
        # Verifies the program as well.
        self.cost = _mil.cost(model.program.native, self.function.name)
        self.types: dict[str, _mil.Type] = {p.name: p.type for p in self.function.parameters}
        self.weights: dict[str, Weight] = {}
        self.constants: set[str] = set()
        self.literals: dict[str, object] = {}
        self.alias: dict[str, str] = {}
        self.made_by: dict[str, str] = {}

    def read(self) -> Workload:
        for operation in self.function.operations:
            self.types |= {value.name: value.type for value in operation.outputs}
            self.made_by |= {value.name: operation.type for value in operation.outputs}
        flops = iter(self.cost.operations)
        raw: list[tuple[_mil.Operation, float]] = []
        for operation in self.function.operations:
            if operation.type == "const" or operation.type.startswith("constexpr_"):
                self._constant(operation)
        for operation in self.function.operations:
            if operation.type == "const":
                continue
            cost = next(flops)
            if operation.type.startswith("constexpr_"):
                continue
            if cost.flops is None:
                msg = (
                    f"{self.model.source}: {operation.type} '{operation.name}': all dimensions "
                    "must be known to predict its time; give shapes: --shape NAME=1,3,224,224"
                )
                raise ShapeError(msg)
            live = [name for name in _names(operation) if name not in self.constants]
            if not live and _names(operation):
                self._fold(operation)
                continue
            if operation.type in _VIEWS:
                self.alias |= {value.name: live[0] for value in operation.outputs}
                continue
            raw.append((operation, cost.flops))
        return self._workload(raw)

    def _workload(self, raw: list[tuple[_mil.Operation, float]]) -> Workload:
        boundary = {p.name for p in self.function.parameters}
        boundary |= {self._origin(name) for name in self.function.outputs if isinstance(name, str)}
        reads = [self._activations(operation) for operation, _ in raw]
        uses: dict[str, int] = {}
        for names in reads:
            for name in names:
                uses[name] = uses.get(name, 0) + 1
        on_the_fly = {
            names[0]
            for names, (operation, _) in zip(reads, raw, strict=True)
            if len(names) == 1 and uses[names[0]] == 1 and _is_fusable(operation.type)
        }
        index: dict[str, int] = {}
        sizes: list[int] = []
        for operation, _ in raw:
            for value in operation.outputs:
                index[value.name] = len(sizes)
                is_kept = value.name not in boundary and value.name not in on_the_fly
                sizes.append(_half_bytes(value.type) if is_kept else 0)
        steps = tuple(
            self._step(operation, flops, names, index)
            for (operation, flops), names in zip(raw, reads, strict=True)
        )
        matrices = {name for operation, _ in raw for name in self._matrix_inputs(operation)}
        return Workload(
            steps,
            tuple(sizes),
            int(self.cost.input_bytes or 0),
            int(self.cost.output_bytes or 0),
            sum(_half_bytes(self.types[name]) for name in matrices),
        )

    def _matrix_inputs(self, operation: _mil.Operation) -> set[str]:
        """Inputs of the program that this product multiplies something else by."""
        names = self._activations(operation)
        if operation.type == "conv":
            weight = operation.arguments.get("weight")
            names = [self._origin(weight)] if isinstance(weight, str) else []
        elif operation.type not in ("matmul", "linear") or len(names) < 2:
            return set()
        parameters = {parameter.name for parameter in self.function.parameters}
        return {
            name
            for name in names
            if name in parameters
            and (operation.type == "conv" or set(self.types[name].shape[:-2]) <= {1})
        }

    def _step(
        self, operation: _mil.Operation, flops: float, reads: list[str], index: Mapping[str, int]
    ) -> Step:
        extent, n_bytes = self._row(operation)
        return Step(
            op=operation.type,
            name=operation.name,
            flops=flops,
            # Of a block's operations only the sum is known; most of it will be products.
            is_matrix=_family(operation.type) in _MATRIX or bool(operation.blocks),
            is_winograd=self._is_winograd(operation),
            is_int8=self._is_int8(operation),
            weights=tuple(self.weights[name] for name in _names(operation) if name in self.weights),
            row_extent=extent,
            row_bytes=n_bytes,
            attention_bytes=self._attention(operation),
            reads=tuple(index[name] for name in reads if name in index),
            writes=tuple(index[value.name] for value in operation.outputs),
        )

    def _attention(self, operation: _mil.Operation) -> int:
        if operation.type != "scaled_dot_product_attention":
            return 0
        names = [name for name in _names(operation) if name in self.types]
        names += [value.name for value in operation.outputs]
        return sum(_half_bytes(self.types[name]) for name in names)

    def _origin(self, name: str) -> str:
        while name in self.alias:
            name = self.alias[name]
        return name

    def _activations(self, operation: _mil.Operation) -> list[str]:
        names = [self._origin(n) for n in _names(operation) if n not in self.constants]
        return list(dict.fromkeys(names))

    def _constant(self, operation: _mil.Operation) -> None:
        out = operation.outputs[0]
        self.constants.add(out.name)
        value = operation.attributes.get("val") or operation.arguments.get("val")
        self.literals[out.name] = value
        type_ = out.type
        if type_.kind != "tensor" or type_.dtype in ("string", None):
            return
        count = _count(type_)
        if count <= _INLINE:
            return
        dense = 2 * count
        if operation.type == "const":
            self.weights[out.name] = Weight(_key(value, out.name), "dense", dense, dense)
            return
        stored = 0
        keys = [operation.type]
        # Programs of ios16 have what it is made of among the attributes.
        parts = operation.arguments | operation.attributes
        for name, argument in parts.items():
            if name in _NO_DATA:
                continue
            for part in argument if isinstance(argument, tuple) else (argument,):
                if isinstance(part, str):
                    if part in self.types:
                        stored += _stored_bytes(self.types[part])
                    if part in self.weights:
                        keys.append(self.weights[part].key)
                    else:
                        keys.append(part)
                else:
                    stored += _stored_bytes(part.type)
                    keys.append(_key(part, out.name))
        form = _FORMS.get(operation.type, "dense")
        self.weights[out.name] = Weight("|".join(keys), form, stored, dense)

    def _fold(self, operation: _mil.Operation) -> None:
        """An operation on constants is one itself: the compiler computes it."""
        read = [self.weights[name] for name in _names(operation) if name in self.weights]
        for value in operation.outputs:
            self.constants.add(value.name)
            n_bytes = _half_bytes(value.type)
            if read and operation.type in (*_VIEWS, "transpose"):
                self.weights[value.name] = read[0]
            elif n_bytes > 2 * _INLINE:
                self.weights[value.name] = Weight(value.name, "dense", n_bytes, n_bytes)

    def _row(self, operation: _mil.Operation) -> tuple[int, int]:
        family = _family(operation.type)
        if operation.type not in ("softmax", "layer_norm", "l2_norm") and family != "reduction":
            return 0, 0
        names = self._activations(operation)
        if not names:
            return 0, 0
        x = operation.arguments.get("x")
        type_ = self.types[x if isinstance(x, str) else names[0]]
        shape = tuple(type_.shape)
        if operation.type == "l2_norm":
            axes = [-1]
        else:
            axes = self._integers(operation.arguments.get("axes", operation.arguments.get("axis")))
        if not shape or not ({len(shape) - 1, -1} & set(axes)):
            return 0, 0
        return int(shape[-1] or 0), _half_bytes(type_)

    def _integers(self, argument: object) -> list[int]:
        """Those of a literal, or of the constant of that name."""
        literal = self.literals.get(argument) if isinstance(argument, str) else argument
        if not isinstance(literal, _mil.Literal):
            return []
        value = literal.value
        return [int(v) for v in (value if hasattr(value, "__len__") else [value])]

    def _is_int8(self, operation: _mil.Operation) -> bool:
        if _family(operation.type) not in ("conv", "linear"):
            return False
        forms = {self.weights[name].form for name in _names(operation) if name in self.weights}
        makers = {self.made_by.get(name, "") for name in self._activations(operation)}
        return bool(forms & {"int8", "blockwise"}) and makers == {"dequantize"}

    def _is_winograd(self, operation: _mil.Operation) -> bool:
        weight = operation.arguments.get("weight")
        if operation.type != "conv" or not isinstance(weight, str) or weight not in self.weights:
            return False
        if tuple(self.types[weight].shape)[2:] != (3, 3):
            return False
        if self.weights[weight].form == "sparse":
            return False
        strides = self._integers(operation.arguments.get("strides"))
        dilations = self._integers(operation.arguments.get("dilations"))
        groups = self._integers(operation.arguments.get("groups"))
        return set(strides) <= {1} and set(dilations) <= {1} and set(groups) <= {1}


_FAMILIES: Final[dict[str, str]] = {record.name: record.family for record in _mil.op_set()}


def _family(op: str) -> str:
    return _FAMILIES[op]


def _is_fusable(op: str) -> bool:
    """Whether a chain takes it on the fly: one live operand, element by element (ane-guide ch. 22)."""
    return op != "softmax" and _family(op) in (
        "elementwise_unary",
        "elementwise_binary",
        "activation",
        "quantization",
    )


def _names(operation: _mil.Operation) -> list[str]:
    names: list[str] = []
    for argument in operation.arguments.values():
        for part in argument if isinstance(argument, tuple) else (argument,):
            if isinstance(part, str):
                names.append(part)
    return names


def _key(value: object, name: str) -> str:
    if isinstance(value, _mil.Literal) and isinstance(value.value, _mil.BlobReference):
        reference = value.value
        return f"{reference.path}@{reference.offset}"
    return name


def _half_bytes(type_: _mil.Type) -> int:
    """As the engine holds it: fp16 whatever the type says, but for bytes."""
    if type_.kind != "tensor":
        return 0
    width = 1 if type_.dtype in ("int8", "uint8", "bool") else 2
    return width * _count(type_)


def _stored_bytes(type_: _mil.Type) -> int:
    if type_.kind != "tensor" or type_.dtype in ("string", None):
        return 0
    count = _count(type_)
    if type_.dtype in _BITS:
        return (count * _BITS[type_.dtype] + 7) // 8
    return count * _BYTES.get(type_.dtype or "", 2)


def _count(type_: _mil.Type) -> int:
    return math.prod(int(d or 0) for d in type_.shape)
