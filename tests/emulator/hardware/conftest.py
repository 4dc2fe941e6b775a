from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mil_text
import pyane

Evaluate = Callable[..., np.ndarray]


@pytest.fixture
def evaluate() -> Evaluate:
    """evaluate(device, op, arrays, shape, dtype=float16, **attributes): one operation."""

    def run(
        device: pyane.Device,
        op: str,
        arrays: dict[str, np.ndarray],
        shape: tuple[int, ...],
        dtype: Any = "float16",
        /,
        **attributes: Any,
    ) -> np.ndarray:
        text = mil_text.single(op, arrays, dtype, shape, **attributes)
        with device.compile(text) as kernel:
            result = kernel(**arrays)
        assert isinstance(result, np.ndarray)
        return result

    return run


@pytest.fixture
def m1() -> pyane.Device:
    return pyane.device("emulator", chip="m1", numerics="hardware")
