"""Results do not depend on the number of threads: work is split by shape alone."""

from __future__ import annotations

import numpy as np
import pytest

import mil_text
import pyane


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def cases(rng: np.random.Generator):
    """op, operands, result shape, attributes: enough work for several threads."""
    image = rng.normal(size=(2, 9, 70, 131)).astype(np.float16)
    matrix = rng.normal(size=(301, 257)).astype(np.float16)
    pool = {"kernel_sizes": ints(3, 5), "strides": ints(2, 1), "pad_type": "same"}
    pooled = (2, 9, 35, 131)
    places = rng.uniform(-1, 1, (2, 60, 90, 2)).astype(np.float32)
    indices = rng.integers(0, 301, (900, 257)).astype(np.int32)
    updates = rng.normal(size=(900, 257)).astype(np.float16)
    sample = {
        "sampling_mode": "bilinear", "padding_mode": "reflection", "padding_value": np.float16(0),
        "coordinates_mode": "normalized_minus_one_to_one", "align_corners": True,
    }  # fmt: skip
    return {
        "avg_pool": ({"x": image}, pooled, pool),
        "max_pool": ({"x": image}, pooled, pool),
        "l2_pool": ({"x": image}, pooled, pool),
        "resize_bilinear": (
            {"x": image}, (2, 9, 111, 60),
            {"target_size_height": 111, "target_size_width": 60, "sampling_mode": "UNALIGN_CORNERS"},
        ),
        "upsample_nearest_neighbor": (
            {"x": image}, (2, 9, 140, 262), {"scale_factor_height": 2, "scale_factor_width": 2}
        ),
        "resample": ({"x": image, "coordinates": places}, (2, 9, 60, 90), sample),
        "local_response_norm": ({"x": image}, image.shape, {"size": 4}),
        "cumsum": ({"x": matrix}, matrix.shape, {"axis": 0}),
        "argsort": ({"x": matrix}, matrix.shape, {"axis": 0}),
        "band_part": ({"x": matrix}, matrix.shape, {"lower": 3, "upper": 70}),
        "reverse_sequence": (
            {"x": matrix, "lengths": rng.integers(0, 257, 301).astype(np.int32)}, matrix.shape,
            {"seq_axis": 1, "batch_axis": 0},
        ),
        "scatter_along_axis": (
            {"data": matrix.T.copy(), "indices": indices.T.copy(), "updates": updates.T.copy()},
            (257, 301), {"axis": 1, "mode": "add"},
        ),
        "scatter": (
            {"data": matrix.T.copy(), "indices": indices[:, 0], "updates": updates.T.copy()},
            (257, 301), {"axis": 1, "mode": "mul"},
        ),
        "random_categorical": ({"x": matrix}, (301, 40), {"size": 40, "seed": 4}),
        "space_to_batch": (
            {"x": image[..., :130]}, (20, 9, 35, 26),
            {"block_shape": ints(2, 5), "paddings": np.zeros((2, 2), np.int32)},
        ),
    }  # fmt: skip


NAMES = sorted(cases(np.random.default_rng(0)))


@pytest.mark.usefixtures("one_thread_after")
@pytest.mark.parametrize("op", NAMES)
def test_same_bits_for_any_number_of_threads(emulator, rng, op):
    arrays, shape, attributes = cases(rng)[op]
    dtype = np.int32 if op == "argsort" else np.float16
    kernel = emulator.compile(mil_text.single(op, arrays, dtype, shape, **attributes))
    results = []
    for n in (1, 2, 4):
        pyane.set_num_threads(n)
        results.append(kernel(**arrays))
    bits = np.uint32 if op == "argsort" else np.uint16
    for result in results[1:]:
        np.testing.assert_array_equal(result.view(bits), results[0].view(bits))
