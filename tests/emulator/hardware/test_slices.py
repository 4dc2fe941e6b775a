"""Slices that begin inside the last axis saturate on M1 and M2 (ane-guide ch. 3, 12, 19)."""

from __future__ import annotations

import numpy as np
import pytest

import pyane

pytestmark = pytest.mark.emulator

VALUES = np.array(
    [[1, 4094, 4096, 60000, -4094, -4096, -60000, 0.5]] * 2, np.float16
)  # 4095 is no fp16 number: it rounds to 4096.
SATURATED = np.where(np.abs(VALUES) > 4094, np.copysign(np.inf, VALUES), VALUES)


def by_index(evaluate, device, x, begin, end, **attributes):
    shape = tuple(e - b for b, e in zip(begin, end, strict=True))
    return evaluate(device, "slice_by_index", {"x": x}, shape, begin=begin, end=end, **attributes)


@pytest.mark.parametrize(
    ("chip", "saturates"), [("m1", True), ("m2", True), ("m3", False), ("m5pro", False)]
)
@pytest.mark.parametrize(
    "options", [{"numerics": "hardware"}, {"faithful": True}], ids=["hardware", "faithful"]
)
def test_offset_in_width(chip, saturates, options, evaluate):
    device = pyane.device(chip=chip, **options)
    result = by_index(evaluate, device, VALUES, [0, 1], [2, 8])
    np.testing.assert_array_equal(result, (SATURATED if saturates else VALUES)[:, 1:])


def test_slice_by_size(evaluate, m1):
    result = evaluate(m1, "slice_by_size", {"x": VALUES}, (2, 3), begin=[0, 2], size=[2, 3])
    np.testing.assert_array_equal(result, SATURATED[:, 2:5])


@pytest.mark.parametrize(("begin", "end"), [([0, 0], [2, 7]), ([1, 0], [2, 8]), ([0, 0], [2, 8])])
def test_other_offsets_are_clean(begin, end, evaluate, m1):
    expected = VALUES[begin[0] : end[0], begin[1] : end[1]]
    np.testing.assert_array_equal(by_index(evaluate, m1, VALUES, begin, end), expected)


def test_negative_begin_and_stride(evaluate, m1):
    result = evaluate(
        m1, "slice_by_index", {"x": VALUES}, (2, 3), begin=[0, -6], end=[2, 8], stride=[1, 2]
    )
    np.testing.assert_array_equal(result, SATURATED[:, -6::2])


def test_only_the_emulator_of_a_chip_saturates(evaluate):
    device = pyane.device("emulator")
    np.testing.assert_array_equal(by_index(evaluate, device, VALUES, [0, 1], [2, 8]), VALUES[:, 1:])
