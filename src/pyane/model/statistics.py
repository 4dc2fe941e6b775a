"""What is in a model and what it costs: the facts behind `pyane show`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .._core import mil as _mil
from ..errors import Error
from .shapes import tensor_of

if TYPE_CHECKING:
    from ._model import Model


@dataclass(frozen=True)
class TensorInfo:
    """An input, output or state.

    Attributes:
        name: As in the program.
        dtype: MIL element type.
        shape: Dimensions; None for one that is unknown.
        kind: "input", "output" or "state".
        flexible: What the model allows when its shape was left open, for people; else empty.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    kind: str
    flexible: str = ""


@dataclass(frozen=True)
class WeightInfo:
    """Tensors of one element type in weight files."""

    dtype: str
    n_tensors: int
    n_bytes: int


@dataclass
class FamilyCost:
    """Operations of one family: how many, and their arithmetic (None: dimensions are unknown)."""

    n_operations: int = 0
    flops: float | None = 0.0


@dataclass(frozen=True)
class Statistics:
    """What is in one function of a model.

    Attributes:
        tensors: Inputs, outputs and states.
        op_counts: Operations by type, most frequent first, without `const`; those in nested blocks
            included.
        n_constants: `const` operations.
        weights: By element type.
        missing_weights: Weight files that were not found.
        fault: Why the program does not verify; then the costs below are None. Else empty.
        families: Costs by family of operations, most arithmetic first.
        flops: Of one evaluation, a multiply-add counting 2; None when dimensions are unknown.
        input_bytes, output_bytes, state_bytes: Packed.
        peak_activation_bytes: Most that intermediate results take at once without any fusion.
        not_emulated: Operations that the emulator does not evaluate.
    """

    source: str
    function: str
    functions: tuple[str, ...]
    version: str
    opset: str
    tensors: tuple[TensorInfo, ...]
    op_counts: dict[str, int]
    n_constants: int
    weights: tuple[WeightInfo, ...]
    missing_weights: tuple[str, ...]
    notes: tuple[str, ...]
    fault: str = ""
    families: dict[str, FamilyCost] = field(default_factory=dict)
    flops: float | None = None
    input_bytes: int | None = None
    output_bytes: int | None = None
    state_bytes: int | None = None
    peak_activation_bytes: int | None = None
    not_emulated: tuple[str, ...] = ()

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights as stored."""
        return sum(weight.n_bytes for weight in self.weights)


def statistics(model: Model) -> Statistics:
    """Facts about the model's function.

    Raises:
        ConfigError: The program has no functions.
    """
    function = model.native_function
    types = _types(function)
    counts: Counter[str] = Counter()
    _count(function.operations, counts)
    n_constants = counts.pop("const", 0)
    facts = Statistics(
        source=model.source,
        function=function.name,
        functions=model.functions,
        version=model.program.version,
        opset=function.opset,
        tensors=(
            *(
                _tensor(p.name, p.type, "state" if p.type.kind == "state" else "input", model)
                for p in function.parameters
            ),
            *(
                _tensor(name, types[name], "output", model)
                for name in function.outputs
                if isinstance(name, str) and name in types
            ),
        ),
        op_counts=dict(counts.most_common()),
        n_constants=n_constants,
        weights=tuple(
            WeightInfo(*group) for group in _mil.weights(model.program.native, function.name)
        ),
        missing_weights=tuple(model.missing_weights),
        notes=model.notes,
        not_emulated=_not_emulated(counts),
    )
    return _with_costs(facts, model, function.name)


def _with_costs(facts: Statistics, model: Model, function: str) -> Statistics:
    values = dict(vars(facts))
    try:
        cost = _mil.cost(model.program.native, function)
    except Error as e:
        values["fault"] = str(e)
        return Statistics(**values)
    families: dict[str, FamilyCost] = {}
    for operation in cost.operations:
        entry = families.setdefault(operation.family, FamilyCost())
        entry.n_operations += 1
        entry.flops = _sum(entry.flops, operation.flops)
    total: float | None = 0.0
    for entry in families.values():
        total = _sum(total, entry.flops)
    order = sorted(families.items(), key=lambda item: -(item[1].flops or 0.0))
    values.update(
        families=dict(order),
        flops=total,
        input_bytes=cost.input_bytes,
        output_bytes=cost.output_bytes,
        state_bytes=cost.state_bytes,
        peak_activation_bytes=cost.peak_activation_bytes,
    )
    return Statistics(**values)


def _sum(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a + b


def _types(function: _mil.Function) -> dict[str, _mil.Type]:
    values = {p.name: p.type for p in function.parameters}
    for operation in function.operations:
        values.update((value.name, value.type) for value in operation.outputs)
    return values


def _tensor(name: str, type_: _mil.Type, kind: str, model: Model) -> TensorInfo:
    tensor = tensor_of(type_)
    flexible = model.flexible_shapes.get(name) if kind != "output" else None
    return TensorInfo(
        name, tensor.dtype or tensor.kind, tuple(tensor.shape), kind, str(flexible or "")
    )


def _count(operations: tuple[_mil.Operation, ...], counts: Counter[str]) -> None:
    for operation in operations:
        counts[operation.type] += 1
        for block in operation.blocks:
            _count(block.operations, counts)


def _not_emulated(counts: Counter[str]) -> tuple[str, ...]:
    from .._core import engine  # noqa: PLC0415 -- only for showing

    return tuple(sorted(set(counts) - set(engine.emulated_ops())))
