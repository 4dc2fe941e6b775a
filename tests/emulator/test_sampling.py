"""resample, affine and crop_resize against PyTorch, their definitions, and Apple's own values."""

from __future__ import annotations

import numpy as np
import pytest

import mil_text
import pyane
from tolerance import assert_within, rounding_bound

PADDINGS = ["constant", "border", "reflection", "symmetric"]
COORDINATES = ["unnormalized", "normalized_minus_one_to_one", "normalized_zero_to_one"]
PAD_MODES = {"constant": "constant", "border": "edge", "reflection": "reflect"}
PAD_MODES["symmetric"] = "symmetric"


def pixels(coordinates: np.ndarray, n: int, mode: str, aligns: bool) -> np.ndarray:
    if mode == "unnormalized":
        return coordinates
    part = coordinates if mode == "normalized_zero_to_one" else (coordinates + 1) / 2
    return part * (n - 1) if aligns else part * n - 0.5


def sampled(x, coordinates, sampling, padding, value, mode, aligns, margin=40):
    """Samples of an image that np.pad has continued on all sides."""
    b, c, h, w = x.shape
    widths = [(0, 0), (0, 0), (margin, margin), (margin, margin)]
    given = {"constant_values": value} if padding == "constant" else {}
    padded = np.pad(x, widths, mode=PAD_MODES[padding], **given)
    px = pixels(coordinates[..., 0], w, mode, aligns) + margin
    py = pixels(coordinates[..., 1], h, mode, aligns) + margin
    result = np.zeros((b, c, *coordinates.shape[1:3]))
    for n in range(b):
        if sampling == "nearest":
            result[n] = padded[n][:, np.rint(py[n]).astype(int), np.rint(px[n]).astype(int)]
            continue
        left, top = np.floor(px[n]).astype(int), np.floor(py[n]).astype(int)
        right, down = px[n] - left, py[n] - top
        for dy, wy in [(0, 1 - down), (1, down)]:
            for dx, wx in [(0, 1 - right), (1, right)]:
                result[n] += padded[n][:, top + dy, left + dx] * wy * wx
    return result


def attributes(sampling, padding, value, mode, aligns):
    return {
        "sampling_mode": sampling, "padding_mode": padding, "padding_value": value,
        "coordinates_mode": mode, "align_corners": aligns,
    }  # fmt: skip


def bound(x, value, dtype):
    # Four weights rounded, four products and sums of numbers up to |x| (weights add up to 1).
    return rounding_bound(value, dtype) + 8 * 2.0**-24 * (np.abs(x).max() + 1)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("sampling", ["bilinear", "nearest"])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("mode", COORDINATES)
@pytest.mark.parametrize("aligns", [True, False])
def test_resample(evaluate, rng, mode, padding, sampling, aligns, dtype):
    x = rng.normal(size=(2, 3, 5, 7)).astype(dtype)
    scale = {"unnormalized": 12, "normalized_zero_to_one": 3}.get(mode, 4)
    # Odd multiples of 1/64 stay away from ties between pixels.
    coordinates = (rng.integers(-scale * 32, scale * 32, (2, 4, 6, 2)) * 2 + 1) / 64
    coordinates = coordinates.astype(np.float32)
    wide = coordinates.astype(np.float64)
    value = sampled(x.astype(np.float64), wide, sampling, padding, 1.5, mode, aligns)
    result = evaluate(
        "resample", {"x": x, "coordinates": coordinates}, value.shape, dtype,
        **attributes(sampling, padding, dtype(1.5), mode, aligns),
    )  # fmt: skip
    if sampling == "nearest":
        np.testing.assert_array_equal(result, value)
    else:
        assert_within(result, value, bound(x, value, dtype))


@pytest.mark.parametrize("coordinates_dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32])
def test_resample_at_integers(evaluate, rng, coordinates_dtype):
    x = rng.normal(size=(1, 2, 5, 7)).astype(np.float16)
    coordinates = rng.integers(0, 5, (1, 3, 4, 2)).astype(coordinates_dtype)
    result = evaluate(
        "resample", {"x": x, "coordinates": coordinates}, (1, 2, 3, 4), x.dtype,
        **attributes("bilinear", "border", np.float16(0), "unnormalized", True),
    )  # fmt: skip
    expected = x[:, :, coordinates[0, ..., 1].astype(int), coordinates[0, ..., 0].astype(int)]
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("sampling", ["bilinear", "nearest"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("aligns", [True, False])
def test_resample_against_torch(evaluate, rng, padding, sampling, aligns):
    torch = pytest.importorskip("torch")
    x = rng.normal(size=(2, 3, 8, 11)).astype(np.float32)
    grid = ((rng.integers(-128, 128, (2, 5, 4, 2)) * 2 + 1) / 128).astype(np.float32)
    expected = torch.nn.functional.grid_sample(
        torch.from_numpy(x), torch.from_numpy(grid), mode=sampling, padding_mode=padding,
        align_corners=aligns,
    ).numpy()  # fmt: skip
    # PyTorch reflects at the centre of the border pixel or at its edge as align_corners says.
    mine = {"zeros": "constant", "border": "border"}.get(
        padding, "reflection" if aligns else "symmetric"
    )
    result = evaluate(
        "resample", {"x": x, "coordinates": grid}, expected.shape, x.dtype,
        **attributes(sampling, mine, np.float32(0), COORDINATES[1], aligns),
    )  # fmt: skip
    # PyTorch's places are fp32: up to 22 pixels, so 22 units of error in a weight.
    limit = 0 if sampling == "nearest" else 2 * 32 * 2.0**-23 * 2 * np.abs(x).max()
    assert_within(result, expected.astype(np.float64), limit)


def test_places_that_are_no_numbers_lie_outside(evaluate):
    x = np.ones((1, 1, 2, 2), np.float32)
    coordinates = np.array([[np.nan, 0], [np.inf, 0], [-np.inf, -np.inf], [0, 0]], np.float32)
    result = evaluate(
        "resample", {"x": x, "coordinates": coordinates.reshape(1, 1, 4, 2)}, (1, 1, 1, 4), x.dtype,
        **attributes("bilinear", "constant", np.float32(7), "unnormalized", True),
    )  # fmt: skip
    np.testing.assert_array_equal(result.ravel(), [7, 7, 7, 1])


# The values below are those of coremltools' own tests, which compare with Core ML (BSD-3-Clause;
# see NOTICE.md).


@pytest.mark.parametrize(
    ("sampling", "padding", "value", "mode", "aligns", "expected"),
    [
        ("bilinear", "constant", 6.17, COORDINATES[1], True, [8.585, 6.17, 27.5, 6.17]),
        ("nearest", "border", -1.0, "unnormalized", False, [11, 11, 11, 44]),
        ("bilinear", "reflection", -1.0, COORDINATES[2], True, [22, 36.3, 11, 34.1]),
        ("nearest", "symmetric", -1.0, COORDINATES[2], False, [22, 33, 11, 33]),
    ],
)
def test_apples_values_of_resample(evaluate, sampling, padding, value, mode, aligns, expected):
    x = np.array([11, 22, 33, 44], np.float32).reshape(1, 1, 2, 2)
    coordinates = np.array([-1, -2, -3.7, -1, 0, 0, 3.5, 1.2], np.float32).reshape(1, 2, 2, 2)
    result = evaluate(
        "resample", {"x": x, "coordinates": coordinates}, (1, 1, 2, 2), x.dtype,
        **attributes(sampling, padding, np.float32(value), mode, aligns),
    )  # fmt: skip
    np.testing.assert_allclose(result.ravel(), expected, rtol=1e-5)


AFFINE = {
    "sampling_mode": "bilinear", "padding_mode": "constant", "align_corners": True,
    "coordinates_mode": "normalized_minus_one_to_one",
}  # fmt: skip


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((3, 3), [10.752501, 2.5025, 0, 1.9799997, 0, 0, 0, 0, 0]),
        ((2, 5), [10.752501, 5.94, 2.5025, 0.44000006, 0, 0, 0, 0, 0, 0]),
    ],
)
def test_apples_values_of_affine(evaluate, size, expected):
    x = np.array([11, 22, 33, 44], np.float32).reshape(1, 1, 2, 2)
    matrix = np.array([[-1, -2, -3.7, -1, 3.5, 1.2]], np.float32)
    result = evaluate(
        "affine", {"x": x, "transform_matrix": matrix}, (1, 1, *size), x.dtype,
        output_height=size[0], output_width=size[1], padding_value=np.float32(0), **AFFINE,
    )  # fmt: skip
    np.testing.assert_allclose(result.ravel(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n_matrices", [1, 3])
def test_affine_against_torch(evaluate, rng, n_matrices):
    torch = pytest.importorskip("torch")
    x = rng.normal(size=(3, 2, 9, 6)).astype(np.float32)
    matrix = rng.normal(size=(n_matrices, 6)).astype(np.float32)
    theta = torch.from_numpy(np.repeat(matrix, 3 // n_matrices, 0).reshape(3, 2, 3))
    grid = torch.nn.functional.affine_grid(theta, [3, 2, 5, 7], align_corners=True)
    expected = torch.nn.functional.grid_sample(
        torch.from_numpy(x), grid, align_corners=True
    ).numpy()
    result = evaluate(
        "affine", {"x": x, "transform_matrix": matrix}, expected.shape, x.dtype, output_height=5,
        output_width=7, padding_value=np.float32(0), **AFFINE,
    )  # fmt: skip
    # Places of up to |matrix| * 9 pixels in PyTorch's fp32, times differences of pixels.
    limit = 16 * 2.0**-23 * 9 * np.abs(matrix).sum() * 4 * np.abs(x).max()
    assert_within(result, expected.astype(np.float64), limit)


IMAGE = np.arange(1, 17, dtype=np.float32).reshape(1, 1, 4, 4)


@pytest.mark.parametrize(
    ("roi", "size", "normalized", "expected"),
    [
        ([1, 1, 2, 2], 2, False, [6, 7, 10, 11]),
        ([1, 1, 2, 2], 1, False, [8.5]),
        ([0, 0, 0, 1 / 3, 1 / 3], 2, True, [1, 2, 5, 6]),
        ([2, 2, 1, 1], 2, False, [11, 10, 7, 6]),
    ],
)
def test_apples_values_of_crop_resize(evaluate, roi, size, normalized, expected):
    roi = np.array(roi, np.float32).reshape(1, 1, -1, 1, 1)
    result = evaluate(
        "crop_resize", {"x": IMAGE, "roi": roi}, (1, 1, 1, size, size), IMAGE.dtype,
        target_height=size, target_width=size, normalized_coordinates=normalized,
        sampling_mode="ALIGN_CORNERS",
    )  # fmt: skip
    np.testing.assert_allclose(result.ravel(), expected, rtol=1e-5)


@pytest.mark.parametrize("form", ["ios16", "ios17"])
def test_apples_values_of_crop_resize_beyond_the_image(evaluate, form):
    boxes = np.array([[0.1, 0.3, 1.3, 1.0], [0.5, 1.8, 1.0, 0.3], [0.0, 0.4, 0.6, 0.7]], np.float32)
    if form == "ios17":
        arrays = {"x": IMAGE, "boxes": boxes, "box_indices": np.zeros(3, np.int32)}
        shape = (3, 1, 2, 2)
    else:
        roi = np.concatenate([np.zeros((3, 1), np.float32), boxes], 1).reshape(3, 1, 5, 1, 1)
        arrays = {"x": IMAGE, "roi": roi}
        shape = (3, 1, 1, 2, 2)
    result = evaluate(
        "crop_resize", arrays, shape, IMAGE.dtype, target_height=2, target_width=2,
        normalized_coordinates=True, sampling_mode="ALIGN_CORNERS", pad_value=np.float32(10),
    )  # fmt: skip
    expected = [3.1, 5.2, 10, 10, 10, 7.899, 10, 13.9, 2.2, 3.1, 9.4, 10.3]
    np.testing.assert_allclose(result.ravel(), expected, rtol=0, atol=1e-3)  # Three digits.


@pytest.mark.parametrize(
    "mode", ["DEFAULT", "STRICT_ALIGN_CORNERS", "OFFSET_CORNERS", "UNALIGN_CORNERS"]
)
def test_crop_resize_is_a_resize_of_the_crop(evaluate, rng, mode):
    x = rng.normal(size=(2, 3, 8, 9)).astype(np.float32)
    crop = x[:, :, 2:7, 1:9]  # Rows 2 to 6, columns 1 to 8.
    expected = evaluate(
        "resize_bilinear", {"x": crop}, (2, 3, 3, 5), x.dtype, target_size_height=3,
        target_size_width=5, sampling_mode=mode,
    )  # fmt: skip
    for boxes, order in [
        ([2, 1, 6, 8], "CORNERS_HEIGHT_FIRST"),
        ([1, 2, 8, 6], "CORNERS_WIDTH_FIRST"),
        ([4, 4.5, 4, 7], "CENTER_SIZE_HEIGHT_FIRST"),
        ([4.5, 4, 7, 4], "CENTER_SIZE_WIDTH_FIRST"),
    ]:
        roi = np.array(boxes, np.float32).reshape(1, 1, 4, 1, 1)
        result = evaluate(
            "crop_resize", {"x": x, "roi": roi}, (1, 2, 3, 3, 5), x.dtype, target_height=3,
            target_width=5, sampling_mode=mode, box_coordinate_mode=order,
        )  # fmt: skip
        np.testing.assert_allclose(result[0], expected, rtol=0, atol=2e-6)
        half = evaluate(
            "crop_resize", {"x": x, "roi": roi * 2}, (1, 2, 3, 3, 5), x.dtype, target_height=3,
            target_width=5, sampling_mode=mode, box_coordinate_mode=order,
            spatial_scale=np.float32(0.5),
        )  # fmt: skip
        np.testing.assert_array_equal(half, result)


def test_crop_resize_of_an_image_that_is_not_there(emulator):
    arrays = {
        "x": IMAGE, "boxes": np.zeros((2, 4), np.float32), "box_indices": np.array([0, 1], np.int32),
    }  # fmt: skip
    kernel = emulator.compile(mil_text.single("crop_resize", arrays, IMAGE.dtype, (2, 1, 1, 1)))
    with pytest.raises(pyane.EvaluateError, match=r"box 1 must name an image in \[0, 1\), got 1"):
        kernel(**arrays)
    text = mil_text.single("crop_resize", {"x": IMAGE}, IMAGE.dtype, (2, 1, 1, 1))
    with pytest.raises(pyane.MilVerifyError, match="needs either roi"):
        emulator.compile(text)
