"""Programs built from Python: their text, constants, names and errors."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from pyane import mil
from pyane.errors import MilVerifyError

SNAPSHOT = """\
program(1.3)
[buildInfo = dict<string, string>({{"coremlc-component-MIL", "3510.2.1"}, \
{"coremlc-version", "3505.4.1"}, {"coremltools-component-milinternal", ""}, \
{"coremltools-version", "9.0"}})]
{
    func main<ios18>(tensor<fp16, [1, 4, 1, 8]> x) {
            tensor<fp16, [6, 4, 1, 1]> conv_0_weight_0 = const()[name = string("conv_0_weight_0"), \
val = tensor<fp16, [6, 4, 1, 1]>(BLOBFILE(path = string("@model_path/weights/weight.bin"), \
offset = uint64(64)))];
            string conv_0_pad_type_0 = const()[name = string("conv_0_pad_type_0"), \
val = string("valid")];
            int32 conv_0_groups_0 = const()[name = string("conv_0_groups_0"), val = int32(1)];
            tensor<int32, [2]> conv_0_strides_0 = const()[name = string("conv_0_strides_0"), \
val = tensor<int32, [2]>([1, 1])];
            tensor<int32, [4]> conv_0_pad_0 = const()[name = string("conv_0_pad_0"), \
val = tensor<int32, [4]>([0, 0, 0, 0])];
            tensor<int32, [2]> conv_0_dilations_0 = const()[name = string("conv_0_dilations_0"), \
val = tensor<int32, [2]>([1, 1])];
            tensor<fp16, [1, 6, 1, 8]> conv_0 = conv(dilations = conv_0_dilations_0, \
groups = conv_0_groups_0, pad = conv_0_pad_0, pad_type = conv_0_pad_type_0, \
strides = conv_0_strides_0, weight = conv_0_weight_0, x = x)[name = string("conv_0")];
            fp16 mul_0_y_0 = const()[name = string("mul_0_y_0"), val = fp16(0x1p-1)];
            tensor<fp16, [1, 6, 1, 8]> mul_0 = mul(x = conv_0, y = mul_0_y_0)\
[name = string("mul_0")];
            string y_mode_0 = const()[name = string("y_mode_0"), val = string("EXACT")];
            tensor<fp16, [1, 6, 1, 8]> y = gelu(mode = y_mode_0, x = mul_0)[name = string("y")];
        } -> (y);
}
"""


def test_text_of_a_program():
    weight = np.arange(24, dtype=np.float32).reshape(6, 4, 1, 1)

    @mil.program(x=mil.fp16[1, 4, 1, 8])
    def block(x):
        return mil.gelu(x=mil.mul(x=mil.conv(x=x, weight=weight), y=0.5), name="y")

    assert str(block).rstrip() == SNAPSHOT.rstrip()
    mil.verify(block)
    assert mil.parse(str(block)).native == block.native
    stored = mil.read_blob(
        block.weights["@model_path/weights/weight.bin"], 64, "fp16", weight.shape, strict=True
    )
    np.testing.assert_array_equal(stored, weight.astype(np.float16))


def build(function, **inputs):
    return mil.build(function, inputs or {"x": mil.fp16[1, 4]})


def constants(program):
    return {
        op.outputs[0].name: op.attributes["val"]
        for op in program.functions[0].operations
        if op.type == "const"
    }


def test_several_outputs_have_the_names_of_their_values():
    program = build(
        lambda x: (
            mil.relu(x=x, name="b"),
            mil.exp(x=x, name="a"),
            *mil.split(x=x, num_splits=2, axis=1, name="part"),
        )
    )
    assert program.functions[0].outputs == ("b", "a", "part_0", "part_1")
    mil.verify(program)


def test_functions_can_be_named():
    program = mil.build(lambda x: mil.relu(x=x), {"x": mil.fp16[2]}, name="layer0")
    assert program.functions[0].name == "layer0"


def test_results_know_their_types():
    def body(x):
        y = mil.reduce_sum(x=x, axes=[-1], keep_dims=True)
        assert (y.name, y.dtype, y.shape, y.rank) == ("reduce_sum_0", "fp16", (1, 1), 2)
        assert mil.reduce_sum(x=x).shape == ()
        assert mil.greater(x=x, y=0).dtype == "bool"
        return y

    build(body)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (1, "fp16"),
        (0.5, "fp16"),
        (np.float64(0.5), "fp16"),
        (np.ones(4), "fp16"),
        (np.ones(4, np.float32), "fp16"),
        ([1, 2, 3, 4], "fp16"),
    ],
)
def test_numbers_take_the_element_type_of_the_other_operand(value, dtype):
    program = build(lambda x: mil.add(x=x, y=value))
    assert constants(program)["add_0_y_0"].type.dtype == dtype
    mil.verify(program)


def test_numbers_beside_other_types():
    program = build(lambda x: mil.add(x=x, y=2), x=mil.int32[3])
    assert constants(program)["add_0_y_0"].type.dtype == "int32"
    program = build(lambda x: mil.add(x=x, y=0.5), x=mil.fp32[3])
    assert constants(program)["add_0_y_0"].type.dtype == "fp32"
    program = build(lambda x: mil.logical_and(x=x, y=True), x=mil.bool_[3])
    assert constants(program)["logical_and_0_y_0"].type.dtype == "bool"


def test_integer_arrays_are_not_turned_into_floats():
    with pytest.raises(MilVerifyError, match="fp16 and int32") as caught:
        build(lambda x: mil.add(x=x, y=np.array([1, 2, 3, 4])))
    assert caught.value.op == "add"


def test_small_constants_are_inline_and_large_ones_in_the_weight_file():
    program = build(
        lambda x: mil.mul(x=mil.add(x=x, y=np.ones(10)), y=np.ones((11, 1))), x=mil.fp16[1]
    )
    found = constants(program)
    assert isinstance(found["add_0_y_0"].value, np.ndarray)
    assert found["mul_0_y_0"].value.path == "@model_path/weights/weight.bin"


def test_equal_constants_are_shared_by_equal_parameters():
    weight = np.ones((16, 4))
    program = build(
        lambda x: mil.add(x=mil.linear(x=x, weight=weight), y=mil.linear(x=x, weight=weight))
    )
    assert list(constants(program)) == ["linear_0_weight_0"]


def test_constants_have_names_types_and_files_of_their_own():
    def body(x):
        w1 = mil.const(val=np.ones((4, 4), np.float32), name="w1", path="@model_path/weights/1.bin")
        w2 = mil.const(val=np.ones((4, 4), np.float32), name="w2")
        assert w1.dtype == w2.dtype == "fp16"
        assert mil.const(val=[1.0], dtype="fp32").dtype == "fp32"
        assert mil.const(val=[1, 2]).dtype == "int32"
        np.testing.assert_array_equal(w2.val, np.ones((4, 4)))
        return mil.matmul(x=mil.matmul(x=x, y=w1), y=w2)

    program = build(body)
    assert set(program.weights) == {"@model_path/weights/1.bin", "@model_path/weights/weight.bin"}
    mil.verify(program)


@pytest.mark.parametrize("name", ["", "1x", "a b", "a-b", "é", "x.y"])
def test_names_must_be_identifiers(name):
    with pytest.raises(MilVerifyError, match=r"must match \[A-Za-z_\]\[A-Za-z0-9_@\]\*, got"):
        build(lambda x: mil.relu(x=x, name=name))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (lambda x: mil.relu(x=x, name="x"), "'x' is already the name of another value"),
        (lambda x: x, "output 'x' is an input; return mil.identity"),
        (lambda x: mil.const(val=1.0, name="c"), "output 'c' is a constant"),  # noqa: ARG005
        (lambda x: (mil.relu(x=x, name="y"),) * 2, "output 'y' is returned twice"),
        (lambda x: 1, "must return values it computed, got int"),  # noqa: ARG005
        (lambda x: mil.add(x=x, y=1e6), r"y must fit fp16 \(at most 65504\), got 1e\+06"),
        (lambda x: mil.add(x=x, y=1e-9), "y must not become 0 in fp16"),
        (lambda x: mil.relu(x="text"), "x"),  # noqa: ARG005
        (lambda x: mil.softmax(x=x, axis=1.5), "axis must be"),
        (lambda x: mil.reduce_sum(x=x, axes=[2**40]), r"axes must fit int32"),
        (lambda x: mil.concat(values=x, axis=0), "values must be a sequence of values, got Var"),
        (lambda x: mil.relu(x=object()), "x must be numbers, bools or a string, got object"),  # noqa: ARG005
        (lambda x: mil.matmul(x=x, y=x, name="m"), "matmul 'm': x .* disagree: 4 != 1"),
    ],
)
def test_what_is_wrong_is_said_where_it_is_called(body, message):
    with pytest.raises(MilVerifyError, match=message):
        build(body)


def test_operations_need_a_program():
    with pytest.raises(MilVerifyError, match=r"mil\.relu needs a program to belong to") as caught:
        mil.relu(x=1.0)
    assert caught.value.op == "relu"


def test_values_belong_to_one_program():
    kept = []
    build(lambda x: kept.append(x) or mil.relu(x=x))
    with pytest.raises(MilVerifyError, match=r"x \('x'\) belongs to another program"):
        build(lambda x: mil.relu(x=kept[0]))  # noqa: ARG005


def test_programs_are_built_independently():
    # Names and numbering start anew in each program, also in threads.
    texts = [None] * 4

    def run(i):
        texts[i] = str(build(lambda x: mil.relu(x=mil.exp(x=x))))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(texts)) == 1
    assert "relu_0" in texts[0]


def test_a_failed_program_leaves_no_trace():
    with pytest.raises(ZeroDivisionError):
        build(lambda x: 1 / 0)  # noqa: ARG005
    with pytest.raises(MilVerifyError, match="needs a program"):
        mil.relu(x=1.0)


def test_states():
    program = build(
        lambda x, kv: mil.add(x=mil.read_state(input=kv), y=x),
        x=mil.fp16[1, 4],
        kv=mil.state(mil.fp16[1, 4]),
    )
    assert "state<tensor<fp16, [1, 4]>> kv" in str(program)
    mil.verify(program)
