"""Token ids as callers give them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..errors import ShapeError


def check_ids(
    ids: npt.ArrayLike, name: str, n_dims: int, low: int | None, high: int
) -> npt.NDArray[np.int32]:
    """`ids` as int32.

    Raises:
        ShapeError: Not integers, not `n_dims`-dimensional, empty, or one is not in [low, high).
    """
    array = np.asarray(ids)
    if array.dtype.kind not in "iu" or array.ndim != n_dims or array.size == 0:
        axes = ["[S]", "[B, S]"][n_dims - 1]
        msg = f"{name} must be a non-empty integer array {axes}, got {array.dtype} {array.shape}"
        raise ShapeError(msg)
    array = array.astype(np.int64)
    outside = array >= high
    if low is not None:
        outside |= array < low
    if outside.any():
        index = [int(i) for i in np.argwhere(outside)[0]]
        rule = f"below {high}" if low is None else f"in [{low}, {high})"
        msg = f"{name} must be {rule}, got {array[tuple(index)]} at {index}"
        raise ShapeError(msg)
    checked: npt.NDArray[np.int32] = np.maximum(array, -1).astype(np.int32)
    return checked
