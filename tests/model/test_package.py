"""Core ML's protobuf models: those of coremltools, and hostile ones."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import proto_text as proto
import pyane
from pyane import _core, mil
from pyane.errors import ConfigError, Error, ModelError, ShapeError

X = proto.tensor_type(proto.FP16, 2, 3)
RELU = proto.function(
    {"x": X}, proto.block([proto.operation("relu", {"y": X}, {"x": proto.binding("x")})], ["y"])
)
TEXT = """program(1.3)
[buildInfo = dict<string, string>({{"coremlc-version", "3505.4.1"}})]
{
    func main<ios17>(tensor<fp16, [2, 3]> x) {
            tensor<fp16, [2, 3]> y = relu(x = x);
        } -> (y);
}"""


def read(data: bytes) -> str:
    return str(_core.mil.read_model_spec(data, "m").program)


def write_package(folder: Path, data: bytes, path: str = "com.apple.CoreML/model.mlmodel") -> Path:
    file = folder / "Data" / path
    file.parent.mkdir(parents=True)
    file.write_bytes(data)
    manifest = {"rootModelIdentifier": "A", "itemInfoEntries": {"A": {"path": path}}}
    (folder / "Manifest.json").write_text(json.dumps(manifest))
    return folder


# -- what a model says


def test_program() -> None:
    assert read(proto.model({"main": RELU})) == TEXT


def test_the_attribute_that_the_engine_wants_is_there() -> None:
    """coremltools.optimize and models of several functions leave it out."""
    model = proto.model({"main": RELU})
    assert not pyane.check(read(model), chip="all", select="no-build-info")


def test_package_and_lone_file(tmp_path: Path) -> None:
    folder = write_package(tmp_path / "x.mlpackage", proto.model({"main": RELU}))
    model = pyane.load(folder)
    assert str(model) == TEXT
    assert not model.is_source_text
    x = np.array([[-1, 2, -3], [4, -5, 6]], np.float16)
    result = pyane.device("emulator").compile(model)(x)
    np.testing.assert_array_equal(result, np.maximum(x, 0))
    (tmp_path / "x.mlmodel").write_bytes(proto.model({"main": RELU}))
    assert str(pyane.load(tmp_path / "x.mlmodel")) == TEXT


@pytest.mark.parametrize(
    ("dtype", "kind", "payload", "text"),
    [
        (proto.FP32, 1, proto.message((1, 1.5), (1, -2.0)), "[0x1.8p+0, -0x1p+1]"),
        (proto.FP32, 1, proto.field(1, np.float32([1.5, 2]).tobytes()), "[0x1.8p+0, 0x1p+1]"),
        (proto.FP16, 7, proto.field(1, np.float16([1.5, 2]).tobytes()), "[0x1.8p+0, 0x1p+1]"),
        (proto.FP16, 1, proto.field(1, np.float32([1.5, 2]).tobytes()), "[0x1.8p+0, 0x1p+1]"),
        (12, 6, proto.field(1, np.float64([0.1, 2]).tobytes()), "[0x1.999999999999ap-4, 0x1p+1]"),
        (proto.INT32, 2, proto.message((1, 7), (1, -8)), "[7, -8]"),
        (proto.INT32, 2, proto.field(1, proto.varint(7) + proto.varint(-8)), "[7, -8]"),
        (24, 5, proto.field(1, proto.varint(1 << 40) + proto.varint(-8)), "[1099511627776, -8]"),
        (34, 5, proto.field(1, proto.varint(2**64 - 1) * 2), f"[{2**64 - 1}, {2**64 - 1}]"),
        (22, 2, proto.field(1, proto.varint(-30000) + proto.varint(5)), "[-30000, 5]"),
        (21, 7, proto.field(1, b"\xff\x05"), "[-1, 5]"),
        (31, 7, proto.field(1, b"\xff\x05"), "[255, 5]"),
        (33, 7, proto.field(1, np.uint32([5, 2**32 - 1]).tobytes()), "[5, 4294967295]"),
        (35, 7, proto.field(1, b"\x5f"), "[15, 5]"),
        (25, 7, proto.field(1, b"\x5f"), "[-1, 5]"),
        (37, 7, proto.field(1, b"\x02"), "[0, 1]"),
        (proto.BOOL, 3, proto.field(1, b"\x01\x00"), "[true, false]"),
        (proto.STRING, 4, proto.message((1, "a"), (1, "b\n")), r'["a", "b\n"]'),
    ],
)
def test_values(dtype: int, kind: int, payload: bytes, text: str) -> None:
    type_ = proto.tensor_type(dtype, 2)
    const = proto.operation(
        "const", {"c": type_}, {}, {"val": proto.immediate(type_, kind, payload)}
    )
    printed = read(proto.model({"main": proto.function({}, proto.block([const], ["c"]))}))
    assert "[val = tensor<" in printed
    assert f", [2]>({text})];" in printed


def test_collections_and_weight_files() -> None:
    scalar = proto.tensor_type(proto.INT32)
    one = proto.immediate(scalar, 2, proto.field(1, b"\x01"))
    list_type = proto.message(
        (2, proto.message((1, scalar), (2, proto.message((1, proto.message((1, 2)))))))
    )
    tuple_type = proto.message(
        (3, proto.message((1, scalar), (1, proto.tensor_type(proto.STRING))))
    )
    dict_type = proto.message((4, proto.message((1, proto.tensor_type(proto.STRING)), (2, scalar))))
    values = {
        "l": proto.message(
            (2, list_type), (3, proto.message((3, proto.message((1, one), (1, one)))))
        ),
        "t": proto.message(
            (2, tuple_type),
            (3, proto.message((2, proto.message((1, one), (1, proto.string_value("s")))))),
        ),
        "d": proto.message(
            (2, dict_type),
            (
                3,
                proto.message(
                    (4, proto.message((1, proto.message((1, proto.string_value("k")), (2, one)))))
                ),
            ),
        ),
        "b": proto.message(
            (2, proto.tensor_type(proto.FP16, 4)), (5, proto.message((1, "@model_path/w"), (2, 64)))
        ),
    }
    op = proto.operation("op", {}, {}, values)
    printed = read(proto.model({"main": proto.function({}, proto.block([op], []))}))
    assert "l = list<int32, 2>([1, 1])" in printed
    assert 't = tuple<int32, string>((1, "s"))' in printed
    assert 'd = dict<string, int32>({{"k", 1}})' in printed
    assert (
        'b = tensor<fp16, [4]>(BLOBFILE(path = string("@model_path/w"), offset = uint64(64)))'
        in printed
    )


def test_states_blocks_and_variadic_arguments() -> None:
    state = proto.message((5, proto.message((1, X))))
    concat = proto.operation("concat", {"c": X}, {"values": proto.binding("x")})
    inner = proto.message((1, proto.named("i", X)), (2, "i"))
    cond = proto.operation("cond", {"z": X}) + proto.field(4, inner)
    body = proto.block([concat, cond], ["c"])
    printed = read(proto.model({"main": proto.function({"x": X, "kv": state}, body, "CoreML8")}))
    assert "func main<ios18>(tensor<fp16, [2, 3]> x, state<tensor<fp16, [2, 3]>> kv)" in printed
    assert "concat(values = (x));" in printed
    assert "cond() (tensor<fp16, [2, 3]> i) {" in printed


def test_arguments_are_sorted() -> None:
    args = {name: proto.binding("x") for name in ("y", "x", "a")}
    op = proto.operation("add", {"z": X}, args)
    printed = read(proto.model({"main": proto.function({"x": X}, proto.block([op], ["z"]))}))
    assert "add(a = x, x = x, y = x)" in printed


def feature(name: str, type_: bytes) -> bytes:
    return proto.message((1, name), (3, type_))


def test_open_shapes(tmp_path: Path) -> None:
    x = proto.tensor_type(proto.FP16, None, 3)
    body = proto.block([proto.operation("relu", {"y": x}, {"x": proto.binding("x")})], ["y"])
    ranges = proto.message((1, proto.message((1, 1), (2, 8))), (1, proto.message((1, 3), (2, 3))))
    array = proto.message((1, 2), (1, 3), (2, 65552), (31, ranges))
    description = proto.message((1, feature("x", proto.message((5, array)))))
    path = tmp_path / "x.mlmodel"
    path.write_bytes(proto.model({"main": proto.function({"x": x}, body)}, description))
    model = pyane.load(path)
    assert str(model.flexible_shapes["x"]) == "default [2, 3]; allows [1..8, 3]"
    assert "tensor<fp16, [2, 3]> y" in str(model)
    assert "tensor<fp16, [5, 3]> y" in str(pyane.load(path, shapes={"x": (5, 3)}))
    with pytest.raises(ShapeError, match=r"got \[9, 3\]"):
        pyane.load(path, shapes={"x": (9, 3)})
    # No upper end.
    endless = proto.message((1, proto.message((1, 1), (2, -1))), (1, proto.message((1, 3), (2, 3))))
    array = proto.message((1, 2), (1, 3), (31, endless))
    description = proto.message((1, feature("x", proto.message((5, array)))))
    path.write_bytes(proto.model({"main": proto.function({"x": x}, body)}, description))
    assert pyane.load(path).flexible_shapes["x"].ranges == ((1, None), (3, 3))


def test_images_are_explained(tmp_path: Path) -> None:
    image = proto.message((4, proto.message((1, 640), (2, 480), (3, 30))))
    description = proto.message((1, feature("x", image)), (10, feature("y", image)))
    (tmp_path / "x.mlmodel").write_bytes(proto.model({"main": RELU}, description))
    notes = pyane.load(tmp_path / "x.mlmodel").notes
    assert notes[0].startswith(
        "input 'x' is an image to Core ML (BGR): give [1, 3, 480, 640] with the channels in that "
        "order and values from 0 to 255"
    )
    assert notes[1] == "output 'y' is an image to Core ML: here it is a tensor"


def test_several_functions(tmp_path: Path) -> None:
    description = proto.message((21, "b"))
    data = proto.model({"b": RELU, "a": RELU}, description)
    folder = write_package(tmp_path / "x.mlpackage", data)
    model = pyane.load(folder)
    assert model.functions == ("a", "b")
    assert model.function == "b"
    assert pyane.load(folder, function="a").function == "a"
    with pytest.raises(ConfigError, match="one of a, b, got 'c'"):
        pyane.load(folder, function="c")


# -- what is no ML program, or hostile


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (500, r"a neuralNetwork \(the form before ML programs\).*mlprogram"),
        (403, "a neuralNetworkClassifier"),
        (202, "a pipeline of several models"),
        (302, "must be an mlProgram, got a treeEnsembleRegressor"),
        (9999, "holds no model; is it a Core ML model"),
    ],
)
def test_other_kinds(tmp_path: Path, kind: int, message: str) -> None:
    (tmp_path / "x.mlmodel").write_bytes(proto.model({}, kind=kind))
    with pytest.raises(ModelError, match=message):
        pyane.load(tmp_path / "x.mlmodel")


def bad_type(type_: bytes) -> bytes:
    return proto.model({"main": proto.function({"x": type_}, proto.block([], []))})


def bad_value(type_: bytes, kind: int, payload: bytes) -> bytes:
    op = proto.operation("const", {}, {}, {"val": proto.immediate(type_, kind, payload)})
    return proto.model({"main": proto.function({}, proto.block([op], []))})


def nested(n: int) -> bytes:
    type_ = proto.tensor_type(proto.FP16)
    for _ in range(n):
        type_ = proto.message((3, proto.message((1, type_))))
    return type_


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x00", "m: byte 0: is no field of a protobuf message"),
        (b"\x0b", "byte 0: wire type must be 0, 1, 2 or 5, got 3"),
        (b"\x08" + b"\xff" * 9, "byte 1: the file is cut off within a number"),
        (b"\x08" + b"\xff" * 11, "byte 1: a number must fit in 64 bits"),
        (b"\x12\xff\xff\xff\xff\x0f", "byte 0: field 2 must have 4294967295 bytes, but only 0"),
        (b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01ab", "must have 18446744073709551615"),
        (b"\x0d\x00", "byte 0: field 1 must have 4 bytes, but only 1"),
        (b"\x10\x05", "byte 0: field 2 must be a message"),
        (proto.field(1, "8"), "field 1 must be a number"),
        (bad_type(b""), "a value must have a type"),
        (bad_type(proto.message((1, b""))), "a tensor must have a data type"),
        (bad_type(proto.message((1, proto.message((1, 99))))), "data type .*got 99"),
        (
            bad_type(proto.message((1, proto.message((1, 10), (2, 3))))),
            "a tensor of rank 3 must have as many dimensions, got 0",
        ),
        (bad_type(proto.tensor_type(10, 2**31)), "dimension must be at most 2147483647, got 2147"),
        (bad_type(proto.tensor_type(10, *[1] * 17)), "at most 16 dimensions"),
        (bad_type(proto.tensor_type(10, *[2**20] * 3)), "at most 1099511627776 elements"),
        (bad_type(nested(80)), "at most 64 levels of nesting"),
        (bad_type(proto.message((4, proto.message((1, X))))), "must have its element types"),
        (bad_type(proto.message((5, proto.message((1, nested(1)))))), "element types"),
        (
            bad_value(proto.tensor_type(31, 4), 7, proto.field(1, b"abc")),
            "4 elements of uint8 must have 4 bytes, got 3",
        ),
        (
            bad_value(proto.tensor_type(proto.INT32, 2), 2, proto.field(1, b"\x01")),
            r"tensor<int32, \[2\]> must have 2 elements, got 1",
        ),
        (
            bad_value(proto.tensor_type(proto.FP32, 2), 1, proto.field(1, b"\x01\x02")),
            "multiple of 4 bytes, got 2",
        ),
        (
            bad_value(proto.tensor_type(21, 1), 2, proto.field(1, proto.varint(300))),
            r"a int8 must be in \[-128, 127\], got 300",
        ),
        (
            bad_value(proto.tensor_type(proto.FP16, 1), 1, proto.field(1, 1e9)),
            "in the range of fp16",
        ),
        (bad_value(proto.tensor_type(proto.FP16, 1), 2, proto.field(1, 1)), "stored as integers"),
        (bad_value(proto.tensor_type(proto.INT32, 1), 1, proto.field(1, 1.0)), "floating point"),
        (bad_value(proto.tensor_type(proto.INT32, 1), 4, proto.field(1, "a")), "hold strings"),
        (bad_value(proto.tensor_type(proto.STRING, 1), 4, proto.field(1, b"\xff")), "UTF-8"),
        (
            bad_value(proto.tensor_type(proto.INT32, None, None), 2, proto.field(1, 1)),
            "at most one unknown dimension",
        ),
        (proto.model({"a b": RELU}), 'name of a function must match .* got "a b"'),
        (proto.model({"main": RELU}) + proto.model({"main": RELU}), ""),
        (
            proto.message(
                (502, proto.message((2, proto.entry("f", RELU)), (2, proto.entry("f", RELU))))
            ),
            '"f" is given twice',
        ),
        (
            proto.model({"main": proto.message((2, "CoreML7"))}),
            'must have a body for its opset "CoreML7", got 0 for others',
        ),
        (
            proto.model({"main": proto.function({}, proto.block([proto.operation("", {})], []))}),
            "type of an operation must match",
        ),
        (
            proto.model(
                {
                    "main": proto.function(
                        {}, proto.block([proto.operation("o", {}, {"x": b""})], [])
                    )
                }
            ),
            "argument 'x' must have a value",
        ),
    ],
)
def test_broken_models(data: bytes, message: str) -> None:
    if not message:  # The last program counts, as in protobuf.
        assert read(data) == TEXT
        return
    with pytest.raises(ModelError, match=message):
        read(data)


def test_deep_blocks_are_refused() -> None:
    inner = proto.message((2, "x"))
    for _ in range(100):
        inner = proto.message((3, proto.message((1, "cond"), (4, inner))))
    with pytest.raises(ModelError, match="levels of nesting"):
        read(
            proto.model({"main": proto.message((2, "CoreML7"), (3, proto.entry("CoreML7", inner)))})
        )


def test_another_kind_has_an_empty_program() -> None:
    assert read(proto.model({}, kind=500)) == "program(1.3)\n{\n}"


def test_every_prefix_is_refused_cleanly_or_read() -> None:
    data = proto.model({"main": RELU})
    for length in range(len(data)):
        with contextlib.suppress(ModelError):
            read(data[:length])


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_models_are_refused_or_read(data: st.DataObject) -> None:
    bad = bytearray(proto.model({"main": RELU}))
    for _ in range(data.draw(st.integers(1, 4))):
        bad[data.draw(st.integers(0, len(bad) - 1))] = data.draw(st.integers(0, 255))
    try:
        text = read(bytes(bad))
    except Error:
        return
    assert str(mil.parse(text)) == text


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("../../secret", r"must stay inside .*got '\.\./\.\./secret'"),
        ("/etc/passwd", "not absolute"),
        ("", "must name a file"),
        ("nowhere", "names nowhere, but there is no .*Data/nowhere"),
        (3, "must name the model"),
    ],
)
def test_manifests_that_lead_out(tmp_path: Path, path: Any, message: str) -> None:
    folder = write_package(tmp_path / "x.mlpackage", b"")
    (tmp_path / "secret").write_bytes(b"")
    manifest = {"rootModelIdentifier": "A", "itemInfoEntries": {"A": {"path": path}}}
    (folder / "Manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=message):
        pyane.load(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be JSON"),
        ("[1", "must be JSON"),
        ("[1]", "must name the model"),
        ("{}", "must name the model"),
        ('{"rootModelIdentifier": "A", "itemInfoEntries": {}}', "must name the model"),
        ("[" * 100_000, "must be JSON"),
    ],
)
def test_broken_manifests(tmp_path: Path, text: str, message: str) -> None:
    folder = write_package(tmp_path / "x.mlpackage", b"")
    (folder / "Manifest.json").write_text(text)
    with pytest.raises(ModelError, match=message):
        pyane.load(folder)


def test_no_package(tmp_path: Path) -> None:
    (tmp_path / "x.mlpackage").write_bytes(b"")
    with pytest.raises(ModelError, match=r"must be a folder with Manifest\.json, got a file"):
        pyane.load(tmp_path / "x.mlpackage")
    (tmp_path / "y.mlpackage").mkdir()
    with pytest.raises(ModelError, match=r"needs Manifest\.json, which is not there"):
        pyane.load(tmp_path / "y.mlpackage")
