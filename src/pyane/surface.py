"""Memory shared with a device."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ._core import base as _base
from ._core import engine as _engine
from .arguments import INT64_MAX, as_int
from .errors import ShapeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, DTypeLike

_FP16 = np.dtype(np.float16)
_FP32 = np.dtype(np.float32)


def convert_into(target: np.ndarray[Any, Any], source: np.ndarray[Any, Any]) -> None:
    """`target[...] = source` for arrays of one shape; between fp16 and fp32 at memory's speed.

    NumPy converts fp16 element by element. The bits are the same.

    Raises:
        TypeError: The element types are of different kinds.
    """
    pair = (source.dtype, target.dtype)
    convert = _CONVERSIONS.get(pair)
    if (
        convert is None
        or not (target.flags.c_contiguous and source.flags.c_contiguous and source.flags.aligned)
        or np.may_share_memory(source, target)
    ):
        return np.copyto(target, source, casting="same_kind")
    return convert(source, target)


_CONVERSIONS = {(_FP32, _FP16): _base.float_to_half, (_FP16, _FP32): _base.half_to_float}


def _is_one_kind(source: np.dtype[Any], target: np.dtype[Any]) -> bool:
    usual = (source, target) in _CONVERSIONS  # Quicker to see than what NumPy allows.
    return usual or np.can_cast(source, target, casting="same_kind")


def check_range(what: str, source: np.ndarray[Any, Any], target: np.dtype[Any]) -> None:
    """Whether integers keep their values in another integer type, where NumPy would wrap them.

    Looks at the values only where the types allow that some do not.

    Raises:
        ShapeError: Some do not; names the first.
    """
    if target.kind not in "iu" or source.dtype.kind not in "iu" or source.size == 0:
        return
    if source.dtype == target or np.can_cast(source.dtype, target, casting="safe"):
        return
    range_ = np.iinfo(target)
    if range_.min <= int(source.min()) and int(source.max()) <= range_.max:
        return
    # Not beyond the type's own range, in which NumPy takes Python's integers.
    wrong = np.zeros(source.shape, bool)
    own = np.iinfo(source.dtype)
    if own.max > range_.max:
        wrong |= source > range_.max
    if own.min < range_.min:
        wrong |= source < range_.min
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    msg = (
        f"{what} must be from {range_.min} to {range_.max}, as {target} holds, "
        f"got {source[at]} at {list(at)}"
    )
    raise ShapeError(msg)


def _as_offset(where: str, offset: int) -> int:
    if type(offset) is int and -INT64_MAX <= offset <= INT64_MAX:  # Quick: for every transfer.
        return offset
    return as_int(where, "offset", offset, -INT64_MAX)


class Surface:
    """Memory that the device and this process see at once, without copies.

    An IOSurface on macOS, a memfd mapping elsewhere: page-aligned, zero-filled, and at least
    48 KiB, the least that the engine takes. Has bytes only; shapes belong to whoever binds it.
    Forked children share it with their parent, unless a kernel made it for itself.

    Args:
        n_bytes: Bytes needed. More may be allocated; see `n_bytes`. For a kernel take
            `Kernel.surface_bytes`.

    Raises:
        TypeError: `n_bytes` is no integer.
        ShapeError: `n_bytes` is negative, or more than any machine has.
        Error: The system has no memory or descriptors left.
    """

    __slots__ = ("_native",)

    def __init__(self, n_bytes: int) -> None:
        self._native = _engine.create_surface(as_int("Surface", "n_bytes", n_bytes))

    @classmethod
    def open(cls, native_id: int) -> Surface:
        """The surface behind another process's `native_id`.

        Args:
            native_id: A file descriptor of this process (Linux; duplicated, so the caller keeps
                its own), or an IOSurface id (macOS).

        Raises:
            TypeError: It is no integer.
            Error: It is no such thing, or smaller than a page.
        """
        native_id = as_int("Surface.open", "native_id", native_id, -INT64_MAX)
        surface = cls.__new__(cls)
        surface._native = _engine.open_surface(native_id)
        return surface

    @classmethod
    def wrap(cls, handle: int) -> Surface:
        """The surface behind an IOSurface that the caller made, for Metal or CoreVideo say.

        Args:
            handle: The IOSurfaceRef as a number (from PyObjC: `objc.pyobjc_id(surface)`). It is
                retained for as long as this object, or an array on it, lives.

        Raises:
            TypeError: `handle` is no integer.
            Error: It is no IOSurface, is smaller than a page, or this is not macOS.
        """
        handle = as_int("Surface.wrap", "handle", handle, high=2**64 - 1)
        surface = cls.__new__(cls)
        surface._native = _engine.wrap_surface(handle)
        return surface

    @property
    def n_bytes(self) -> int:
        """Allocated bytes."""
        return int(self._native.n_bytes)

    @property
    def native_id(self) -> int:
        """What `open` takes in another process: descriptor (Linux) or IOSurface id (macOS)."""
        return int(self._native.native_id)

    def fileno(self) -> int:
        """The memory's file descriptor, owned by the surface. Linux only."""
        if _engine.surface_kind() != "memfd":
            msg = "Surface.fileno: an IOSurface has no file descriptor; pass native_id instead"
            raise OSError(msg)
        return self.native_id

    def array(
        self, shape: Sequence[int] | int, dtype: DTypeLike = np.float16, offset: int = 0
    ) -> np.ndarray[Any, np.dtype[Any]]:
        """A NumPy array on the surface's memory, which it keeps alive.

        Args:
            shape: Dimensions.
            dtype: Element type.
            offset: Bytes from the start of the surface, a multiple of the element size.

        Raises:
            TypeError: A dimension or `offset` is no integer.
            ShapeError: The array does not fit into the surface, or `dtype` is none of numbers.
        """
        return self._array("Surface.array", shape, dtype, offset)

    def _array(
        self, where: str, shape: Sequence[int] | int, dtype: DTypeLike, offset: int
    ) -> np.ndarray[Any, np.dtype[Any]]:
        sizes = shape if isinstance(shape, Iterable) else [shape]
        dims = [as_int(where, f"shape[{i}]", size, -INT64_MAX) for i, size in enumerate(sizes)]
        array: np.ndarray[Any, np.dtype[Any]] = self._native.array(
            dims, np.dtype(dtype), _as_offset(where, offset)
        )
        return array

    def write(self, values: ArrayLike, dtype: DTypeLike = np.float16, offset: int = 0) -> None:
        """Store `values` as elements of `dtype`, densely packed in row-major order.

        fp32 to fp16, the usual case, runs vectorised on the thread pool, many times as fast as
        assigning to `array(...)`, with the same bits: halves round to even, what is too large
        becomes infinity.

        Args:
            values: Array of any shape, of the kind of `dtype` (floats for floats).
            dtype: Element type on the surface.
            offset: Bytes from the start of the surface, a multiple of the element size.

        Raises:
            TypeError: `offset` is no integer.
            ShapeError: The values do not fit into the surface, are of another kind, or are integers
                out of the range of `dtype`.
        """
        offset = _as_offset("Surface.write", offset)
        source = np.asarray(values)
        if dtype is np.float16 and self._native.write_floats(source, offset):
            return
        target = self._array("Surface.write", source.shape, dtype, offset)
        if not _is_one_kind(source.dtype, target.dtype):
            msg = f"Surface.write: values must be convertible to {target.dtype}, got {source.dtype}"
            raise ShapeError(msg)
        check_range("Surface.write: values", source, target.dtype)
        if not source.flags.c_contiguous:
            source = np.ascontiguousarray(source)
        convert_into(target, source)

    def read(
        self,
        shape: Sequence[int] | int,
        dtype: DTypeLike = np.float16,
        offset: int = 0,
        *,
        out: np.ndarray[Any, np.dtype[Any]] | None = None,
    ) -> np.ndarray[Any, np.dtype[Any]]:
        """A copy of what the surface holds, as fp32 where that is fp16: the reverse of `write`.

        Args:
            shape: Dimensions.
            dtype: Element type on the surface.
            offset: Bytes from the start of the surface, a multiple of the element size.
            out: Array of `shape` to fill and return, instead of a new one; of another element type
                of the same kind, if wanted.

        Raises:
            TypeError: A dimension or `offset` is no integer, or `out` is no array.
            ShapeError: The array does not fit into the surface, `out` has another shape or kind, or
                the surface holds integers out of the range of `out`.
        """
        if out is not None and not isinstance(out, np.ndarray):
            msg = f"Surface.read: out must be a NumPy array, got {type(out).__name__}"
            raise TypeError(msg)
        offset = _as_offset("Surface.read", offset)
        if (
            dtype is np.float16
            and out is not None
            and isinstance(shape, tuple)  # Not an array, whose comparison is one, too.
            and out.shape == shape
            and self._native.read_floats(out, offset)
        ):
            return out
        source = self._array("Surface.read", shape, dtype, offset)
        if out is None:
            out = np.empty(source.shape, _FP32 if source.dtype == _FP16 else source.dtype)
        if out.shape != source.shape or not _is_one_kind(source.dtype, out.dtype):
            msg = (
                f"Surface.read: out must be an array of shape {list(source.shape)} for "
                f"{source.dtype}, got {out.dtype} of shape {list(out.shape)}"
            )
            raise ShapeError(msg)
        check_range("Surface.read: out", source, out.dtype)
        convert_into(out, source)
        return out

    @contextmanager
    def lock(self, *, read_only: bool = False) -> Iterator[Surface]:
        """Hold the surface while the CPU reads it (`read_only`) or writes it.

        The engine's caches are brought up to date on macOS; elsewhere memory is coherent and locks
        only count. Locks nest.
        """
        self._native.lock(read_only)
        try:
            yield self
        finally:
            self._native.unlock(read_only)

    @property
    def lock_count(self) -> int:
        """Locks held now."""
        return int(self._native.lock_count)

    def __repr__(self) -> str:
        return f"Surface({self.n_bytes} bytes, native_id={self.native_id})"
