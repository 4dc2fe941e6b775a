"""The emulator against coremltools' own evaluation of operations on constants."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import numpy as np
import pytest

from tolerance import assert_within, rounding_bound


@pytest.fixture(scope="module")
def infer() -> Any:
    """infer(op, operands, attributes): the first result, as coremltools works it out."""
    ct = pytest.importorskip("coremltools")
    package = importlib.import_module("coremltools.converters.mil")
    function = package.mil.Function

    def run(op: str, operands: dict[str, Any], attributes: dict[str, Any]) -> np.ndarray:
        with function({}, opset_version=ct.target.iOS18), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy's, of infinities and NaN.
            result = getattr(package.Builder, op)(**operands, **attributes)
        first = result[0] if isinstance(result, (tuple, list)) else result
        return np.asarray(first.val)

    return run


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


X = np.random.default_rng(5).normal(size=(3, 4, 7)).astype(np.float32)
POSITIVE = np.abs(X) + np.float32(0.25)
INSIDE = np.tanh(X)
INTEGERS = np.random.default_rng(6).integers(-9, 9, (3, 4, 7)).astype(np.int32)
FLAGS = INTEGERS > 0
INDICES = np.random.default_rng(7).integers(0, 4, (3, 5, 7)).astype(np.int32)

EXACT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "abs": ({"x": X}, {}),
    "argsort": ({"x": X}, {"axis": 1, "ascending": True}),
    "band_part": ({"x": X}, {"lower": 1, "upper": 2}),
    "ceil": ({"x": X}, {}),
    "clip": ({"x": X}, {"alpha": np.float32(-0.5), "beta": np.float32(0.75)}),
    "equal": ({"x": INTEGERS, "y": INTEGERS[::-1].copy()}, {}),
    "expand_dims": ({"x": X}, {"axes": ints(0, -1)}),
    "flatten2d": ({"x": X}, {"axis": 2}),
    "floor": ({"x": X}, {}),
    "floor_div": ({"x": INTEGERS, "y": np.full_like(INTEGERS, -4)}, {}),
    "gather": ({"x": X, "indices": INDICES[0, :, 0].copy()}, {"axis": 1}),
    "gather_along_axis": ({"x": X, "indices": INDICES}, {"axis": 1}),
    "greater": ({"x": X, "y": X[::-1].copy()}, {}),
    "greater_equal": ({"x": INTEGERS, "y": INTEGERS[::-1].copy()}, {}),
    "less": ({"x": X, "y": X[::-1].copy()}, {}),
    "less_equal": ({"x": INTEGERS, "y": INTEGERS[::-1].copy()}, {}),
    "logical_and": ({"x": FLAGS, "y": FLAGS[::-1].copy()}, {}),
    "logical_not": ({"x": FLAGS}, {}),
    "logical_or": ({"x": FLAGS, "y": FLAGS[::-1].copy()}, {}),
    "logical_xor": ({"x": FLAGS, "y": FLAGS[::-1].copy()}, {}),
    "maximum": ({"x": X, "y": X[::-1].copy()}, {}),
    "minimum": ({"x": INTEGERS, "y": INTEGERS[::-1].copy()}, {}),
    "mod": ({"x": INTEGERS, "y": np.full_like(INTEGERS, -4)}, {}),
    "not_equal": ({"x": INTEGERS, "y": INTEGERS[::-1].copy()}, {}),
    "pad": ({"x": X}, {"pad": ints(1, 2, 0, 3), "mode": "reflect"}),
    "reduce_argmax": ({"x": X}, {"axis": 1}),
    "reduce_argmin": ({"x": X}, {"axis": -1, "keep_dims": True}),
    "reduce_max": ({"x": X}, {"axes": ints(0, 2)}),
    "reduce_min": ({"x": X}, {"axes": ints(1), "keep_dims": True}),
    "relu": ({"x": X}, {}),
    "relu6": ({"x": X * 5}, {}),
    "reverse": ({"x": X}, {"axes": ints(0, 2)}),
    "round": ({"x": X * 3}, {}),
    "scatter_along_axis": ({"data": X, "indices": INDICES[:, :1], "updates": X[:, :1].copy()}, {"axis": 1, "mode": "update"}),
    "select": ({"cond": FLAGS, "a": X, "b": X[::-1].copy()}, {}),
    "sign": ({"x": X}, {}),
    "slice_by_index": ({"x": X}, {"begin": ints(2, 0, 1), "end": ints(0, 3, 7), "stride": ints(-1, 1, 2)}),
    "slice_by_size": ({"x": X}, {"begin": ints(1, 0, 2), "size": ints(2, -1, 3)}),
    "slice_update": (
        {"x": X, "update": X[:2, :2, :3].copy()},
        {"begin": ints(0, 1, 1), "end": ints(2, 3, 7), "stride": ints(1, 1, 2)},
    ),
    "squeeze": ({"x": X[:, :1]}, {"axes": ints(1)}),
    "threshold": ({"x": X}, {"alpha": np.float32(0.25)}),
    "thresholded_relu": ({"x": X}, {"alpha": np.float32(0.25)}),
    "tile": ({"x": X}, {"reps": ints(1, 3, 2)}),
    "topk": ({"x": X}, {"k": 3, "axis": 1, "return_indices": False}),
    "transpose": ({"x": X}, {"perm": ints(2, 0, 1)}),
}  # fmt: skip

# Beside the rounding of the result, in units of fp32: what the function errs by here (kernels/tile.h)
# and what NumPy's fp32 does, another unit or two.
CLOSE: dict[str, tuple[dict[str, Any], dict[str, Any], float]] = {
    "acos": ({"x": INSIDE}, {}, 3),
    "asin": ({"x": INSIDE}, {}, 3),
    "atan": ({"x": X}, {}, 3),
    "atanh": ({"x": INSIDE}, {}, 4),
    "clamped_relu": ({"x": X}, {"alpha": np.float32(0.5), "beta": np.float32(0.75)}, 1),
    "cos": ({"x": X}, {}, 3),
    "cosh": ({"x": X}, {}, 4),
    "elu": ({"x": X}, {"alpha": np.float32(0.5)}, 16),  # exp(x) - 1 there, with cancellation.
    "erf": ({"x": X}, {}, 4),
    "exp": ({"x": X}, {}, 3),
    "exp2": ({"x": X}, {}, 3),
    "inverse": ({"x": POSITIVE}, {"epsilon": np.float32(1e-3)}, 3),
    "leaky_relu": ({"x": X}, {"alpha": np.float32(0.25)}, 1),
    "linear_activation": ({"x": POSITIVE}, {"alpha": np.float32(0.5), "beta": np.float32(1.5)}, 2),
    "log": ({"x": POSITIVE + 1}, {"epsilon": np.float32(1e-5)}, 8),
    "pow": ({"x": POSITIVE, "y": X}, {}, 4),
    "real_div": ({"x": X, "y": POSITIVE}, {}, 1),
    "reduce_l1_norm": ({"x": X}, {"axes": ints(1, 2)}, 28),
    "reduce_l2_norm": ({"x": X}, {"axes": ints(0)}, 4),
    "reduce_log_sum": ({"x": POSITIVE + 1}, {"axes": ints(2)}, 9),
    "reduce_log_sum_exp": ({"x": POSITIVE}, {"axes": ints(2)}, 16),
    "reduce_mean": ({"x": POSITIVE}, {"axes": ints(-1)}, 8),
    "reduce_prod": ({"x": POSITIVE}, {"axes": ints(1)}, 5),
    "reduce_sum": ({"x": POSITIVE}, {"axes": ints(0, 1)}, 12),
    "reduce_sum_square": ({"x": X}, {"axes": ints(1)}, 8),
    "rsqrt": ({"x": POSITIVE}, {"epsilon": np.float32(1e-3)}, 3),
    "scaled_tanh": ({"x": X}, {"alpha": np.float32(0.5), "beta": np.float32(1.5)}, 6),
    "sigmoid": ({"x": X}, {}, 4),
    "sigmoid_hard": ({"x": POSITIVE}, {"alpha": np.float32(0.25), "beta": np.float32(0.5)}, 2),
    "sin": ({"x": X}, {}, 3),
    "sinh": ({"x": X}, {}, 4),
    "softmax": ({"x": X}, {"axis": 1}, 12),
    "softplus": ({"x": X}, {}, 8),
    "softsign": ({"x": X}, {}, 3),
    "sqrt": ({"x": POSITIVE}, {}, 1),
    "square": ({"x": X}, {}, 1),
    "tan": ({"x": INSIDE}, {}, 4),
    "tanh": ({"x": X}, {}, 4),
}


@pytest.mark.parametrize("op", sorted(EXACT))
def test_exact(evaluate, infer, op):
    operands, attributes = EXACT[op]
    expected = infer(op, operands, attributes)
    result = evaluate(op, operands, expected.shape, expected.dtype, **attributes)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("op", sorted(CLOSE))
def test_close(evaluate, infer, op):
    operands, attributes, ulps = CLOSE[op]
    expected = infer(op, operands, attributes)
    result = evaluate(op, operands, expected.shape, np.float32, **attributes)
    value = expected.astype(np.float64)
    assert_within(result, value, rounding_bound(value, np.float32, ulps))
