"""Costs against sums worked out by hand, and facts of real programs."""

from __future__ import annotations

from typing import Any

import pytest

import pyane
from mil_text import literal, program
from pyane import _core, mil
from pyane.errors import MilVerifyError, ShapeError
from pyane.model.statistics import statistics


def flops(op: str, inputs: dict[str, str], result: str, **arguments: Any) -> float | None:
    """Of one operation on inputs of the given types."""
    given = [f"{name} = {name}" for name in inputs] + [
        f"{name} = {literal(value)}" for name, value in arguments.items()
    ]
    line = f"{result} result = {op}({', '.join(given)});"
    parsed = mil.parse(program(inputs, [line], ["result"]))
    (cost,) = _core.mil.cost(parsed.native, "main").operations
    assert cost.op == op
    assert cost.location == (5, 9)
    return cost.flops


def t(*dims: int | str, dtype: str = "fp16") -> str:
    return f"tensor<{dtype}, [{', '.join(map(str, dims))}]>"


CONV = {"strides": [1, 1], "dilations": [1, 1], "pad_type": "valid", "pad": [0] * 4}


def weighted(weight: str, **options: Any) -> dict[str, Any]:
    return {"weight": weight} | options


@pytest.mark.parametrize(
    ("op", "inputs", "result", "arguments", "expected"),
    [
        ("add", {"x": t(2, 3), "y": t(1, 3)}, t(2, 3), {}, 6),
        ("exp", {"x": t(7)}, t(7), {}, 7),
        ("relu", {"x": t(7)}, t(7), {}, 7),
        ("cast", {"x": t(7)}, t(7, dtype="fp32"), {"dtype": "fp32"}, 0),
        ("softmax", {"x": t(2, 3)}, t(2, 3), {"axis": 1}, 5 * 6),
        ("layer_norm", {"x": t(2, 3)}, t(2, 3), {"axes": [1]}, 8 * 6),
        # [2, 5, 3] x [2, 3, 7]: 2 * 5 * 7 products of 3.
        ("matmul", {"x": t(2, 5, 3), "y": t(2, 3, 7)}, t(2, 5, 7), {}, 2 * 2 * 5 * 7 * 3),
        (
            "matmul",
            {"x": t(2, 3, 5), "y": t(2, 3, 7)},
            t(2, 5, 7),
            {"transpose_x": True},
            2 * 2 * 5 * 7 * 3,
        ),
        ("reduce_sum", {"x": t(4, 6)}, t(4), {"axes": [1]}, 24),
        ("reduce_l2_norm", {"x": t(4, 6)}, t(4), {"axes": [1]}, 48),
        ("reshape", {"x": t(4, 6)}, t(24), {"shape": [24]}, 0),
        ("transpose", {"x": t(4, 6)}, t(6, 4), {"perm": [1, 0]}, 0),
        (
            "avg_pool",
            {"x": t(1, 2, 8, 8)},
            t(1, 2, 4, 4),
            {
                "kernel_sizes": [2, 3],
                "strides": [2, 2],
                "pad_type": "same",
                "exclude_padding_from_average": False,
            },
            32 * 6,
        ),
        (
            "scaled_dot_product_attention",
            {"query": t(1, 2, 5, 4), "key": t(1, 2, 7, 4), "value": t(1, 2, 7, 3)},
            t(1, 2, 5, 3),
            {},
            # Scores: 2 * 5 * 7 of length 4; sums: of length 7 for 3 values; scale and softmax: 6.
            2 * 5 * 7 * (2 * 4 + 2 * 3 + 6),
        ),
        (
            "upsample_bilinear",
            {"x": t(1, 2, 4, 4)},
            t(1, 2, 8, 8),
            {"scale_factor_height": 2, "scale_factor_width": 2, "align_corners": False},
            7 * 128,
        ),
    ],
)
def test_operations(
    op: str, inputs: dict[str, str], result: str, arguments: dict[str, Any], expected: float
) -> None:
    assert flops(op, inputs, result, **arguments) == expected


def cost_of(lines: list[str], inputs: dict[str, str]) -> list[float | None]:
    parsed = mil.parse(program(inputs, lines, ["y"]))
    return [cost.flops for cost in _core.mil.cost(parsed.native, "main").operations]


def blob(dtype: str, *dims: int) -> str:
    return f'{t(*dims, dtype=dtype)}(BLOBFILE(path = string("w"), offset = uint64(64)))'


def test_convolutions_count_what_each_output_sums() -> None:
    # 8 output channels in 2 groups of 3 input channels, windows of 3 x 5, plus a bias.
    line = (
        f"{t(1, 8, 4, 6)} y = conv(x = x, weight = {blob('fp16', 8, 3, 3, 5)}, "
        f'bias = {blob("fp16", 8)}, groups = int32(2), pad_type = string("valid"));'
    )
    assert cost_of([line], {"x": t(1, 6, 6, 10)}) == [8 * 4 * 6 * (2 * 3 * 3 * 5 + 1)]
    # Every element of x times its channel's window to each of the group's outputs.
    line = f"{t(1, 4, 8, 8)} y = conv_transpose(x = x, weight = {blob('fp16', 6, 4, 3, 3)});"
    assert cost_of([line], {"x": t(1, 6, 6, 6)}) == [2 * 6 * 36 * 4 * 9]


def test_linear_and_einsum() -> None:
    line = f"{t(5, 7)} y = linear(x = x, weight = {blob('fp16', 7, 3)}, bias = {blob('fp16', 7)});"
    assert cost_of([line], {"x": t(5, 3)}) == [5 * 7 * (2 * 3 + 1)]
    line = f'{t(1, 5, 2, 7)} y = einsum(values = (x, z), equation = string("nchw,nwhu->nchu"));'
    costs = cost_of([line], {"x": t(1, 5, 2, 3), "z": t(1, 3, 2, 7)})
    assert costs == [2 * 1 * 5 * 2 * 3 * 7]


def test_open_dimensions_have_no_cost() -> None:
    assert cost_of([f"{t('?', 3)} y = relu(x = x);"], {"x": t("?", 3)}) == [None]


def test_branches_count_the_worse_and_loops_one_turn() -> None:
    x = t(2, 3)
    cond = f"""{x} y = cond(pred = p)
        then () {{ {x} a = exp(x = x); {x} b = exp(x = a); }} -> (b),
        else () {{ {x} c = exp(x = x); }} -> (c);"""
    assert cost_of([cond], {"x": x, "p": "bool"}) == [12]
    loop = f"""{x} y = while_loop(loop_vars = (x))
        condition ({x} i) {{ fp16 s = reduce_sum(x = i, axes = tensor<int32, [2]>([0, 1]),
            keep_dims = bool(false)); bool t = less(x = s, y = fp16(1)); }} -> (t),
        body ({x} j) {{ {x} k = exp(x = j); }} -> (k);"""
    assert cost_of([loop], {"x": x}) == [6 + 1 + 6]


def test_memory() -> None:
    # x -> a -> b -> y: a (12 bytes) and b live together while b is made; y is an output.
    lines = [
        f"{t(2, 3)} a = exp(x = x);",
        f"{t(2, 3)} b = exp(x = a);",
        f"{t(2, 3)} unused = exp(x = a);",
        f"{t(2, 3)} c = add(x = b, y = b);",
        f"{t(2, 3)} y = exp(x = c);",
    ]
    inputs = {"x": t(2, 3), "s": f"state<{t(5)}>", "z": t(4, dtype="int8")}
    cost = _core.mil.cost(mil.parse(program(inputs, lines, ["y"])).native, "main")
    assert cost.input_bytes == 12 + 4
    assert cost.state_bytes == 10
    assert cost.output_bytes == 12
    assert cost.peak_activation_bytes == 3 * 12  # a, b, unused


def test_weights_are_counted_once_and_as_stored() -> None:
    lines = [
        f"{t(9, dtype='uint4')} a = const()[val = {blob('uint4', 9)}];",
        f"{t(9, dtype='uint4')} b = const()[val = {blob('uint4', 9)}];",
        f"{t(3)} c = const()[val = {blob('fp16', 3).replace('64)))', '128)))')}];",
        f"{t(3)} y = exp(x = c);",
    ]
    parsed = mil.parse(program({}, lines, ["y"]))
    assert _core.mil.weights(parsed.native, "main") == [("fp16", 1, 6), ("uint4", 1, 5)]


def test_errors() -> None:
    parsed = mil.parse(program({"x": t(3)}, [f"{t(4)} y = exp(x = x);"], ["y"]))
    with pytest.raises(MilVerifyError, match="'y' is declared as"):
        _core.mil.cost(parsed.native, "main")
    with pytest.raises(ShapeError, match="no function 'other'"):
        _core.mil.cost(parsed.native, "other")
    facts = statistics(pyane.model.as_model(parsed))
    assert "'y' is declared as" in facts.fault
    assert facts.flops is None
    assert facts.op_counts == {"exp": 1}


def test_every_family_has_its_formula() -> None:
    """A family that nobody thought of would count as nothing."""
    arithmetic = {
        "activation",
        "attention",
        "conv",
        "elementwise_binary",
        "elementwise_unary",
        "image_resizing",
        "linear",
        "normalization",
        "pool",
        "recurrent",
        "reduction",
        "transformers",
    }
    free = {
        "constexpr_ops",
        "control",
        "non_maximum_suppression",
        "random",
        "scatter_gather",
        "space_depth",
        "state",
        "tensor_operation",
        "tensor_transformation",
        "quantization",
        "quantize",
        "list",
        "lists",
    }
    families = {record.family for record in mil.op_set()}
    assert families <= arithmetic | free, "say in cpp/pyane/mil/cost.cpp what its operations cost"


def test_yolo_is_what_its_makers_say(shared_data) -> None:
    """YOLOv8n at 640: 8.7 GFLOP and 3.2 million parameters (docs.ultralytics.com/models/yolov8)."""
    name = "Sarves1911__zero-copy-mac-inference__models__yolov8n.mil"
    facts = statistics(pyane.load(shared_data / "mil" / name))
    assert facts.flops == pytest.approx(8.7e9, rel=0.02)
    assert sum(w.n_bytes for w in facts.weights) / 4 == pytest.approx(3.2e6, rel=0.02)
    assert facts.op_counts["conv"] == 64
