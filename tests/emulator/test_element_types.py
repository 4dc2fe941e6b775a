"""Tensors of every element type on their way through surfaces, constants and moves."""

from __future__ import annotations

import struct

import numpy as np
import pytest

import backend
import mil_text
from pyane.errors import MilVerifyError

DTYPES = ["float16", "float32", "bool", "int8", "uint8", "int16", "uint16", "int32"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_moved_but_not_changed(rng, dtype):
    """Transposed, cut, joined and picked, with a constant of the type beside."""
    x = rng.integers(0, 100, (3, 5)).astype(dtype)
    constant = rng.integers(0, 100, (5, 2)).astype(dtype)
    kind = mil_text.NAMES[dtype]
    lines = [
        mil_text.operation(
            "transpose", "t", f"tensor<{kind}, [5, 3]>", {"x": "%x", "perm": np.array([1, 0])}
        ),
        mil_text.operation(
            "concat", "c", f"tensor<{kind}, [5, 5]>", {"values": ("%t", constant), "axis": 1}
        ),
        mil_text.operation(
            "slice_by_size",
            "s",
            f"tensor<{kind}, [4, 3]>",
            {"x": "%c", "begin": np.array([1, 2]), "size": np.array([4, 3])},
        ),
        mil_text.operation(
            "gather",
            "y",
            f"tensor<{kind}, [4, 4]>",
            {"x": "%s", "indices": np.array([2, 0, 0, 1]), "axis": 1},
        ),
    ]
    text = mil_text.program({"x": f"tensor<{kind}, [3, 5]>"}, lines, ["y"])
    got = backend.device().compile(text)(x)
    assert got.dtype == dtype
    expected = np.concatenate([x.T, constant], axis=1)[1:5, 2:5][:, [2, 0, 0, 1]]
    np.testing.assert_array_equal(got, expected)


def test_bytes_of_bools_are_truth_values():
    """Whatever a surface or a weight file holds, outputs are 0 and 1 and counts come out right."""
    kind = "tensor<bool, [4]>"
    held = f'{kind}(BLOBFILE(path = string("@model_path/w.bin"), offset = uint64(64)))'
    lines = [
        f"{kind} w = const()[val = {held}];",
        mil_text.operation("identity", "a", kind, {"x": "%x"}),
        mil_text.operation("identity", "b", kind, {"x": "%w"}),
        mil_text.operation("cast", "n", "tensor<int32, [4]>", {"x": "%x", "dtype": "int32"}),
        mil_text.operation("logical_xor", "c", kind, {"x": "%x", "y": "%w"}),
    ]
    file = struct.pack("<II", 1, 2) + bytes(56)
    file += struct.pack("<IIQQ", 0xDEADBEEF, 3, 4, 128) + bytes(40) + bytes([0, 1, 2, 255])
    kernel = backend.device().compile(
        mil_text.program({"x": kind}, lines, ["a", "b", "n", "c"]), {"@model_path/w.bin": file}
    )
    kernel.inputs["x"].view(np.uint8)[...] = [4, 0, 8, 1]
    kernel.evaluate()
    outputs = {name: array.view(np.uint8).tolist() for name, array in kernel.outputs.items()}
    assert outputs["a"] == [1, 0, 1, 1]
    assert outputs["b"] == [0, 1, 1, 1]
    assert outputs["c"] == [1, 1, 0, 0]
    assert kernel.outputs["n"].tolist() == [1, 0, 1, 1]


@pytest.mark.emulator
@pytest.mark.parametrize("dtype", ["float16", "float32", "int32", "bool"])
def test_buffers_without_gaps_are_tensors(rng, dtype):
    """As in programs that Apple's compiler wrote for the engine."""
    name = mil_text.NAMES[dtype]
    buffer = f"tensor_buffer<{name}, shape=[2, 3], strides=[3, 1], interleave_factors=[1, 1]>"
    back = {
        "input": "%r",
        "strides": np.array([3, 1]),
        "interleave_factors": np.array([1, 1], np.uint8),
    }
    lines = [
        mil_text.operation(
            "tensor_buffer_to_tensor", "t", f"tensor<{name}, [2, 3]>", {"input": "%x"}
        ),
        mil_text.operation(
            "reverse", "r", f"tensor<{name}, [2, 3]>", {"x": "%t", "axes": np.array([1])}
        ),
        mil_text.operation("tensor_to_tensor_buffer", "y", buffer, back),
    ]
    x = rng.integers(0, 2, (2, 3)).astype(dtype)
    got = backend.device().compile(mil_text.program({"x": buffer}, lines, ["y"]))(x)
    np.testing.assert_array_equal(got, x[:, ::-1])


@pytest.mark.parametrize(
    ("opset", "written", "is_fine"),
    [("ios17", "", False), ("ios16", "<ios18>", True), ("ios18", "<ios17>", False)],
)
def test_operations_of_later_opsets(opset, written, is_fine):
    kind = "tensor<fp16, [1, 2, 3]>"
    line = mil_text.operation(
        "scaled_dot_product_attention", "y", kind, {"query": "%x", "key": "%x", "value": "%x"}
    )
    text = mil_text.program(
        {"x": kind}, [line.replace("attention(", f"attention{written}(")], ["y"]
    )
    text = text.replace("main<ios18>", f"main<{opset}>")
    if is_fine:
        backend.device().compile(text)
        return
    with pytest.raises(MilVerifyError, match=r"belongs to opset ios18 and later, but .*ios17"):
        backend.device().compile(text)
