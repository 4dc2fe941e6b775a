"""Element types and tensor types of MIL: `mil.fp16[1, 512, 1, 64]` is a `TensorSpec`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from .._core import mil as _mil


@dataclass(frozen=True)
class TensorSpec:
    """Type of a program's input, or of a value in a program.

    Attributes:
        dtype: MIL element type, e.g. "fp16".
        shape: Dimensions; None where a dimension is not known.
        is_state: A state holding such a tensor, not a tensor.
    """

    dtype: str
    shape: tuple[int | None, ...]
    is_state: bool = False

    def __post_init__(self) -> None:
        for dim in self.shape:
            if dim is not None and dim < 1:
                msg = f"shape must have positive dimensions, got {self.shape}"
                raise ValueError(msg)

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def type(self) -> _mil.Type:
        """The same as the core has it."""
        if not self.shape:
            return _mil.Type.scalar(self.dtype)
        tensor = _mil.Type.tensor(self.dtype, self.shape)
        return _mil.Type.state(tensor) if self.is_state else tensor

    @classmethod
    def of(cls, type_: _mil.Type) -> TensorSpec:
        """From the core's type of a tensor, or of a state of one.

        Raises:
            ValueError: It is neither.
        """
        if type_.kind == "state":
            return dataclasses.replace(cls.of(type_.elements[0]), is_state=True)
        if type_.kind != "tensor" or type_.dtype is None:
            msg = f"type must be a tensor or a state of one, got {type_}"
            raise ValueError(msg)
        return cls(type_.dtype, type_.shape)

    def __str__(self) -> str:
        """MIL text of the type."""
        return repr(self.type)


@dataclass(frozen=True)
class ElementType:
    """A MIL element type; indexing it with dimensions makes a `TensorSpec`.

    >>> str(fp16[1, 64, 1, 256])
    'tensor<fp16, [1, 64, 1, 256]>'
    """

    name: str

    def __getitem__(self, shape: int | tuple[int | None, ...] | None) -> TensorSpec:
        dims = shape if isinstance(shape, tuple) else (shape,)
        return TensorSpec(self.name, tuple(None if dim is None else int(dim) for dim in dims))

    def __str__(self) -> str:
        return self.name


fp16 = ElementType("fp16")
fp32 = ElementType("fp32")
int8 = ElementType("int8")
uint8 = ElementType("uint8")
int16 = ElementType("int16")
uint16 = ElementType("uint16")
int32 = ElementType("int32")
bool_ = ElementType("bool")


def state(spec: TensorSpec) -> TensorSpec:
    """A state holding a tensor of type `spec`, as a program's input."""
    return TensorSpec(spec.dtype, spec.shape, is_state=True)


NUMPY_DTYPES: dict[str, np.dtype] = {
    "fp16": np.dtype("<f2"),
    "fp32": np.dtype("<f4"),
    "fp64": np.dtype("<f8"),
    "bool": np.dtype("?"),
    "int8": np.dtype("i1"),
    "int16": np.dtype("<i2"),
    "int32": np.dtype("<i4"),
    "int64": np.dtype("<i8"),
    "uint8": np.dtype("u1"),
    "uint16": np.dtype("<u2"),
    "uint32": np.dtype("<u4"),
    "uint64": np.dtype("<u8"),
}
"""NumPy's type of each MIL element type that it has, little endian."""
