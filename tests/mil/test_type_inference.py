"""Result types of the registry against coremltools' own inference, and against NumPy."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from pyane import mil
from pyane.errors import MilVerifyError
from pyane.mil.builder import Builder, Var


class T(tuple):
    """Stands for a run-time fp16 tensor of this shape, or of another type: T.of("int32", 2, 3)."""

    dtype = "fp16"

    @classmethod
    def of(cls, dtype: str, *shape: int) -> T:
        spec = cls(shape)
        spec.dtype = dtype
        return spec


def pyane_results(op: str, arguments: dict[str, Any]) -> list[tuple[str, tuple[int | None, ...]]]:
    specs: dict[str, mil.TensorSpec] = {}

    def place(value: Any) -> str | Any:
        if not isinstance(value, T):
            return value
        name = f"in_{len(specs)}"
        specs[name] = mil.TensorSpec(value.dtype, tuple(value))
        return name

    placed = {
        key: [place(v) for v in value] if isinstance(value, list) else place(value)
        for key, value in arguments.items()
    }
    builder = Builder("main", specs)

    def var(value: Any) -> Any:
        return builder.inputs[value] if isinstance(value, str) and value in specs else value

    bound = {
        key: [var(v) for v in value] if isinstance(value, list) else var(value)
        for key, value in placed.items()
    }
    with builder.active():
        results = getattr(mil, op)(**bound, name="result")
    results = [results] if isinstance(results, Var) else results
    return [(result.dtype, result.shape) for result in results]


@pytest.fixture(scope="module")
def coremltools_results():
    ct = pytest.importorskip("coremltools")
    mil_package = importlib.import_module("coremltools.converters.mil")
    mb = mil_package.Builder
    types = mil_package.mil.types

    by_name = {
        name: getattr(types, name)
        for name in ("fp16", "fp32", "int32", "bool", "int8", "uint8", "int16", "uint16")
    }

    def run(op: str, arguments: dict[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
        specs = []

        def place(value: Any) -> Any:
            if not isinstance(value, T):
                return value
            specs.append(mb.TensorSpec(shape=tuple(value) or (1,), dtype=by_name[value.dtype]))
            return len(specs) - 1, "placeholder"

        placed = {
            key: [place(v) for v in value] if isinstance(value, list) else place(value)
            for key, value in arguments.items()
        }
        found = []

        def body(*inputs):
            def var(value: Any) -> Any:
                is_place = isinstance(value, tuple) and value[-1:] == ("placeholder",)
                return inputs[value[0]] if is_place else value

            bound = {
                key: [var(v) for v in value] if isinstance(value, list) else var(value)
                for key, value in placed.items()
            }
            results = getattr(mb, op)(**bound)
            for result in results if isinstance(results, list | tuple) else [results]:
                found.append((types.builtin_to_string(result.dtype), tuple(map(int, result.shape))))
            return results

        # program() needs its function's parameters by name.
        names = ", ".join(f"in_{i}" for i in range(len(specs)))
        scope = {"body": body}
        exec(f"def f({names}): return body({names})", scope)  # noqa: S102
        mb.program(input_specs=specs, opset_version=ct.target.iOS18)(scope["f"])
        return found

    return run


CASES: list[tuple[str, dict[str, Any]]] = [
    (
        "affine",
        {
            "x": T((2, 3, 5, 7)),
            "transform_matrix": T((1, 6)),
            "output_height": 4,
            "output_width": 9,
            "sampling_mode": "bilinear",
            "padding_mode": "constant",
            "padding_value": np.float16(0),
            "coordinates_mode": "normalized_minus_one_to_one",
            "align_corners": True,
        },
    ),
    (
        "batch_to_space",
        {"x": T((12, 3, 4, 5)), "block_shape": [2, 3], "crops": np.int32([[1, 0], [2, 3]])},
    ),
    ("crop", {"x": T((2, 3, 9, 8)), "crop_height": [1, 2], "crop_width": [0, 3]}),
    (
        "crop_resize",
        {
            "x": T((2, 3, 9, 8)),
            "boxes": T((5, 4)),
            "box_indices": T.of("int32", 5),
            "target_height": 4,
            "target_width": 6,
        },
    ),
    ("einsum", {"values": [T((2, 3, 5, 7)), T((2, 7, 5, 4))], "equation": "nchw,nwhu->nchu"}),
    (
        "non_maximum_suppression",
        {
            "boxes": T((2, 4, 30)),
            "scores": T((2, 3, 30)),
            "iou_threshold": np.float16(0.5),
            "max_boxes": 7,
        },
    ),
    ("random_bernoulli", {"shape": [2, 3], "prob": np.float16(0.25)}),
    ("random_categorical", {"x": T((2, 3, 5)), "size": 4}),
    ("random_normal", {"shape": [5], "mean": np.float16(1), "stddev": np.float16(2)}),
    ("random_uniform", {"shape": [2, 3], "low": np.float16(0), "high": np.float16(2)}),
    (
        "resample",
        {
            "x": T((2, 3, 5, 7)),
            "coordinates": T((2, 4, 6, 2)),
            "sampling_mode": "nearest",
            "padding_mode": "border",
            "padding_value": np.float16(0),
            "coordinates_mode": "unnormalized",
            "align_corners": False,
        },
    ),
    (
        "reshape_like",
        {
            "x": T((6, 30)),
            "ref_tensors": [T((2, 3, 4)), T((1, 5, 6))],
            "begins": [0, 1],
            "ends": [2, 0],
            "end_masks": [False, True],
        },
    ),
    (
        "space_to_batch",
        {"x": T((2, 3, 4, 5)), "block_shape": [2, 3], "paddings": np.int32([[1, 1], [0, 1]])},
    ),
    ("add", {"x": T((2, 1, 7)), "y": T((5, 1))}),
    ("sub", {"x": T((3,)), "y": T((1, 13, 3))}),
    ("real_div", {"x": T.of("int32", 3), "y": T.of("int32", 3)}),
    ("maximum", {"x": T((1, 1)), "y": T((17, 5))}),
    ("greater_equal", {"x": T((2, 3)), "y": T((2, 1))}),
    ("equal", {"x": T.of("int32", 4), "y": T.of("int32", 1)}),
    ("logical_xor", {"x": T.of("bool", 4, 1), "y": T.of("bool", 1, 3)}),
    ("logical_not", {"x": T.of("bool", 4)}),
    ("select", {"cond": T.of("bool", 1, 5), "a": T((3, 5)), "b": T((3, 1))}),
    ("cast", {"x": T((2, 3)), "dtype": "int32"}),
    ("cast", {"x": T.of("int32", 2), "dtype": "bool"}),
    ("cast", {"x": T((2, 3)), "dtype": "uint8"}),
    ("clip", {"x": T((2, 3)), "alpha": np.float16(-1), "beta": np.float16(1)}),
    ("gelu", {"x": T((2, 3)), "mode": "TANH_APPROXIMATION"}),
    ("softmax", {"x": T((2, 3)), "axis": -2}),
    ("leaky_relu", {"x": T((2, 3)), "alpha": 0.1}),
    ("prelu", {"x": T((2, 3, 5)), "alpha": np.ones(3, np.float16)}),
    ("reduce_sum", {"x": T((2, 3, 5))}),
    ("reduce_mean", {"x": T((2, 3, 5)), "axes": [-1, 0], "keep_dims": True}),
    ("reduce_max", {"x": T((2, 3, 5)), "axes": [1]}),
    ("reduce_log_sum_exp", {"x": T((2, 3, 5)), "axes": [2, 1], "keep_dims": False}),
    ("reduce_argmax", {"x": T((2, 3, 5))}),
    ("reduce_argmin", {"x": T((2, 3, 5)), "axis": 0, "keep_dims": True}),
    ("reduce_argmax", {"x": T((2, 3, 5)), "axis": 1, "output_dtype": "uint16"}),
    ("conv", {"x": T((1, 4, 9)), "weight": np.ones((6, 4, 3), np.float16)}),
    ("conv", {"x": T((1, 4, 9, 11)), "weight": np.ones((6, 2, 3, 2), np.float16), "groups": 2}),
    ("conv", {"x": T((2, 3, 5, 7, 9)), "weight": np.ones((1, 3, 2, 3, 4), np.float16)}),
    (
        "conv",
        {
            "x": T((1, 4, 13, 17)),
            "weight": np.ones((6, 4, 3, 3), np.float16),
            "strides": [2, 3],
            "dilations": [2, 1],
            "pad_type": "same",
        },
    ),
    (
        "conv",
        {
            "x": T((1, 4, 13, 17)),
            "weight": np.ones((6, 4, 3, 3), np.float16),
            "strides": [3, 2],
            "pad_type": "custom",
            "pad": [1, 0, 2, 3],
            "bias": np.ones(6, np.float16),
        },
    ),
    (
        "conv",
        {
            "x": T((1, 4, 13, 17)),
            "weight": np.ones((6, 4, 4, 4), np.float16),
            "pad_type": "same_lower",
        },
    ),
    ("conv_transpose", {"x": T((1, 4, 5, 7)), "weight": np.ones((4, 6, 3, 2), np.float16)}),
    (
        "conv_transpose",
        {
            "x": T((1, 4, 5, 7)),
            "weight": np.ones((4, 3, 3, 2), np.float16),
            "strides": [2, 3],
            "groups": 2,
            "pad_type": "custom",
            "pad": [1, 0, 0, 1],
        },
    ),
    ("matmul", {"x": T((2, 1, 3, 4)), "y": T((5, 4, 7))}),
    ("matmul", {"x": T((4, 3)), "y": T((7, 4)), "transpose_x": True, "transpose_y": True}),
    ("linear", {"x": T((2, 3, 4)), "weight": np.ones((7, 4), np.float16)}),
    ("einsum", {"values": [T((2, 3, 5, 7)), T((2, 7, 5, 11))], "equation": "bchw,bwhu->bchu"}),
    ("reshape", {"x": T((2, 3, 4)), "shape": [4, -1]}),
    ("reshape", {"x": T((2, 3, 4)), "shape": [0, -1, 2, 2]}),
    ("reshape", {"x": T((2, 50)), "shape": [1, 0, -1, 0]}),
    ("transpose", {"x": T((2, 3, 4)), "perm": [-1, 0, 1]}),
    ("expand_dims", {"x": T((2, 3)), "axes": [0, -1]}),
    ("expand_dims", {"x": T((2, 3)), "axes": [3, 1]}),
    ("squeeze", {"x": T((1, 2, 1, 3)), "axes": [-2]}),
    ("squeeze", {"x": T((1, 2, 1, 3))}),
    ("squeeze", {"x": T((1, 2, 1, 3)), "axes": [0, 1, 3]}),
    ("slice_by_size", {"x": T((5, 7)), "begin": [1, 2], "size": [-1, 3]}),
    ("slice_by_index", {"x": T((5, 7)), "begin": [1, -3], "end": [4, 7]}),
    ("slice_by_index", {"x": T((5, 7)), "begin": [4, 6], "end": [0, 1], "stride": [-2, -1]}),
    (
        "slice_by_index",
        {
            "x": T((5, 7, 3)),
            "begin": [0, 2, 1],
            "end": [2, 0, 0],
            "stride": [1, 2, 1],
            "begin_mask": [True, False, False],
            "end_mask": [False, True, False],
            "squeeze_mask": [False, False, True],
        },
    ),
    ("split", {"x": T((6, 4)), "num_splits": 3, "axis": 0}),
    ("split", {"x": T((6, 4)), "split_sizes": [1, 3], "axis": -1}),
    ("concat", {"values": [T((2, 3)), T((2, 5))], "axis": -1}),
    ("concat", {"values": [T((2, 3)), T((2, 3))], "axis": 0, "interleave": True}),
    ("stack", {"values": [T((2, 3)), T((2, 3))], "axis": -1}),
    ("tile", {"x": T((2, 3)), "reps": [2, 1]}),
    ("pad", {"x": T((2, 3, 4)), "pad": [1, 2, 0, 1]}),
    ("pad", {"x": T((2, 3, 4)), "pad": [3, 3], "mode": "reflect"}),
    ("shape", {"x": T((2, 3, 4))}),
    ("cumsum", {"x": T((2, 3)), "axis": 1}),
    ("argsort", {"x": T((2, 3))}),
    ("topk", {"x": T((2, 7)), "k": 3}),
    ("topk", {"x": T((2, 7)), "k": 2, "axis": 0, "output_indices_dtype": "uint16"}),
    ("flatten2d", {"x": T((5, 5, 2)), "axis": -1}),
    ("band_part", {"x": T((3, 5))}),
    ("gather", {"x": T((5, 7)), "indices": T.of("int32", 2, 3)}),
    ("gather", {"x": T((5, 7)), "indices": T.of("int32", 5, 3), "axis": -1, "batch_dims": 1}),
    ("gather_along_axis", {"x": T((5, 7)), "indices": T.of("int32", 5, 2), "axis": 1}),
    ("gather_nd", {"x": T((5, 7, 3)), "indices": T.of("int32", 4, 2)}),
    (
        "scatter",
        {
            "data": T((5, 7)),
            "indices": T.of("int32", 3),
            "updates": T((5, 3)),
            "axis": 1,
            "mode": "update",
        },
    ),
    (
        "scatter_nd",
        {"data": T((5, 7)), "indices": T.of("int32", 4, 1), "updates": T((4, 7))},
    ),
    ("layer_norm", {"x": T((2, 3, 5)), "axes": [-1], "gamma": np.ones(5, np.float16)}),
    ("instance_norm", {"x": T((2, 3, 5))}),
    (
        "batch_norm",
        {"x": T((2, 3, 5)), "mean": np.ones(3, np.float16), "variance": np.ones(3, np.float16)},
    ),
    ("l2_norm", {"x": T((2, 3, 5))}),
    ("max_pool", {"x": T((1, 2, 9, 9)), "kernel_sizes": [2, 3], "pad_type": "valid"}),
    (
        "avg_pool",
        {
            "x": T((1, 2, 9, 10)),
            "kernel_sizes": [2, 3],
            "strides": [2, 2],
            "pad_type": "custom",
            "pad": [1, 1, 1, 1],
            "ceil_mode": True,
        },
    ),
    ("max_pool", {"x": T((1, 2, 9)), "kernel_sizes": [3], "strides": [2], "pad_type": "same"}),
    ("upsample_nearest_neighbor", {"x": T((1, 2, 3, 5)), "scale_factor_height": 2}),
    (
        "upsample_bilinear",
        {"x": T((1, 2, 3, 5)), "scale_factor_height": 1.5, "scale_factor_width": 2.5},
    ),
    ("resize_bilinear", {"x": T((1, 2, 3, 5)), "target_size_height": 7, "target_size_width": 4}),
    ("crop", {"x": T((1, 2, 8, 9)), "crop_height": [1, 2], "crop_width": [0, 3]}),
    ("depth_to_space", {"x": T((1, 12, 3, 5)), "block_size": 2}),
    ("space_to_depth", {"x": T((1, 2, 4, 6)), "block_size": 2}),
    ("pixel_shuffle", {"x": T((1, 9, 2, 3)), "upscale_factor": 3}),
    ("sliding_windows", {"x": T((2, 9)), "axis": 1, "size": 3, "stride": 2}),
    ("reverse", {"x": T((2, 9)), "axes": [1]}),
    (
        "lstm",
        {
            "x": T((5, 2, 3)),
            "initial_h": T((2, 4)),
            "initial_c": T((2, 4)),
            "weight_ih": np.ones((16, 3), np.float16),
            "weight_hh": np.ones((16, 4), np.float16),
            "output_sequence": True,
        },
    ),
    ("one_hot", {"indices": T.of("int32", 3), "one_hot_vector_size": 5}),
]


def case_id(case: tuple[str, dict[str, Any]]) -> str:
    return case[0]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_result_types_are_those_of_coremltools(case, coremltools_results):
    op, arguments = case
    assert pyane_results(op, arguments) == coremltools_results(op, arguments)


@pytest.mark.parametrize("shape", [(1,), (7,), (2, 13), (3, 1, 5)])
def test_matrix_products_with_vectors_follow_numpy(shape):
    x = np.zeros(shape, np.float16)
    for y_shape in [(shape[-1],), (shape[-1], 3), (2, *([1] * (len(shape) - 2)), shape[-1], 3)]:
        y = np.zeros(y_shape, np.float16)
        expected = np.matmul(x, y).shape
        assert pyane_results("matmul", {"x": T(shape), "y": T(y_shape)}) == [("fp16", expected)]


SLICES = [
    slice(None),
    slice(1, 4),
    slice(-3, None),
    slice(None, -2),
    slice(0, 100),
    slice(-100, 3),
    slice(None, None, 2),
    slice(1, None, 3),
    slice(None, None, -1),
    slice(None, None, -2),
    slice(4, 0, -1),
    slice(100, None, -3),
    slice(-2, -6, -2),
]


@pytest.mark.parametrize("n", [1, 2, 7, 16])
@pytest.mark.parametrize("part", SLICES, ids=str)
def test_slices_follow_numpy(n, part):
    expected = np.zeros(n)[part].shape
    arguments = {
        "x": T((n,)),
        "begin": [part.start or 0],
        "end": [0 if part.stop is None else part.stop],
        "stride": [part.step or 1],
        "begin_mask": [part.start is None],
        "end_mask": [part.stop is None],
    }
    if expected == (0,):
        with pytest.raises(MilVerifyError, match="takes no element of dimension 0"):
            pyane_results("slice_by_index", arguments)
    else:
        assert pyane_results("slice_by_index", arguments) == [("fp16", expected)]


@pytest.mark.parametrize(
    ("op", "arguments", "expected"),
    [
        ("add", {"x": T((None, 3)), "y": T((1, 3))}, (None, 3)),
        ("add", {"x": T((None, 3)), "y": T((5, 3))}, (5, 3)),
        ("matmul", {"x": T((None, 3)), "y": T((3, None))}, (None, None)),
        ("reshape", {"x": T((None, 4)), "shape": [-1, 2]}, (None, 2)),
        ("reshape", {"x": T((2, 4)), "shape": T.of("int32", 3)}, (None, None, None)),
        ("transpose", {"x": T((None, 4)), "perm": [1, 0]}, (4, None)),
        ("concat", {"values": [T((None, 4)), T((3, 4))], "axis": 0}, (None, 4)),
        ("concat", {"values": [T((None, 4)), T((3, 4))], "axis": 1}, (3, 8)),
        ("conv", {"x": T((None, 4, 8, None)), "weight": np.ones((5, 4, 3, 3))}, (None, 5, 6, None)),
        ("reduce_sum", {"x": T((None, 4)), "axes": [1]}, (None,)),
        ("slice_by_size", {"x": T((None, 4)), "begin": [0, 1], "size": [2, -1]}, (2, 3)),
        ("slice_by_index", {"x": T((4, 4)), "begin": T.of("int32", 2), "end": [4, 4]}, (None,) * 2),
        ("gather", {"x": T((None, 4)), "indices": T.of("int32", 3), "axis": 1}, (None, 3)),
        ("tile", {"x": T((None, 4)), "reps": [2, 2]}, (None, 8)),
        ("fill", {"shape": T.of("int32", 2), "value": 1.0}, (None, None)),
        ("squeeze", {"x": T((None, 4)), "axes": [0]}, (4,)),
    ],
)
def test_unknown_dimensions_propagate(op, arguments, expected):
    assert [shape for _, shape in pyane_results(op, arguments)] == [expected]


@pytest.mark.parametrize(
    ("op", "arguments", "message"),
    [
        ("add", {"x": T((2, 3)), "y": T((4,))}, r"x \[2, 3\] and y \[4\] do not broadcast"),
        (
            "add",
            {"x": T((2,)), "y": T.of("fp32", 2)},
            "x .* and y .* same element type, .*fp16 and fp32",
        ),
        (
            "conv",
            {"x": T((1, 4, 8, 8)), "weight": T.of("fp32", 1, 4, 1, 1)},
            "x .* and weight .*fp16 and fp32",
        ),
        ("concat", {"values": [T((2,)), T.of("int32", 2)], "axis": 0}, "fp16 and int32"),
        ("exp", {"x": T.of("int32", 2)}, r"x .* must be fp16 or fp32, got tensor<int32, \[2\]>"),
        ("conv", {"x": T((1, 4, 8, 8)), "weight": T((6, 3, 1, 1))}, r"4 / 1 input channels, got 3"),
        (
            "conv",
            {"x": T((1, 4, 8, 8)), "weight": T((6, 4, 9, 1))},
            "kernel of 9 does not fit into 8",
        ),
        (
            "conv",
            {"x": T((1, 4, 8, 8)), "weight": T((6, 4, 1, 1)), "groups": 0},
            "groups must be at least 1, got 0",
        ),
        (
            "conv",
            {"x": T((1, 4, 8, 8)), "weight": T((6, 4, 1, 1)), "strides": [1]},
            r"strides must have 2 entries, got \[1\]",
        ),
        (
            "conv",
            {"x": T((1, 4, 8, 8)), "weight": T((6, 4, 1, 1)), "pad_type": "full"},
            '"custom", got "full"',
        ),
        (
            "conv",
            {"x": T((1, 4, 8, 8)), "weight": T((6, 4, 1, 1)), "bias": T((5,))},
            r"output channel \(6\), got \[5\]",
        ),
        *(
            ("conv_transpose", {"x": T((1, 4, 5)), "weight": T((4, 6, 3))} | arguments, message)
            for arguments, message in [
                ({"strides": [0]}, r"strides must be at least 1, got \[0\]"),
                ({"dilations": [-2]}, r"dilations must be at least 1, got \[-2\]"),
                ({"pad_type": "custom", "pad": [1, -1]}, r"pad must be at least 0, got \[1, -1\]"),
                ({"output_shape": [1, 7, 7]}, r"N and C_out, \[1, 6\], got \[1, 7, 7\]"),
                ({"output_shape": [2, 6, 7]}, r"N and C_out, \[1, 6\], got \[2, 6, 7\]"),
            ]
        ),
        (
            "matmul",
            {"x": T((2, 3)), "y": T((4, 5))},
            r"disagree: 3 != 4 \(transpose_x=false, transpose_y=false\)",
        ),
        (
            "matmul",
            {"x": T((3,)), "y": T((3, 5)), "transpose_x": True},
            "transpose_x must be false for a vector",
        ),
        ("linear", {"x": T((3,)), "weight": T((5, 3))}, "weight .* must be a constant"),
        ("softmax", {"x": T((2, 3)), "axis": 2}, r"axis must lie in \[-2, 2\), got 2"),
        ("reduce_sum", {"x": T((2, 3)), "axes": [0, -2]}, "axes names axis -2 twice"),
        ("reshape", {"x": T((2, 3)), "shape": [4, -1]}, r"6 elements does not fit shape \[4, -1\]"),
        ("reshape", {"x": T((2, 3)), "shape": [-1, -1]}, "one -1"),
        ("transpose", {"x": T((2, 3)), "perm": [0]}, r"perm .* got \[0\]"),
        ("split", {"x": T((6,)), "split_sizes": [1, 2], "axis": 0}, "must add up to 6, .* got 3"),
        ("split", {"x": T((6,)), "axis": 0}, "'num_splits' or 'split_sizes'"),
        (
            "concat",
            {"values": [T((2, 3)), T((4, 3))], "axis": 1},
            r"except along axis 1, got \[2, 3\], \[4, 3\]",
        ),
        ("gather", {"x": T((5,)), "indices": [5], "validate_indices": True}, r"\[0, 5\) .* got 5"),
        (
            "slice_by_size",
            {"x": T((5,)), "begin": [3], "size": [3]},
            r"leaves x \[5\] in dimension 0",
        ),
        ("pad", {"x": T((5,)), "pad": [5, 0], "mode": "reflect"}, r"\[0, 4\]"),
        ("cast", {"x": T((5,)), "dtype": "float16"}, '"bool", got "float16"'),
        ("topk", {"x": T((5,)), "k": 6}, r"\[1, 5\].* got 6"),
        ("tile", {"x": T((5,)), "reps": [0]}, r"positive .* got \[0\]"),
    ],
)
def test_what_does_not_fit_is_refused_with_values(op, arguments, message):
    with pytest.raises(MilVerifyError, match=message) as caught:
        pyane_results(op, arguments)
    assert caught.value.op == op
    assert str(caught.value).startswith(f"{op} 'result': ")
