from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

import backend
import mil_text
import pyane

Evaluate = Callable[..., np.ndarray]


@pytest.fixture
def emulator() -> pyane.Device:
    return backend.device()


@pytest.fixture
def evaluate(emulator: pyane.Device) -> Evaluate:
    """evaluate(op, arrays, shape, dtype, **attributes): one operation, its operands as inputs."""

    def run(
        op: str,
        arrays: Mapping[str, np.ndarray],
        shape: Sequence[int],
        dtype: Any,
        /,
        **attributes: Any,
    ) -> np.ndarray:
        text = mil_text.single(op, arrays, dtype, shape, **attributes)
        result = emulator.compile(text)(**arrays)
        assert isinstance(result, np.ndarray)
        return result

    return run


@pytest.fixture
def one_thread_after() -> Any:
    """Restores the number of threads."""
    before = pyane.num_threads()
    yield
    pyane.set_num_threads(before)
