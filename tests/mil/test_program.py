from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyane import _core, mil
from pyane.errors import MilVerifyError, ShapeError

VALID = Path(__file__).parents[1] / "data" / "mil" / "valid"
Literal, Type = mil.Literal, mil.Type


def read(name: str) -> mil.Program:
    return mil.parse((VALID / f"{name}.mil").read_bytes(), name)


def test_functions() -> None:
    program = read("functions")
    assert program.version == "1.3"
    assert program.source_name == "functions"
    assert program.attributes["buildInfo"].value == {"coremlc-version": "3505.4.1"}
    assert program.attributes["priority"].value == 2
    layer0, layer1, empty = program.functions
    assert [f.name for f in program.functions] == ["layer0", "layer1", "no_parameters"]
    assert [f.opset for f in program.functions] == ["ios18", "", "ios15"]
    assert repr(program) == (
        "<MIL program 1.3, layer0: 4 operations, layer1: 4 operations, no_parameters: 0 operations>"
    )
    assert layer0.location == (4, 5)
    assert [(p.name, repr(p.type)) for p in layer0.parameters] == [("x", "tensor<fp16, [1, 4]>")]
    flexible = layer0.attributes["FlexibleShapeInformation"].value
    assert flexible[0][0] == "DefaultShapes"
    assert list(flexible[0][1]["x"]) == [1, 4]
    assert [list(dims) for dims in flexible[1][1]["x"]] == [[1, 1], [1, 240000]]
    assert layer0.attributes["Launch_ane_ms"].value == 0.125
    assert layer0.outputs == ("d", "a")
    assert layer1.parameters[1].name == "string"
    assert empty.outputs == (Literal.tensor(np.int32(3)),)


def test_operations() -> None:
    split, concat, cast, empty = read("functions").functions[0].operations
    assert split.type == "split"
    assert split.name == "ab"
    assert [(v.name, v.type.shape) for v in split.outputs] == [("a", (1, 2)), ("b", (1, 2))]
    assert split.arguments["x"] == "x"
    assert split.arguments["axis"].value == 1
    assert split.location == (5, 9)
    assert split.outputs[1].location == (5, 54)
    assert concat.name == "c"
    assert concat.arguments["values"][:2] == ("b", "a")
    assert concat.arguments["values"][2].value.shape == (1, 0)
    assert empty.arguments["values"] == ()
    assert cast.opset == "ios17"
    assert cast.attributes["BackendSupport"].value == ["ane", "unsupported"]
    _, write, update, nothing = read("functions").functions[1].operations
    assert write.outputs == ()
    assert write.name == "write"
    assert write.arguments == {"data": "old", "input": "kv"}
    assert update.arguments == {"state": "kv", "value": "string"}
    assert nothing.name == ""
    assert nothing.arguments == {}


def test_blocks() -> None:
    cond, loop = read("blocks").functions[0].operations
    then, otherwise = cond.blocks
    assert (then.name, otherwise.name) == ("then_branch", "else_branch")
    assert then.outputs == ("t",)
    assert [op.type for op in otherwise.operations] == ["cond"]
    assert [block.name for block in otherwise.operations[0].blocks] == ["", ""]
    condition, body = loop.blocks
    assert [p.name for p in condition.parameters] == ["a0", "i"]
    assert (condition.name, body.name) == ("condition", "")
    assert [op.type for op in body.operations] == ["add", "add"]
    assert [p.name for p in body.parameters] == ["a1", "j"]


def test_types() -> None:
    types = {p.name: p.type for p in read("types").functions[0].parameters}
    assert types["a"].kind == "tensor"
    assert (types["a"].dtype, types["a"].shape) == ("fp16", (1, 64, 1, 256))
    assert types["c"].shape == (None, 4)
    assert not types["d"].short_form
    assert types["d"] != Type.scalar("fp32")
    assert types["d"].same_type(Type.scalar("fp32"))
    assert types["f"] == Type.scalar("string")
    assert (types["i"].kind, types["i"].length) == ("list", 5)
    assert types["i"].elements == [Type.scalar("string")]
    assert types["j"].length is None
    assert types["k"].length is None
    assert types["l"].elements == [Type.scalar("string"), Type.scalar("fp64")]
    assert types["n"].kind == "tuple"
    assert types["n"].elements[1].elements == []
    assert types["kv"].kind == "state"
    assert types["kv"].dtype is None
    assert types["kv"].elements == [Type.tensor("fp16", [1, 8])]
    assert types["o"].kind == "tensor_buffer"
    assert types["o"].shape == (1, 2, 4, 4)
    assert types["o"].strides == [32, 16, 4, 1]
    assert types["o"].interleave_factors == [1, 1, 1, 1]
    assert types["q"].shape == (None,)
    assert types["q"].strides == []


def test_weight_paths() -> None:
    assert read("blobs").weight_paths == (
        "@model_path/weights.bin",
        "@model_path/weights/b.bin",
        "@model_path/weights/weight.bin",
        "weights/custom name.bin",
    )


def test_blob_references() -> None:
    ops = read("blobs").functions[0].operations
    reference = ops[2].attributes["val"].value
    assert isinstance(reference, mil.BlobReference)
    assert (reference.path, reference.offset) == ("weights/custom name.bin", 2**64 - 1)
    assert ops[3].attributes["quantized_data"].value.offset == 64
    assert ops[4].arguments["lut"].value.offset == 384
    # The two spellings are kept apart, so that each prints as it was written.
    assert "string(" in str(ops[0])
    assert "string, []" not in str(ops[0])
    assert 'path = tensor<string, []>("@model_path' in str(ops[1])


def small_program(**changes: Any) -> mil.Program:
    x = mil.Value(Type.tensor("fp16", [1, 4]), "x")
    y = mil.Value(Type.tensor("fp16", [1, 4]), changes.get("name", "y"))
    two = Literal.tensor(np.float16(2))
    operation = mil.Operation("mul", [y], {"x": "x", "y": two}, {"name": Literal.string("y")})
    function = mil.Function("main", [x], [operation], [changes.get("name", "y")])
    attributes = {"buildInfo": Literal.string_dict({"coremlc-version": "3505.4.1"})}
    return mil.Program(_core.mil.Program([function], attributes), changes.get("weights"))


def test_program_made_in_python() -> None:
    text = """program(1.3)
[buildInfo = dict<string, string>({{"coremlc-version", "3505.4.1"}})]
{
    func main<ios18>(tensor<fp16, [1, 4]> x) {
            tensor<fp16, [1, 4]> y = mul(x = x, y = fp16(0x1p+1))[name = string("y")];
        } -> (y);
}"""
    assert str(small_program()) == text
    assert mil.parse(text) == small_program()
    assert small_program().functions[0].operations[0].location == (0, 0)


def test_equality() -> None:
    assert small_program() == small_program()
    assert small_program() != small_program(name="z")
    assert small_program() != "program"
    weights = {"w": np.arange(3, dtype=np.uint8)}
    assert small_program(weights=weights) == small_program(weights={"w": b"\0\1\2"})
    assert small_program(weights=weights) != small_program(weights={"w": b"\0\1\3"})
    assert small_program(weights=weights) != small_program()
    # Numbers compare by their bits.
    nan = Literal.tensor(np.array([np.nan, -0.0], np.float16))
    assert nan == Literal.tensor(np.array([np.nan, -0.0], np.float16))
    assert nan != Literal.tensor(np.array([np.nan, 0.0], np.float16))


def test_parts_keep_the_program_alive() -> None:
    operation = small_program().functions[0].operations[0]
    literal = small_program().functions[0].operations[0].arguments["y"]
    assert operation.type == "mul"
    assert literal.value == 2.0


@pytest.mark.parametrize("name", ["", "1a", "a b", "a.b", "é", "true", "a-b", 'a"'])
def test_names_that_the_grammar_cannot_hold(name: str) -> None:
    x = mil.Value(Type.scalar("fp16"), "x")
    for make in (
        lambda: mil.Value(Type.scalar("fp16"), name),
        lambda: mil.Operation(name, [x], {}),
        lambda: mil.Operation("add", [x], {name: "x"}),
        lambda: mil.Operation("add", [x], {"x": name}),
        lambda: mil.Operation("add", [x], {"values": ("x", name)}),
        lambda: mil.Operation("add", [x], {}, {name: Literal.string("y")}),
        lambda: mil.Function(name, [x], [], ["x"]),
        lambda: mil.Function("main", [x], [], [name]),
    ):
        with pytest.raises(MilVerifyError, match=r"must match \[A-Za-z_\]"):
            make()


@pytest.mark.parametrize("version", ["", "1", "1.", ".3", "1.3.1", "1.3 ", "a.b", "-1.3"])
def test_versions_that_the_grammar_cannot_hold(version: str) -> None:
    with pytest.raises(MilVerifyError, match=f"must be like 1.3, got '{version}'"):
        _core.mil.Program([], {}, version)


def test_functions_of_one_name() -> None:
    functions = [mil.Function("main", [], [], [])] * 2
    with pytest.raises(MilVerifyError, match="different names, got 'main' twice"):
        _core.mil.Program(functions)


def test_types_that_cannot_be() -> None:
    with pytest.raises(ShapeError, match="in \\[0, 2147483647\\], got -1"):
        Type.tensor("fp16", [-1])
    with pytest.raises(ShapeError, match="at most 16 dimensions, got 17"):
        Type.tensor("fp16", [1] * 17)
    with pytest.raises(ShapeError, match="such as fp16 or int32, got 'f16'"):
        Type.scalar("f16")
    with pytest.raises(ShapeError, match="must hold a tensor, got list<fp16, \\?>"):
        Type.state(Type.list_of(Type.scalar("fp16")))
    deep = Type.scalar("fp16")
    for _ in range(62):
        deep = Type.list_of(deep)
    with pytest.raises(ShapeError, match="fewer than 64 levels, got 64"):
        Type.list_of(deep)


def test_literals_that_cannot_be() -> None:
    one = Literal.tensor(np.int32(1))
    integer = Type.scalar("int32")
    with pytest.raises(ShapeError, match="list, tuple or dict, got int32"):
        Literal.items(integer, [one])
    with pytest.raises(ShapeError, match="list<int32, 2> does not have 1 items"):
        Literal.items(Type.list_of(integer, 2), [one])
    with pytest.raises(ShapeError, match="dict<int32, int32> does not have 1 items"):
        Literal.items(Type.dict_of(integer, integer), [one])
    with pytest.raises(ShapeError, match="item 0 must be fp16, got int32"):
        Literal.items(Type.tuple_of([Type.scalar("fp16")]), [one])
    with pytest.raises(ShapeError, match="type must be a tensor, got list"):
        Literal.blob(Type.list_of(integer), "w.bin", 64)


def test_deep_blocks_are_refused() -> None:
    block = mil.Block("", [], [], [])
    for _ in range(62):
        block = mil.Block("", [], [mil.Operation("cond", [], {}, blocks=[block])], [])
    operation = mil.Operation("cond", [], {}, blocks=[block])
    with pytest.raises(MilVerifyError, match="fewer than 64 levels of nesting, got 64"):
        mil.Block("", [], [operation], [])
