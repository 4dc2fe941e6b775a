from __future__ import annotations

import numpy as np
import pytest

import reference_ops
from tolerance import assert_within, rounding_bound

U32 = 2.0**-24


def statistics_error(n: int) -> float:
    """Relative error of a mean of n terms in fp32, and of what is made of it."""
    return (n + 8) * U32


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((1,), 0), ((5,), -1), ((3, 7), 0), ((1, 2, 31, 33), -1), ((1, 67, 1, 17), 1), ((2, 1500), 1)],
    ids=str,
)
def test_softmax(evaluate, rng, shape, axis, dtype):
    x = (rng.normal(size=shape) * 4).astype(dtype)
    value = reference_ops.softmax(x.astype(np.float64), axis)
    result = evaluate("softmax", {"x": x}, shape, dtype, axis=axis)
    # exp: one unit, and that of its argument's subtraction, |x| units / 2.
    relative = statistics_error(shape[axis]) + 2 * U32 * np.ptp(x.astype(np.float64))
    assert_within(result, value, rounding_bound(value, dtype) + relative * value)


def test_softmax_of_a_masked_row(evaluate):
    x = np.array([[0, -np.inf, 0, -np.inf], [-60000, 60000, 0, 1]], np.float16)
    result = evaluate("softmax", {"x": x}, x.shape, x.dtype, axis=-1)
    np.testing.assert_array_equal(result, [[0.5, 0, 0.5, 0], [0, 1, 0, 0]])


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [((1, 5), (-1,)), ((2, 7, 33), (2,)), ((1, 67, 1, 17), (1,)), ((2, 3, 5, 7), (3, 1))],
    ids=str,
)
@pytest.mark.parametrize("is_affine", [False, True])
def test_layer_norm(evaluate, rng, shape, axes, dtype, is_affine):
    x = (rng.normal(size=shape) * 3 + 1).astype(dtype)
    kept = [shape[a] for a in sorted(a % len(shape) for a in axes)]
    gamma = rng.normal(size=kept).astype(dtype)
    beta = rng.normal(size=kept).astype(dtype)
    affine = {"gamma": gamma, "beta": beta} if is_affine else {}
    epsilon = np.float32(1e-3)
    value = reference_ops.layer_norm(
        x.astype(np.float64),
        axes,
        *(a.astype(np.float64) for a in affine.values()),
        epsilon=float(epsilon),
    )
    result = evaluate(
        "layer_norm",
        {"x": x},
        shape,
        dtype,
        axes=np.array(axes, np.int32),
        epsilon=epsilon,
        **affine,
    )
    n = int(np.prod(kept))
    # The normalised value before gamma and beta is at most sqrt(n); the mean's error is relative to
    # the largest |x| over the deviation.
    scale = np.max(np.abs(gamma.astype(np.float64))) if is_affine else 1.0
    wide = x.astype(np.float64)
    spread = np.std(wide, axis=tuple(axes), keepdims=True) + float(epsilon)
    size = np.abs(wide - wide.mean()) + np.max(np.abs(wide))
    slack = statistics_error(n) * scale * size / spread + (U32 * 4 if is_affine else 0)
    assert_within(result, value, rounding_bound(value, dtype, 2) + slack)


def test_layer_norm_of_a_constant_row_is_zero(evaluate):
    x = np.full((3, 16), 1000, np.float16)
    result = evaluate("layer_norm", {"x": x}, x.shape, x.dtype, axes=np.array([1], np.int32))
    np.testing.assert_array_equal(result, np.zeros((3, 16)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("shape", [(1, 1, 5), (2, 3, 7, 11), (1, 5, 33)], ids=str)
def test_instance_norm(evaluate, rng, shape, dtype):
    x = (rng.normal(size=shape) * 3).astype(dtype)
    gamma, beta = rng.normal(size=(2, shape[1])).astype(dtype)
    value = reference_ops.instance_norm(
        *(a.astype(np.float64) for a in (x, gamma, beta)), epsilon=float(np.float32(1e-3))
    )
    result = evaluate(
        "instance_norm", {"x": x}, shape, dtype, gamma=gamma, beta=beta, epsilon=np.float32(1e-3)
    )
    slack = statistics_error(int(np.prod(shape[2:]))) * 16 * (1 + np.abs(gamma).max())
    assert_within(result, value, rounding_bound(value, dtype, 2) + slack)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("shape", [(1, 1, 5), (2, 3, 7, 11)], ids=str)
@pytest.mark.parametrize("is_affine", [False, True])
def test_batch_norm(evaluate, rng, shape, dtype, is_affine):
    x = rng.normal(size=shape).astype(dtype)
    mean, gamma, beta = rng.normal(size=(3, shape[1])).astype(dtype)
    variance = rng.uniform(0.5, 2, shape[1]).astype(dtype)
    affine = {"gamma": gamma, "beta": beta} if is_affine else {}
    wide = [a.astype(np.float64) for a in (x, mean, variance, *affine.values())]
    value = reference_ops.batch_norm(*wide, epsilon=float(np.float32(1e-5)))
    result = evaluate(
        "batch_norm", {"x": x}, shape, dtype, mean=mean, variance=variance, epsilon=np.float32(1e-5),
        **affine,
    )  # fmt: skip
    # Four roundings of numbers up to |x - mean| |gamma| / 0.7 + |beta|.
    slack = 8 * U32 * (1 + 2 * (np.abs(wide[0]).max() + 3) * 3)
    assert_within(result, value, rounding_bound(value, dtype) + slack)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_l2_norm(evaluate, rng, dtype):
    x = rng.normal(size=(2, 3, 5, 7)).astype(dtype)
    value = reference_ops.l2_norm(x.astype(np.float64), float(np.float32(1e-3)))
    result = evaluate("l2_norm", {"x": x}, x.shape, dtype, epsilon=np.float32(1e-3))
    relative = statistics_error(105)
    assert_within(result, value, rounding_bound(value, dtype) + relative * np.abs(value))


def local_response_norm(x, size, alpha, beta, k):
    """With one more neighbour before than after when the size is even, as PyTorch has it."""
    squares = np.pad(x * x, [(0, 0), (size // 2, (size - 1) // 2)] + [(0, 0)] * (x.ndim - 2))
    sums = sum(squares[:, i : i + x.shape[1]] for i in range(size))
    return x / (k + alpha / size * sums) ** beta


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 40])
@pytest.mark.parametrize("shape", [(1, 1, 5), (2, 7, 300), (2, 33, 5, 7)], ids=str)
def test_local_response_norm(evaluate, rng, shape, size, dtype):
    x = (rng.normal(size=shape) * 3).astype(dtype)
    parameters = {"alpha": dtype(0.25), "beta": dtype(0.75), "k": dtype(1.5)}
    wide = x.astype(np.float64)
    value = local_response_norm(wide, size, *(float(v) for v in parameters.values()))
    result = evaluate("local_response_norm", {"x": x}, shape, dtype, size=size, **parameters)
    relative = (size + 8) * U32
    assert_within(result, value, rounding_bound(value, dtype, 1) + relative * np.abs(value))


@pytest.mark.parametrize("size", [2, 5])
def test_local_response_norm_against_torch(evaluate, rng, size):
    torch = pytest.importorskip("torch")
    x = (rng.normal(size=(2, 6, 4, 3)) * 9).astype(np.float32)
    expected = torch.nn.functional.local_response_norm(torch.from_numpy(x).double(), size)
    result = evaluate("local_response_norm", {"x": x}, x.shape, x.dtype, size=size)
    value = expected.numpy()
    assert_within(result, value, rounding_bound(value, x.dtype, 2) + 32 * U32 * np.abs(value))
