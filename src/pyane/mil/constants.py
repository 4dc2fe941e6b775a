"""Turning Python and NumPy values into MIL constants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .._core import mil as _mil
from .types import NUMPY_DTYPES

FLOATS = ("fp16", "fp32", "fp64")

# What coremltools keeps in the weight file: element types with a blob form, more than 10 elements.
BLOB_DTYPES = ("fp16", "fp32", "int8", "uint8", "int16", "uint16")
MAX_INLINE_ELEMENTS = 10


class ConstantError(ValueError):
    """A value that cannot become the constant asked for; the builder adds op and parameter."""


@dataclass(frozen=True)
class Constant:
    """A constant's element type and its value, a little-endian array or strings."""

    dtype: str
    array: npt.NDArray[np.generic]

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions, () for a scalar."""
        return self.array.shape

    @property
    def is_large(self) -> bool:
        """Belongs in the weight file."""
        return self.dtype in BLOB_DTYPES and self.array.size > MAX_INLINE_ELEMENTS

    @property
    def literal(self) -> _mil.Literal:
        """To be written into the text."""
        if self.dtype != "string":
            return _mil.Literal.tensor(self.array, self.dtype)
        if self.array.ndim == 0:
            return _mil.Literal.string(str(self.array))
        return _mil.Literal.strings([str(entry) for entry in self.array])

    @property
    def key(self) -> tuple[str, tuple[int, ...], bytes]:
        """Equal for equal constants."""
        return (self.dtype, self.shape, self.array.tobytes())


def mil_dtype(dtype: npt.DTypeLike) -> str:
    """MIL's name of a NumPy element type."""
    wanted = np.dtype(dtype).newbyteorder("<")
    for name, known in NUMPY_DTYPES.items():
        if known == wanted:
            return name
    msg = f"no MIL element type for NumPy's {np.dtype(dtype)}"
    raise ConstantError(msg)


def natural_dtype(value: object, float_dtype: str) -> str:
    """Element type of `value` by itself: floats are `float_dtype`, ints are int32."""
    if isinstance(value, str):
        return "string"
    array = np.asarray(value)
    kind = array.dtype.kind
    if kind == "U":
        return "string"
    if kind == "b":
        return "bool"
    if kind == "f":
        return float_dtype
    if kind in "iu":
        # Python's ints and NumPy's default ints are int32 in MIL; explicit small types are kept.
        return "int32" if array.dtype.itemsize > 2 else mil_dtype(array.dtype)
    msg = f"must be numbers, bools or a string, got {_describe(value)}"
    raise ConstantError(msg)


def make_constant(value: object, dtype: str) -> Constant:
    """Converts `value` to `dtype`, refusing values that the type does not hold.

    Raises:
        ConstantError: Wrong kind, an integer out of range, a finite number that overflows, or a
            scalar that becomes 0.
    """
    array = np.asarray(value)
    if dtype == "string" or array.dtype.kind == "U":
        if dtype != "string" or array.dtype.kind != "U":
            msg = f"must be {dtype}, got {_describe(value)}"
            raise ConstantError(msg)
        return Constant("string", array)
    target = NUMPY_DTYPES.get(dtype)
    if target is None:
        msg = f"dtype must be one of {', '.join(NUMPY_DTYPES)}, got {dtype!r}"
        raise ConstantError(msg)
    kinds = {"bool": "b", **dict.fromkeys(FLOATS, "fiu")}.get(dtype, "iu")
    if array.dtype.kind not in kinds and array.size > 0:
        msg = f"must be {dtype}, got {_describe(value)}"
        raise ConstantError(msg)
    if target.kind in "iu":
        return Constant(dtype, _to_integers(array, dtype, target))
    if target.kind == "f":
        return Constant(dtype, _to_floats(array, dtype, target))
    return Constant(dtype, np.ascontiguousarray(array, target).reshape(array.shape))


def _to_integers(
    array: npt.NDArray[np.generic],
    dtype: str,
    target: np.dtype,
) -> npt.NDArray[np.generic]:
    limits = np.iinfo(target)
    if array.size and (int(array.min()) < limits.min or int(array.max()) > limits.max):
        msg = f"must fit {dtype} [{limits.min}, {limits.max}], got {_extreme(array)}"
        raise ConstantError(msg)
    return np.ascontiguousarray(array, target).reshape(array.shape)


def _to_floats(
    array: npt.NDArray[np.generic],
    dtype: str,
    target: np.dtype,
) -> npt.NDArray[np.generic]:
    with np.errstate(over="ignore", under="ignore"):
        result = np.ascontiguousarray(array, target).reshape(array.shape)
    if array.dtype == target:  # What is there already fits, and may be large.
        return result
    overflows = np.isinf(result) & np.isfinite(array)
    if overflows.any():
        largest = float(np.finfo(target).max)
        msg = f"must fit {dtype} (at most {largest:g}), got {float(array[overflows].flat[0]):g}"
        raise ConstantError(msg)
    if array.ndim == 0 and array != 0 and result == 0:
        smallest = float(np.finfo(target).smallest_subnormal)
        msg = f"must not become 0 in {dtype} (smallest {smallest:g}), got {float(array):g}"
        raise ConstantError(msg)
    return result


def _extreme(array: npt.NDArray[np.generic]) -> int:
    low, high = int(array.min()), int(array.max())
    return low if abs(low) > abs(high) else high


def _describe(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    return repr(value) if isinstance(value, str | bool | int | float) else type(value).__name__
