"""fp64 NumPy references. Written from the formulas, never from the C++."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def numeric_gradient(
    loss: Callable[[], float], value: np.ndarray, step: float = 1e-5
) -> np.ndarray:
    """Central differences of `loss()` by every element of `value`, which is changed in place."""
    grad = np.zeros(value.shape)
    for index in np.ndindex(value.shape):
        kept = value[index]
        value[index] = kept + step
        high = loss()
        value[index] = kept - step
        low = loss()
        value[index] = kept
        grad[index] = (high - low) / (2 * step)
    return grad
