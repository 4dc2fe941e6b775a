"""Pooling against PyTorch, against the windows' definition in fp64, and Apple's own values."""

from __future__ import annotations

import numpy as np
import pytest

from reference_vision import pool, pool_bound
from tolerance import assert_within

OPS = ["avg_pool", "l2_pool", "max_pool"]


CASES = [
    # shape, kernel, strides, pads
    ((1, 1, 1), (1,), (1,), [(0, 0)]),
    ((2, 3, 37), (5,), (3,), [(2, 1)]),
    ((1, 2, 300), (70,), (1,), [(3, 40)]),
    ((1, 3, 20, 20), (5, 5), (1, 1), [(2, 2), (2, 2)]),
    ((2, 3, 17, 33), (3, 2), (2, 2), [(1, 0), (0, 1)]),
    ((1, 2, 9, 31), (2, 3), (3, 5), [(0, 0), (1, 1)]),
    ((1, 5, 7, 7), (7, 7), (1, 1), [(0, 0), (0, 0)]),
    ((1, 1, 6, 5), (1, 3), (4, 1), [(0, 0), (3, 3)]),
    ((1, 2, 5, 7, 11), (2, 3, 3), (1, 2, 2), [(1, 0), (1, 1), (0, 2)]),
    ((1, 1, 4, 3, 3), (4, 3, 3), (1, 1, 1), [(0, 0)] * 3),
    ((1, 1, 300, 130), (3, 3), (1, 2), [(1, 1), (1, 1)]),
]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("case", range(len(CASES)))
@pytest.mark.parametrize("op", OPS)
def test_windows(evaluate, rng, op, case, dtype):
    shape, kernel, strides, pads = CASES[case]
    if op == "l2_pool" and len(kernel) == 3:
        pytest.skip("MIL's l2_pool has one or two spatial dimensions")
    x = rng.normal(size=shape).astype(dtype)
    for exclude in [False, True] if op == "avg_pool" else [False]:
        value, magnitude = pool(op, x.astype(np.float64), kernel, strides, pads, exclude=exclude)
        given = {"exclude_padding_from_average": exclude} if op == "avg_pool" else {}
        result = evaluate(
            op, {"x": x}, value.shape, dtype, kernel_sizes=np.array(kernel, np.int32),
            strides=np.array(strides, np.int32), pad_type="custom",
            pad=np.array(pads, np.int32).ravel(), **given,
        )  # fmt: skip
        assert_within(result, value, pool_bound(op, value, magnitude, np.prod(kernel), dtype))


def same_pads(spatial, kernel, strides, lower):
    pads = []
    for n, k, s in zip(spatial, kernel, strides, strict=True):
        total = max((-(-n // s) - 1) * s + k - n, 0)
        before = total - total // 2 if lower else total // 2
        pads.append((before, total - before))
    return pads


@pytest.mark.parametrize("pad_type", ["valid", "same", "same_lower"])
@pytest.mark.parametrize("op", OPS)
def test_pad_types(evaluate, rng, op, pad_type):
    x = rng.normal(size=(1, 3, 10, 13)).astype(np.float16)
    kernel, strides = (4, 3), (3, 2)
    pads = [(0, 0)] * 2
    if pad_type != "valid":
        pads = same_pads(x.shape[2:], kernel, strides, pad_type == "same_lower")
    value, magnitude = pool(op, x.astype(np.float64), kernel, strides, pads)
    result = evaluate(
        op, {"x": x}, value.shape, x.dtype, kernel_sizes=np.array(kernel, np.int32),
        strides=np.array(strides, np.int32), pad_type=pad_type,
    )  # fmt: skip
    assert_within(result, value, pool_bound(op, value, magnitude, 12, x.dtype))


TORCH_CASES = [
    # spatial, kernel, strides, pad, ceil_mode
    ((20, 20), (5, 5), (1, 1), (2, 2), False),
    ((21, 10), (3, 2), (2, 2), (1, 1), True),
    ((6, 7), (2, 3), (4, 2), (0, 0), True),
    ((32,), (3,), (2,), (1,), True),
    ((7, 8, 9), (2, 3, 4), (2, 1, 2), (1, 1, 2), False),
]


@pytest.mark.parametrize("case", range(len(TORCH_CASES)))
@pytest.mark.parametrize("op", ["avg_pool", "max_pool"])
def test_against_torch(evaluate, rng, op, case):
    torch = pytest.importorskip("torch")
    spatial, kernel, strides, pad, ceil_mode = TORCH_CASES[case]
    x = rng.normal(size=(2, 3, *spatial)).astype(np.float32)
    function = getattr(torch.nn.functional, f"{op}{len(spatial)}d")
    for exclude in [False, True] if op == "avg_pool" else [None]:
        given = {} if exclude is None else {"count_include_pad": not exclude}
        expected = function(
            torch.from_numpy(x), kernel, stride=strides, padding=pad, ceil_mode=ceil_mode, **given
        ).numpy()
        attributes = {} if exclude is None else {"exclude_padding_from_average": exclude}
        result = evaluate(
            op, {"x": x}, expected.shape, np.float32, kernel_sizes=np.array(kernel, np.int32),
            strides=np.array(strides, np.int32), pad_type="custom",
            pad=np.repeat(np.array(pad, np.int32), 2), ceil_mode=ceil_mode, **attributes,
        )  # fmt: skip
        n = np.prod(kernel)
        bound = 0 if op == "max_pool" else 2 * (n + 2) * 2.0**-24 * np.abs(x).max()
        assert_within(result, expected.astype(np.float64), bound)


def test_l2_pool_gives_apples_values(evaluate):
    """Of coremltools' own tests, which compare with Core ML (BSD-3-Clause; see NOTICE.md)."""
    x = np.arange(1, 5, dtype=np.float32).reshape(1, 1, 2, 2)
    result = evaluate(
        "l2_pool", {"x": x}, x.shape, x.dtype, kernel_sizes=np.array([2, 2], np.int32),
        pad_type="same_lower",
    )  # fmt: skip
    np.testing.assert_allclose(result.ravel(), [1, 2.236068, 3.162278, 5.477226], rtol=1e-6)
    x = np.arange(1, 8, dtype=np.float32).reshape(1, 1, 7)
    result = evaluate(
        "l2_pool", {"x": x}, (1, 1, 3), x.dtype, kernel_sizes=np.array([2], np.int32),
        strides=np.array([2], np.int32), pad_type="valid",
    )  # fmt: skip
    np.testing.assert_allclose(result.ravel(), [2.236068, 5, 7.810250], rtol=1e-6)


def test_infinities_and_nan_reach_their_windows_only(evaluate):
    x = np.zeros((1, 1, 3, 24), np.float16)
    x[0, 0, 1, 5], x[0, 0, 1, 12], x[0, 0, 1, 18] = np.inf, np.nan, -np.inf
    kernel, pad = np.array([3, 3], np.int32), np.ones(4, np.int32)
    result = evaluate(
        "max_pool", {"x": x}, x.shape, x.dtype, kernel_sizes=kernel, pad_type="custom", pad=pad
    )
    expected = np.zeros(24)
    expected[4:7], expected[11:14] = np.inf, np.nan
    np.testing.assert_array_equal(result[0, 0], np.tile(expected, (3, 1)))
    result = evaluate(
        "avg_pool", {"x": x}, x.shape, x.dtype, kernel_sizes=kernel, pad_type="custom", pad=pad
    )
    expected[17:20] = -np.inf
    np.testing.assert_array_equal(result[0, 0], np.tile(expected, (3, 1)))


def test_windows_in_the_padding_alone(evaluate):
    x = np.ones((1, 1, 3), np.float16)
    given = {
        "kernel_sizes": np.array([2], np.int32), "pad_type": "custom",
        "pad": np.array([4, 0], np.int32),
    }  # fmt: skip
    result = evaluate("max_pool", {"x": x}, (1, 1, 6), x.dtype, **given)
    np.testing.assert_array_equal(result[0, 0], [-np.inf] * 3 + [1] * 3)
    result = evaluate("avg_pool", {"x": x}, (1, 1, 6), x.dtype, **given)
    np.testing.assert_array_equal(result[0, 0], [0, 0, 0, 0.5, 1, 1])
    result = evaluate(
        "avg_pool", {"x": x}, (1, 1, 6), x.dtype, exclude_padding_from_average=True, **given
    )
    np.testing.assert_array_equal(result[0, 0], [0, 0, 0, 1, 1, 1])
