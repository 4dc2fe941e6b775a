"""Unknown dimensions given, and everything that the program works out from them."""

from __future__ import annotations

import numpy as np
import pytest

import backend
import mil_text
import pyane
from pyane._core import mil
from pyane.errors import CompileError, MilVerifyError, ShapeError

# What PyTorch's x.view(x.shape[0], -1, 2, x.shape[2] // 2) becomes.
COMPUTED_SHAPE = [
    mil_text.operation("shape", "s", "tensor<int32, [3]>", {"x": "%x"}),
    mil_text.operation("gather", "rows", "int32", {"x": "%s", "indices": 0, "axis": 0}),
    mil_text.operation("gather", "columns", "int32", {"x": "%s", "indices": 2, "axis": 0}),
    mil_text.operation("floor_div", "half", "int32", {"x": "%columns", "y": 2}),
    mil_text.operation(
        "expand_dims", "rows1", "tensor<int32, [1]>", {"x": "%rows", "axes": np.array([0])}
    ),
    mil_text.operation(
        "expand_dims", "half1", "tensor<int32, [1]>", {"x": "%half", "axes": np.array([0])}
    ),
    mil_text.operation(
        "concat",
        "to",
        "tensor<int32, [4]>",
        {"values": ("%rows1", np.array([-1, 2]), "%half1"), "axis": 0},
    ),
    mil_text.operation("reshape", "y", "tensor<fp16, [?, ?, ?, ?]>", {"x": "%x", "shape": "%to"}),
]


def flexible(attributes: str = "") -> mil.Program:
    text = mil_text.program({"x": "tensor<fp16, [?, 4, ?]>"}, COMPUTED_SHAPE, ["y"])
    return mil.parse(text.replace("x) {", f"x) {attributes} {{"), "model.mil")


@pytest.mark.parametrize("shape", [(1, 4, 2), (3, 4, 10), (7, 4, 34)])
def test_shape_arithmetic_is_folded(rng, shape):
    bound = mil.bind_dimensions(flexible(), "", {"x": shape})
    x = rng.normal(size=shape).astype(np.float16)
    expected = x.reshape(shape[0], 4, 2, shape[2] // 2)
    result = bound.functions[0].operations[-1].outputs[0]
    assert result.type.shape == expected.shape
    np.testing.assert_array_equal(backend.device().compile(str(bound))(x), expected)


def test_an_empty_constant_adds_nothing_to_a_shape(rng):
    """What PyTorch's x.flatten(1) becomes: no dimension is left behind those that are flattened."""
    operations = [
        COMPUTED_SHAPE[0],
        COMPUTED_SHAPE[1],
        COMPUTED_SHAPE[4],
        "tensor<int32, [0]> rest = const()[val = tensor<int32, [0]>([])];",
        mil_text.operation(
            "concat",
            "to",
            "tensor<int32, [2]>",
            {"values": ("%rows1", np.array([-1]), "%rest"), "axis": 0},
        ),
        mil_text.operation("reshape", "y", "tensor<fp16, [?, ?]>", {"x": "%x", "shape": "%to"}),
    ]
    text = mil_text.program({"x": "tensor<fp16, [?, 4, ?]>"}, operations, ["y"])
    bound = mil.bind_dimensions(mil.parse(text, "model.mil"), "", {"x": (3, 4, 5)})
    x = rng.normal(size=(3, 4, 5)).astype(np.float16)
    np.testing.assert_array_equal(
        backend.device().compile(str(bound))(x), x.reshape(3, 20), strict=True
    )
    assert isinstance(pyane.check(text, chip="all"), list)


def test_flexible_shape_information_goes_with_the_last_unknown_dimension():
    attribute = '[FlexibleShapeInformation = string("..."), Kept = int32(1)]'
    bound = mil.bind_dimensions(flexible(attribute), "main", {"x": (1, 4, 2)})
    assert list(bound.functions[0].attributes) == ["Kept"]
    unbound = mil.bind_dimensions(flexible(attribute), "main", {})
    assert list(unbound.functions[0].attributes) == ["FlexibleShapeInformation", "Kept"]
    assert unbound.functions[0].parameters[0].type.shape == (None, 4, None)


def test_the_given_program_is_left_alone():
    program = flexible()
    before = str(program)
    mil.bind_dimensions(program, "", {"x": (1, 4, 2)})
    assert str(program) == before


@pytest.mark.parametrize(
    ("function", "shapes", "error", "message"),
    [
        ("", {"x": (3, 4)}, ShapeError, r"'x' of type .*\[\?, 4, \?\].* shape \[3, 4\]"),
        ("", {"x": (3, 5, 2)}, ShapeError, r"cannot have shape \[3, 5, 2\]"),
        ("", {"x": (0, 4, 2)}, ShapeError, r"cannot have shape \[0, 4, 2\]"),
        ("", {"y": (3, 4, 2)}, ShapeError, "function 'main' has no parameter 'y'"),
        ("other", {}, CompileError, "no function 'other'; functions: main"),
        (
            "",
            {"x": (3, 4, 9)},
            MilVerifyError,
            r"reshape 'y': .*108 elements does not fit shape \[3, -1, 2, 4\]",
        ),
    ],
)
def test_errors(function, shapes, error, message):
    with pytest.raises(error, match=message):
        mil.bind_dimensions(flexible(), function, shapes)


def test_unbound_programs_are_refused_at_compile():
    with pytest.raises(CompileError, match=r"'x' of type tensor<fp16, \[\?, 4, \?\]>: every dim"):
        backend.device().compile(str(flexible()))
