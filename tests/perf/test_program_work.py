"""What programs ask for, against counts by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mil_text import operation, program, tensor_type
from pyane import mil
from pyane.errors import MilVerifyError, ShapeError
from pyane.perf import programs, workload


def test_convolution() -> None:
    work = workload(programs.conv(3, 7, 5, 3, out=11, stride=2))
    assert work.flops == work.matrix_flops == 2 * 3 * 9 * 11 * 4 * 3
    assert work.weight_bytes == 2 * 11 * 3 * 9
    assert (work.input_bytes, work.output_bytes) == (2 * 3 * 7 * 5, 2 * 11 * 4 * 3)
    assert work.boundary_bytes == work.input_bytes + work.output_bytes


@pytest.mark.parametrize(
    ("form", "n_bytes"),
    [
        ("dense", 2 * 64 * 96),
        ("int8", 64 * 96 + 2 * 96 + 96),  # a scale and a zero point for each column
        ("lut", 64 * 96 // 2 + 2 * 16),  # two indices a byte, sixteen entries
        ("sparse", 64 * 96 // 8 + 2 * (64 * 96 // 4)),  # a mask, a quarter of the elements
    ],
)
def test_bytes_of_compressed_weights(form: str, n_bytes: int) -> None:
    work = workload(programs.matmul(5, 64, 96, form=form, kept=0.25))
    (weight,) = work.weights
    assert (weight.form, weight.stored_bytes, weight.dense_bytes) == (form, n_bytes, 2 * 64 * 96)
    assert work.weight_bytes == n_bytes


def stored(name: str, dtype: str, shape: str, offset: int) -> str:
    """A constant in a weight file."""
    kind = f"tensor<{dtype}, [{shape}]>"
    blob = f'BLOBFILE(path = string("w"), offset = uint64({offset}))'
    return f'{kind} {name} = const()[name = string("{name}"), val = {kind}({blob})];'


def test_packed_integers_and_blocks() -> None:
    """constexpr_blockwise_shift_scale of ios18, with int4 data."""
    text = program(
        {"x": tensor_type("float16", [2, 64])},
        [
            stored("q", "int4", "64, 32", 64),
            stored("s", "fp16", "2, 32", 128),
            operation(
                "constexpr_blockwise_shift_scale",
                "w",
                tensor_type("float16", [64, 32]),
                {"data": "%q", "scale": "%s"},
            ),
            operation(
                "matmul",
                "y",
                tensor_type("float16", [2, 32]),
                {"x": "%x", "y": "%w", "transpose_x": False, "transpose_y": False},
            ),
        ],
        ["y"],
    )
    (weight,) = workload(text).weights
    assert weight.form == "blockwise"
    assert weight.stored_bytes == 64 * 32 // 2 + 2 * 2 * 32


def test_a_weight_read_twice_is_one() -> None:
    shared = workload(programs.conv(512, 1, 64, 1, depth=128, shared=True))
    assert len(shared.weights) == 1
    assert sum(len(step.weights) for step in shared.steps) == 128
    assert shared.weight_bytes == 2 * 512 * 512
    assert workload(programs.conv(512, 1, 64, 1, depth=128)).weight_bytes == 128 * 2 * 512 * 512


def test_chain_that_spills() -> None:
    """ane-guide ch. 9: 96 layers of [8192, 128] move 426 MB, of [4096, 128] next to nothing."""
    n_bytes = 2 * 8192 * 128
    wide = workload(programs.matmul(8192, 128, 128, depth=96))
    # Neither the first operand nor the last result is intermediate: 95 values. The first has the
    # chip for itself until the second is made, and needs no write of its own.
    assert wide.spill_bytes(n_bytes) == 2 * 94 * n_bytes
    assert wide.spill_bytes(n_bytes) + wide.boundary_bytes + wide.weight_bytes == pytest.approx(
        426e6, rel=0.06
    )
    assert wide.spill_bytes(2 * n_bytes) == 0
    assert workload(programs.matmul(4096, 128, 128, depth=96)).spill_bytes(n_bytes) == 0


def test_room_for_two_results() -> None:
    """A residual waits beside the two values that a softmax and another read and write."""

    @mil.program(x=mil.fp16[1, 64, 1, 256])
    def block(x: mil.Var) -> mil.Var:
        kept = mil.softmax(x=x, axis=1)  # needed again by the last operation
        a = mil.softmax(x=kept, axis=1)
        b = mil.softmax(x=a, axis=1)
        return mil.add(x=b, y=kept, name="y")

    work = workload(block)
    size = 2 * 64 * 256
    assert work.spill_bytes(3 * size) == 0
    # kept, a and b at once: kept is needed last, goes out once and comes back once.
    assert work.spill_bytes(2 * size) == 2 * size


def test_elementwise_operations_are_taken_on_the_fly() -> None:
    @mil.program(x=mil.fp16[1, 64, 1, 256])
    def chain(x: mil.Var) -> mil.Var:
        a = mil.softmax(x=x, axis=1)
        b = mil.relu(x=a)  # reads one live value: part of the chain
        c = mil.mul(x=b, y=np.float16(2))
        return mil.add(x=c, y=x, name="y")  # reads two

    values = dict(zip([s.op for s in workload(chain).steps], workload(chain).values, strict=True))
    assert values == {"softmax": 0, "relu": 0, "mul": 2 * 64 * 256, "add": 0}


def test_views_are_their_operand() -> None:
    @mil.program(x=mil.fp16[1, 64, 1, 256])
    def viewed(x: mil.Var) -> mil.Var:
        a = mil.softmax(x=x, axis=1)
        b = mil.reshape(x=a, shape=[64, 256])
        return mil.softmax(x=b, axis=0, name="y")

    work = workload(viewed)
    assert [step.op for step in work.steps] == ["softmax", "softmax"]
    assert work.steps[1].reads == work.steps[0].writes


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"kernel": 3}, True),
        ({"kernel": 1}, False),
        ({"kernel": 5}, False),
        ({"kernel": 3, "stride": 2}, False),
        ({"kernel": 3, "pad": "valid"}, True),
    ],
)
def test_which_convolutions_take_fewer_products(
    arguments: dict[str, object], expected: bool
) -> None:
    (step,) = workload(
        programs.build("conv", {"channels": 8, "height": 9, "width": 9} | arguments)
    ).steps
    assert step.is_winograd is expected


def test_grouped_convolutions_do_not() -> None:
    @mil.program(x=mil.fp16[1, 8, 9, 9])
    def grouped(x: mil.Var) -> mil.Var:
        return mil.conv(x=x, weight=np.ones((8, 2, 3, 3), np.float16), groups=4, name="y")

    assert not workload(grouped).steps[0].is_winograd


@pytest.mark.parametrize("quantized", [True, False])
def test_bytes_by_bytes(quantized: bool) -> None:
    data = 'tensor<int8, [32, 32]>(BLOBFILE(path = string("w"), offset = uint64(64)))'
    weight = (
        'tensor<fp16, [32, 32]> w = constexpr_affine_dequantize()[name = string("w"), '
        f"axis = int32(1), quantized_data = {data}, scale = fp16(0x1p-7), zero_point = int8(0)];"
    )
    scale = np.float16(1 / 128)
    steps = [
        operation(
            "quantize",
            "q",
            tensor_type("int8", [4, 32]),
            {"input": "%x", "scale": scale, "output_dtype": "int8"},
        ),
        operation(
            "dequantize", "d", tensor_type("float16", [4, 32]), {"input": "%q", "scale": scale}
        ),
    ]
    name = "d" if quantized else "x"
    product = operation(
        "matmul",
        "y",
        tensor_type("float16", [4, 32]),
        {"x": f"%{name}", "y": "%w", "transpose_x": False, "transpose_y": False},
    )
    text = program(
        {"x": tensor_type("float16", [4, 32])},
        [weight, *(steps if quantized else []), product],
        ["y"],
    )
    assert workload(text).steps[-1].is_int8 is quantized


def test_matrices_that_are_inputs() -> None:
    @mil.program(w=mil.fp16[1, 1, 8, 64], x=mil.fp16[1, 64, 1, 16])
    def product(w: mil.Var, x: mil.Var) -> mil.Var:
        columns = mil.transpose(x=x, perm=[0, 2, 1, 3])
        return mil.matmul(x=w, y=columns, name="y")

    assert workload(product).matrix_input_bytes == 2 * 8 * 64

    @mil.program(a=mil.fp16[12, 1, 16, 16], b=mil.fp16[12, 1, 16, 64])
    def heads(a: mil.Var, b: mil.Var) -> mil.Var:
        return mil.matmul(x=a, y=b, name="y")  # many at once: activations

    assert workload(heads).matrix_input_bytes == 0
    assert workload(programs.matmul(4, 64, 8)).matrix_input_bytes == 0


def test_unknown_dimensions_are_refused() -> None:
    text = program(
        {"x": "tensor<fp16, [1, ?]>"},
        [operation("relu", "y", "tensor<fp16, [1, ?]>", {"x": "%x"})],
        ["y"],
    )
    with pytest.raises(ShapeError, match=r"every dimension must be known, got .*\[1, \?\]"):
        workload(text)


def test_invalid_programs_are_refused() -> None:
    text = program(
        {"x": tensor_type("float16", [2, 3])},
        [operation("relu", "y", tensor_type("float16", [3, 2]), {"x": "%x"})],
        ["y"],
    )
    with pytest.raises(MilVerifyError, match=r"\[3, 2\]"):
        workload(text)


def test_blocks_count_as_their_costlier_branch() -> None:
    product = operation(
        "matmul",
        "p",
        tensor_type("float16", [8, 8]),
        {"x": "%x", "y": "%x", "transpose_x": False, "transpose_y": False},
    )
    head = 'tensor<fp16, [8, 8]> y = cond(pred = which)[name = string("y")]'
    text = program(
        {"x": tensor_type("float16", [8, 8]), "which": tensor_type("bool", [])},
        [
            f"{head} then() {{ {product} }} -> (p), other() {{ }} -> (x);",
        ],
        ["y"],
    )
    work = workload(text)
    assert work.matrix_flops == work.flops == 2 * 8**3


def test_operations_on_constants_are_constants() -> None:
    @mil.program(x=mil.fp16[4, 64])
    def turned(x: mil.Var) -> mil.Var:
        w = mil.const(val=np.ones((32, 64), np.float16))
        other = mil.const(val=np.full((64, 32), 2, np.float16))
        weight = mil.add(x=mil.transpose(x=w, perm=[1, 0]), y=other)
        return mil.matmul(x=x, y=weight, name="y")

    work = workload(turned)
    assert [step.op for step in work.steps] == ["matmul"]
    assert work.weight_bytes == 2 * 64 * 32  # what is left of both when compiled
    assert work.matrix_flops == 2 * 4 * 64 * 32
