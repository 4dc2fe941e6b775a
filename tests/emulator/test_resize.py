"""Resizing and upsampling against PyTorch, the definition in fp64, and Apple's own values."""

from __future__ import annotations

import numpy as np
import pytest

import mil_text
import pyane
from reference_vision import SAMPLING_MODES, grid, resize_bound, resized
from tolerance import assert_within


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("mode", SAMPLING_MODES)
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((1, 1, 1, 1), (3, 2)), ((2, 3, 5, 7), (10, 14)), ((1, 2, 7, 33), (3, 17)),
        ((1, 2, 13, 6), (1, 1)), ((3, 4, 9), (7, 9)), ((1, 1, 2, 4, 5), (6, 11)),
    ],
    ids=str,
)  # fmt: skip
def test_resize_bilinear(evaluate, rng, shape, size, mode, dtype):
    x = rng.normal(size=shape).astype(dtype)
    value = resized(x.astype(np.float64), size, mode)
    result = evaluate(
        "resize_bilinear", {"x": x}, value.shape, dtype, target_size_height=size[0],
        target_size_width=size[1], sampling_mode=mode,
    )  # fmt: skip
    assert_within(result, value, resize_bound(x, value, dtype))


@pytest.mark.parametrize("mode", SAMPLING_MODES)
@pytest.mark.parametrize(
    ("shape", "target", "dims"),
    [
        ((2, 3, 5), [9], 1), ((2, 3, 5), [1, 7, 4], 2), ((2, 3, 4, 5), [6, 2, 9], 3),
        ((2, 3, 4, 5), [5, 0, 8], 2), ((7,), [13], 1), ((3, 5), [4, 6], 0),
    ],
    ids=str,
)  # fmt: skip
def test_resize_of_any_dimensions(evaluate, rng, shape, target, dims, mode):
    x = rng.normal(size=shape).astype(np.float32)
    sizes = tuple(
        size or n
        for size, n in zip(target[len(target) - dims :], shape[len(shape) - dims :], strict=True)
    )
    value = resized(x.astype(np.float64), sizes, mode)
    result = evaluate(
        "resize", {"x": x}, value.shape, x.dtype, shape=np.array(target, np.int32),
        resized_dims=np.int32(dims), interpolation_mode="LINEAR", sampling_mode=mode,
    )  # fmt: skip
    assert_within(result, value, resize_bound(x, value, x.dtype))


def test_resize_of_integers_rounds(evaluate):
    x = np.array([[0, 3, -2]], np.int32)
    result = evaluate(
        "resize", {"x": x}, (1, 6), x.dtype, shape=np.array([6], np.int32), resized_dims=np.int32(1),
        sampling_mode="STRICT_ALIGN_CORNERS",
    )  # fmt: skip
    np.testing.assert_array_equal(
        result, np.rint(resized(x.astype(np.float64), (6,), SAMPLING_MODES[1]))
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(
    ("shape", "size"), [((1, 3, 6, 5), (12, 15)), ((2, 1, 9, 8), (4, 3)), ((1, 2, 7), (7, 20))]
)
def test_nearest(evaluate, rng, shape, size, dtype):
    """resize_nearest_neighbor takes the element below the middle of the new one, as TensorFlow does
    with half_pixel_centers and PyTorch calls "nearest-exact"."""
    x = rng.normal(size=shape).astype(dtype)
    sources = [
        np.floor((np.arange(n) + 0.5) * m / n).astype(int)
        for n, m in zip(size, shape[-2:], strict=True)
    ]
    expected = x[..., sources[0], :][..., sources[1]]
    result = evaluate(
        "resize_nearest_neighbor", {"x": x}, expected.shape, dtype, target_size_height=size[0],
        target_size_width=size[1],
    )  # fmt: skip
    np.testing.assert_array_equal(result, expected)
    result = evaluate(
        "resize", {"x": x}, expected.shape, dtype, shape=np.array(size, np.int32),
        resized_dims=np.int32(2), interpolation_mode="NEAREST_NEIGHBOR",
    )  # fmt: skip
    np.testing.assert_array_equal(result, expected)
    torch = pytest.importorskip("torch")
    if len(shape) == 4 and dtype == np.float32:
        theirs = torch.nn.functional.interpolate(torch.from_numpy(x), size, mode="nearest-exact")
        np.testing.assert_array_equal(result, theirs.numpy())


@pytest.mark.parametrize("mode", ["STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "OFFSET_CORNERS"])
def test_nearest_of_other_grids(evaluate, rng, mode):
    x = rng.integers(-9, 9, (2, 5, 7)).astype(np.int32)
    rows, columns = (np.floor(grid(mode, *n) + 0.5).astype(int) for n in [(5, 8), (7, 3)])
    result = evaluate(
        "resize", {"x": x}, (2, 8, 3), x.dtype, shape=np.array([8, 3], np.int32),
        resized_dims=np.int32(2), interpolation_mode="NEAREST_NEIGHBOR", sampling_mode=mode,
    )  # fmt: skip
    np.testing.assert_array_equal(result, x[:, rows][..., columns])


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(
    ("shape", "factors"),
    [
        ((1, 3, 5, 4), (2, 2)),
        ((2, 1, 3), (3, 1)),
        ((1, 1, 40, 33), (np.float32(1.5), np.float32(2))),
    ],
)
def test_upsample_nearest(evaluate, rng, shape, factors, dtype):
    x = rng.normal(size=shape).astype(dtype)
    sizes = [int(n * f) for n, f in zip(shape[-2:], factors, strict=True)]
    rows, columns = (np.arange(size) * n // size for size, n in zip(sizes, shape[-2:], strict=True))
    expected = x[..., rows, :][..., columns]
    result = evaluate(
        "upsample_nearest_neighbor", {"x": x}, expected.shape, dtype,
        scale_factor_height=factors[0], scale_factor_width=factors[1],
    )  # fmt: skip
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("factors", [(3, 4), (2.5, 2.0), (0.5, 0.75)])
def test_upsample_bilinear_against_torch(evaluate, rng, factors, align_corners):
    torch = pytest.importorskip("torch")
    x = rng.normal(size=(2, 5, 10, 22)).astype(np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(x), scale_factor=factors, mode="bilinear", align_corners=align_corners,
        recompute_scale_factor=True,
    ).numpy()  # fmt: skip
    height, width = (np.float32(f) if isinstance(f, float) else f for f in factors)
    result = evaluate(
        "upsample_bilinear", {"x": x}, expected.shape, x.dtype, scale_factor_height=height,
        scale_factor_width=width, align_corners=align_corners,
    )  # fmt: skip
    # PyTorch works its fp32 sample points out of fp32 scales: 22 units.
    assert_within(result, expected.astype(np.float64), 64 * 22 * 2.0**-24)


def apple(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


# Of coremltools' own tests, which compare with Core ML (BSD-3-Clause; see NOTICE.md).
APPLE = {
    "strict": ("resize_bilinear", [0, 1], (1, 5), "STRICT_ALIGN_CORNERS", [0, 0.25, 0.5, 0.75, 1]),
    "default": ("resize_bilinear", [0, 1], (1, 5), "DEFAULT", [0, 0.4, 0.8, 1, 1]),
    "offset": ("resize_bilinear", [0, 1], (1, 5), "OFFSET_CORNERS", [0.1, 0.3, 0.5, 0.7, 0.9]),
    "unalign": ("resize_bilinear", [0, 1], (1, 5), "UNALIGN_CORNERS", [0, 0.1, 0.5, 0.9, 1]),
}


@pytest.mark.parametrize("name", sorted(APPLE))
def test_apples_values(evaluate, name):
    op, x, size, mode, expected = APPLE[name]
    result = evaluate(
        op, {"x": apple(*x).reshape(1, 1, -1)}, (1, 1, 5), np.float32, target_size_height=size[0],
        target_size_width=size[1], sampling_mode=mode,
    )  # fmt: skip
    np.testing.assert_allclose(result.ravel(), expected, rtol=1e-6)


def test_apples_values_of_upsampling(evaluate):
    x = apple(1.5, -2.5, 3.5).reshape(1, 1, 1, 3)
    for height, width, expected in [
        (3.17, 0.67, [1.5, -2.5] * 3),
        (2.0, 1.12, [1.5, -2.5, 3.5] * 2),
    ]:
        shape = (1, 1, int(height), int(3 * width))
        result = evaluate(
            "upsample_nearest_neighbor", {"x": x}, shape, x.dtype,
            scale_factor_height=np.float32(height), scale_factor_width=np.float32(width),
        )  # fmt: skip
        np.testing.assert_array_equal(result.ravel(), expected)
    x = apple(1, 2).reshape(1, 1, 1, 2)
    for half_pixel, expected in [
        (True, [1, 1, 4 / 3, 5 / 3, 2, 2]),
        (False, [1, 4 / 3, 5 / 3, 2, 2, 2]),
    ]:
        result = evaluate(
            "upsample_bilinear", {"x": x}, (1, 1, 2, 6), x.dtype, scale_factor_height=2,
            scale_factor_width=3, align_corners=False, half_pixel_centers=half_pixel,
        )  # fmt: skip
        np.testing.assert_allclose(result[0, 0], [expected] * 2, rtol=1e-6)
    x = apple(-6.174, 9.371).reshape(1, 1, 1, 2, 1)
    result = evaluate(
        "resize", {"x": x}, (1, 1, 1, 3, 2), x.dtype, shape=np.array([1, 1, 3, 2], np.int32),
        resized_dims=np.int32(2), interpolation_mode="NEAREST_NEIGHBOR",
    )  # fmt: skip
    np.testing.assert_array_equal(result.ravel(), apple(*[-6.174] * 2, *[9.371] * 4))


def test_infinite_neighbours_without_weight_do_not_count(evaluate):
    x = apple(1, np.inf, 3).reshape(1, 1, 3)
    result = evaluate(
        "resize_bilinear", {"x": x}, (1, 1, 5), x.dtype, target_size_height=1, target_size_width=5,
        sampling_mode="STRICT_ALIGN_CORNERS",
    )  # fmt: skip
    np.testing.assert_array_equal(result.ravel(), [1, np.inf, np.inf, np.inf, 3])


def test_both_kinds_of_corners_are_refused(emulator):
    text = mil_text.single(
        "upsample_bilinear", {"x": np.zeros((1, 1, 2, 2), np.float16)}, np.float16, (1, 1, 4, 4),
        scale_factor_height=2, scale_factor_width=2, align_corners=True, half_pixel_centers=True,
    )  # fmt: skip
    with pytest.raises(pyane.MilVerifyError, match="must not both be true"):
        emulator.compile(text)
