"""Numbers in a program that would take all memory, or never end, if they were believed."""

from __future__ import annotations

import os
import struct

import numpy as np
import pytest

import mil_text
import pyane

HUGE = 2**31 - 1


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def image(*shape: int) -> dict[str, np.ndarray]:
    return {"x": np.broadcast_to(np.float16(0), shape)}


CASES = {
    "resize": (
        "resize_bilinear", image(1, 1, 1), (1, 1, HUGE),
        {"target_size_height": 1, "target_size_width": HUGE},
    ),
    "resize_nearest": (
        "resize_nearest_neighbor", image(1, 1, 1), (1, HUGE, 1),
        {"target_size_height": HUGE, "target_size_width": 1},
    ),
    "pool": (
        "avg_pool", image(1, 1, 2), (1, 1, 2**30 + 2),
        {
            "kernel_sizes": ints(1), "strides": ints(1), "pad_type": "custom",
            "pad": ints(2**30, 0),
        },
    ),
    "affine": (
        "affine", image(1, 1, 2, 2) | {"transform_matrix": np.zeros((1, 6), np.float16)},
        (1, 1, 1, HUGE),
        {
            "output_height": 1, "output_width": HUGE, "sampling_mode": "bilinear",
            "padding_mode": "constant", "padding_value": np.float16(0),
            "coordinates_mode": "normalized_minus_one_to_one", "align_corners": True,
        },
    ),
    "space_to_batch": (
        "space_to_batch", image(1, 1, 2**14, 2**14), (2**28, 1, 1, 1),
        {"block_shape": ints(2**14, 2**14), "paddings": np.zeros((2, 2), np.int32)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CASES))
def test_tables_are_bounded(emulator, name):
    op, arrays, shape, attributes = CASES[name]
    text = mil_text.single(op, arrays, np.float16, shape, **attributes)
    with pytest.raises(pyane.CompileError, match=rf"{op} 'result'.*16777216 at most, got \d+"):
        emulator.compile(text)


@pytest.mark.parametrize(
    ("op", "arrays", "shape", "attributes"),
    [
        ("resize_bilinear", image(1, 1, 1), (1, 1, 1),
         {"target_size_height": HUGE, "target_size_width": HUGE}),
        ("topk", image(3), (HUGE,), {"k": HUGE}),
        ("crop", image(1, 5, 5), (1, 1, 1), {"crop_height": ints(HUGE, HUGE), "crop_width": ints(0, 0)}),
        ("batch_to_space", image(1, 1, 2, 2), (1, 1, 2, 2),
         {"block_shape": ints(HUGE, HUGE), "crops": np.zeros((2, 2), np.int32)}),
        ("space_to_batch", image(1, 1, 2, 2), (1, 1, 2, 2),
         {"block_shape": ints(1, 1), "paddings": np.full((2, 2), -1, np.int32)}),
        ("max_pool", image(1, 1, 5), (1, 1, 1), {"kernel_sizes": ints(HUGE), "pad_type": "valid"}),
        ("local_response_norm", image(1, 1, 5), (1, 1, 5), {"size": 0}),
        ("reverse_sequence", image(2, 2) | {"lengths": ints(1, 1)}, (2, 2), {"seq_axis": 5}),
        ("cumsum", image(2, 2), (2, 2), {"axis": -HUGE}),
    ],
)  # fmt: skip
def test_impossible_numbers_are_refused(emulator, op, arrays, shape, attributes):
    text = mil_text.single(op, arrays, np.float16, shape, **attributes)
    with pytest.raises(pyane.MilVerifyError, match=f"{op} 'result'"):
        emulator.compile(text)


def test_lengths_that_do_not_fit_are_refused(emulator):
    """One length for two entries of the batch."""
    arrays = image(2, 3) | {"lengths": ints(3)}
    text = mil_text.single("reverse_sequence", arrays, np.float16, (2, 3), seq_axis=1, batch_axis=0)
    with pytest.raises(pyane.MilVerifyError, match="lengths"):
        emulator.compile(text)


@pytest.mark.parametrize("size", [HUGE, 40])
def test_a_window_much_larger_than_the_image(emulator, size):
    """Only what lies in the image is worked on."""
    x = np.arange(4, dtype=np.float16).reshape(1, 1, 4)
    text = mil_text.single(
        "max_pool", {"x": x}, np.float16, (1, 1, 1), kernel_sizes=ints(size), pad_type="custom",
        pad=ints(0, size - 4),
    )  # fmt: skip
    np.testing.assert_array_equal(emulator.compile(text)(x), [[[3]]])


@pytest.mark.emulator
def test_palettes_of_one_bit_do_not_fill_the_memory(emulator):
    """A file of 8 MB, named often, would take more than there is once unpacked."""
    n = 2**26
    at_most = min(2**36, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    times = at_most // (4 * n) + 1
    tensor = f"tensor<fp32, [{n}]>"
    bits = f"tensor<uint1, [{n}]>"
    blob = f'{bits}(BLOBFILE(path = string("w"), offset = uint64(64)))'
    lines = [f"{bits} bits = const()[val = {blob}];"]
    for i in range(times):
        lut = "tensor<fp32, [1, 2, 1]>([[[0], [1]]])"
        lines.append(f"{tensor} a{i} = constexpr_lut_to_dense(indices = bits, lut = {lut});")
        lines.append(f"{tensor} s{i + 1} = add(x = s{i}, y = a{i});")
    text = mil_text.program({"s0": tensor}, lines, [f"s{times}"])
    record = struct.pack("<II56xIIQQQ32x", 1, 2, 0xDEADBEEF, 9, n // 8, 128, 0)
    with pytest.raises(pyane.CompileError, match=f"take more than {at_most} bytes when unpacked"):
        emulator.compile(text, {"w": record + bytes(n // 8)})
