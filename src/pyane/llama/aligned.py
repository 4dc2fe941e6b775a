"""fp32 arrays for the CPU's part of training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .parameters import Float32Array

# Of a cache line, and of the widest vectors: each load and store of them then touches one line, and
# two threads that write neighbouring ones do not take a line from each other.
_ALIGNMENT = 64


def aligned_zeros(shape: tuple[int, ...]) -> Float32Array:
    """Zeros that begin a cache line; NumPy's own arrays usually do not.

    Large ones get their memory page by page from whoever writes first: Adam's threads, which have the
    same share of the moments in every step.
    """
    n, item = math.prod(shape), np.dtype(np.float32).itemsize
    memory = np.zeros(n + _ALIGNMENT // item, np.float32)
    start = -memory.ctypes.data % _ALIGNMENT // item
    return memory[start : start + n].reshape(shape)
