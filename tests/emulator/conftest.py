from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

import backend
import mil_text
import pyane
from bit_patterns import bits
from pyane import mil

Evaluate = Callable[..., np.ndarray]
Compare = Callable[..., dict[str, np.ndarray]]


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
def compare(emulator: pyane.Device, monkeypatch: pytest.MonkeyPatch) -> Compare:
    """compare(program, inputs): optimised and plain, on one thread and three, give the same bits."""

    def run(program: mil.Program, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        monkeypatch.setenv("PYANE_EMULATOR_PLAIN", "1")
        plain = emulator.compile(program)
        monkeypatch.delenv("PYANE_EMULATOR_PLAIN")
        fast = emulator.compile(program)
        plain(**inputs)
        expected = {name: array.copy() for name, array in plain.outputs.items()}
        for threads in (1, 3):
            pyane.set_num_threads(threads)
            fast(**inputs)
            for name, array in fast.outputs.items():
                np.testing.assert_array_equal(bits(array), bits(expected[name]), err_msg=name)
        return expected

    return run


@pytest.fixture
def one_thread_after() -> Any:
    """Restores the number of threads."""
    before = pyane.num_threads()
    yield
    pyane.set_num_threads(before)
