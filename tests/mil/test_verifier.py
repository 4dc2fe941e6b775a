"""One fault per program: the message names the place, the operation and the values."""

from __future__ import annotations

import pytest

from pyane import mil
from pyane.errors import MilVerifyError, UnsupportedOpError

BODY_LINE = 4


def program(body: str, outputs: str = "y", parameters: str = "tensor<fp16, [1, 4, 2, 3]> x") -> str:
    """A program whose body starts on line 4."""
    return (
        f"program(1.3)\n{{\n    func main<ios18>({parameters}) {{\n{body}\n"
        f"    }} -> ({outputs});\n}}\n"
    )


def verify(text: str) -> None:
    mil.verify(mil.parse(text, source_name="model.mil"))


X = "tensor<fp16, [1, 4, 2, 3]>"


def test_a_correct_program_passes():
    verify(
        program(
            f"""        fp16 two = const()[name = string("two"), val = fp16(2)];
        {X} a = mul(x = x, y = two)[name = string("a")];
        {X} y = add(x = a, y = fp16(0x1p-1));"""
        )
    )


FAULTS = [
    (
        "unknown operation",
        f"{X} y = sigmiod(x = x);",
        "4:1: sigmiod 'y': no such operation in pyane; did you mean 'sigmoid'?",
        UnsupportedOpError,
    ),
    ("undefined value", f"{X} y = relu(x = z);", "'z' is not defined"),
    (
        "mistyped value",
        f"{X} hidden = relu(x = x); {X} y = relu(x = hiden);",
        "relu 'y': 'hiden' is not defined; did you mean 'hidden'?",
    ),
    (
        "used before its definition",
        f"{X} y = relu(x = a);\n{X} a = relu(x = x);",
        "'a' is used before it is defined on line 5",
    ),
    ("own result as operand", f"{X} y = relu(x = y);", "'y' is used before it is defined"),
    (
        "defined twice",
        f"{X} y = relu(x = x);\n{X} y = relu(x = x);",
        "'y' is defined twice, first on line 4",
    ),
    ("parameter redefined", f"{X} x = relu(x = x);", "'x' is defined twice, first on line 3"),
    (
        "unknown argument",
        f"{X} y = matmul(x = x, y = x, transpose_z = bool(true));",
        (
            "has no argument 'transpose_z'; did you mean 'transpose_x'? "
            "(arguments: x, y, transpose_x, transpose_y)"
        ),
    ),
    ("missing argument", f"{X} y = add(x = x);", "add 'y': needs the argument 'y'"),
    (
        "argument twice",
        """tensor<fp16, [4]> y = constexpr_affine_dequantize(axis = int32(0), zero_point = int8(0),
        quantized_data = tensor<int8, [4]>([1, 2, 3, 4]), scale = fp16(1))[axis = int32(0)];""",
        "argument 'axis' is given twice",
    ),
    (
        "tuple where one value belongs",
        f"{X} y = relu(x = (x, x));",
        "argument 'x' must be one value, got 2",
    ),
    (
        "wrong element type",
        f'string s = const()[val = string("fp16")]; {X} y = relu(x = s);',
        "x ('s') must be fp16 or fp32, got string",
    ),
    (
        "mixed element types",
        f"fp32 s = const()[val = fp32(1)]; {X} y = add(x = x, y = s);",
        "x ('x') and y ('s') must have the same element type, got fp16 and fp32",
    ),
    (
        "constant required",
        f"tensor<int32, [4]> s = shape(x = x); {X} y = softmax(x = x, axis = s);",
        "axis ('s') must be a scalar, got tensor<int32, [4]>",
    ),
    (
        "run-time value for a constant",
        f"""tensor<bool, []> c = greater(x = fp16(1), y = fp16(2));
        {X} y = reduce_sum(x = x, keep_dims = c);""",
        "keep_dims ('c') must be a constant, got a value computed at run time",
    ),
    (
        "scalar for a vector",
        f"{X} y = reduce_sum(x = x, axes = int32(1));",
        "axes must be a vector, got int32",
    ),
    (
        "declared shape",
        "tensor<fp16, [1, 4, 2, 4]> y = relu(x = x);",
        (
            "'y' is declared as tensor<fp16, [1, 4, 2, 4]>, but the result is "
            "tensor<fp16, [1, 4, 2, 3]>"
        ),
    ),
    ("declared rank", "tensor<fp16, [4, 2, 3]> y = relu(x = x);", "declared as"),
    ("declared element type", "tensor<fp32, [1, 4, 2, 3]> y = relu(x = x);", "declared as"),
    (
        "declared constant",
        f"fp32 s = const()[val = fp16(1)]; {X} y = relu(x = x);",
        "const 's': 's' is declared as fp32, but val is fp16",
    ),
    (
        "constant without val",
        f'fp16 s = const()[name = string("s")]; {X} y = relu(x = x);',
        "'val'",
    ),
    (
        "number of results",
        f"{X} y, {X} z = relu(x = x);",
        "relu 'y': has 1 results, got 2 declared",
    ),
    (
        "shapes that disagree",
        "tensor<fp16, [1, 4, 2, 2]> y = matmul(x = x, y = x);",
        (
            "model.mil:4:1: matmul 'y': x [1, 4, 2, 3] and y [1, 4, 2, 3] disagree: 3 != 2 "
            "(transpose_x=false, transpose_y=false)"
        ),
    ),
    ("undefined output", "", "func 'main': 'y' is not defined"),
    (
        "zero dimension",
        f"tensor<fp16, [0]> e = const()[val = tensor<fp16, [0]>([])]; {X} y = relu(x = e);",
        "relu 'y': 'e' must have positive dimensions, got tensor<fp16, [0]>",
    ),
    (
        "literal with a zero dimension",
        f"{X} y = relu(x = tensor<fp16, [0]>([]));",
        "relu 'y': a literal must have positive dimensions, got tensor<fp16, [0]>",
    ),
    (
        "empty output",
        "tensor<fp16, [0]> y = const()[val = tensor<fp16, [0]>([])];",
        "func 'main': 'y' must have positive dimensions, got tensor<fp16, [0]>",
    ),
    (
        "concat of nothing but empty constants",
        (
            "tensor<fp16, [0]> e = const()[val = tensor<fp16, [0]>([])]; "
            "tensor<fp16, [0]> y = concat(values = (e, e), axis = int32(0), interleave = bool(false));"
        ),
        "concat 'y': the result must have dimensions in [1, ",
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault[0])
def test_faults_are_found_and_named(fault):
    _, body, message, *rest = fault
    expected = rest[0] if rest else MilVerifyError
    with pytest.raises(expected) as caught:
        verify(program(body))
    assert message in str(caught.value)
    assert str(caught.value).startswith("model.mil:")
    error = caught.value
    place = f"model.mil:{error.line}:{error.column}: "
    assert str(error).startswith(place)
    assert str(error)[len(place) :].split(" ")[0] == (error.op or "func")


def test_outputs_are_listed_once():
    with pytest.raises(MilVerifyError, match="output 'y' is listed twice"):
        verify(program(f"{X} y = relu(x = x);", outputs="y, y"))


def test_parameters_are_named_once():
    with pytest.raises(MilVerifyError, match="'x' is defined twice"):
        verify(program(f"{X} y = relu(x = x);", parameters=f"{X} x, {X} x"))


def test_parameters_are_tensors():
    with pytest.raises(MilVerifyError, match=r"parameter 's' must be a tensor.*got string"):
        verify(program(f"{X} y = relu(x = x);", parameters=f"{X} x, string s"))


def test_unknown_dimensions_agree_with_any():
    verify(
        program(
            "tensor<fp16, [?, 3]> a = relu(x = x); tensor<fp16, [5, 3]> y = relu(x = a);",
            parameters="tensor<fp16, [?, 3]> x",
        )
    )


def test_states_are_read_and_written():
    kv = "tensor<fp16, [1, 4]>"
    parameters = f"state<{kv}> kv, {kv} x"
    verify(
        program(f"{kv} a = read_state(input = kv); {kv} y = add(x = a, y = x);", "y", parameters)
    )
    with pytest.raises(MilVerifyError, match=r"input \('x'\) must be a state, got tensor"):
        verify(program(f"{kv} y = read_state(input = x);", "y", parameters))
    with pytest.raises(MilVerifyError, match=r"x \('kv'\) must be a tensor, got state"):
        verify(program(f"{kv} y = relu(x = kv);", "y", parameters))


def test_a_missing_weight_file_does_not_keep_types_from_being_checked():
    weight = (
        "tensor<fp16, [6, 4, 1, 1]> w = const()[val = tensor<fp16, [6, 4, 1, 1]>(BLOBFILE(path = "
        'string("@model_path/weights/weight.bin"), offset = uint64(64)))];'
    )
    verify(program(f"{weight} tensor<fp16, [1, 6, 2, 3]> y = conv(x = x, weight = w);"))
    with pytest.raises(MilVerifyError, match="but the result is"):
        verify(program(f"{weight} tensor<fp16, [1, 4, 2, 3]> y = conv(x = x, weight = w);"))


def real_programs(shared_data):
    return sorted((shared_data / "mil").glob("*.mil"))


def test_real_programs_verify(shared_data):
    paths = real_programs(shared_data)
    assert len(paths) == 15
    for path in paths:
        mil.verify(mil.parse(path.read_text(), source_name=path.name))


def test_constants_that_are_no_tensors() -> None:
    """They may stand there, as the labels of a classifier do; no operation here takes them."""
    text = (
        "program(1.3){ func main<ios17>(fp16 x) { list<tensor<string, []>, 2> l = const()[val = "
        'list<string, 2>(["a", "b"])]; dict<string, int32> d = const()[val = dict<string, int32>'
        '({{"a", 1}})]; fp16 y = relu(x = x); } -> (y); }'
    )
    mil.verify(mil.parse(text))
    with pytest.raises(MilVerifyError, match=r"relu 'y'.*x \('l'\) must be a tensor, got list"):
        mil.verify(mil.parse(text.replace("x = x", "x = l")))
    with pytest.raises(MilVerifyError, match="output 'd' must be a tensor, got dict"):
        mil.verify(mil.parse(text.replace("-> (y)", "-> (d)")))
    with pytest.raises(
        MilVerifyError, match="'l' is declared as list<int32, 2>, but val is list<s"
    ):
        mil.verify(mil.parse(text.replace("list<tensor<string, []>, 2>", "list<int32, 2>")))
