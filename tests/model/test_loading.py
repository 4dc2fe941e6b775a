"""Models from files: which are taken, which are refused, and that nothing outside is read."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import socket
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyane
from mil_text import HEADER, operation, program
from pyane import mil
from pyane.errors import (
    BlobError,
    BlobWarning,
    ConfigError,
    MilSyntaxError,
    ModelError,
    ShapeError,
)


def weight(name: str, path: str, offset: int) -> str:
    return (
        f"tensor<fp16, [4]> {name} = const()[val = tensor<fp16, [4]>"
        f'(BLOBFILE(path = string("{path}"), offset = uint64({offset})))];'
    )


def blob_text(path: str, shape: str = "[4]", offset: int = 64) -> str:
    """y = x + w, with w in a weight file."""
    return program(
        {"x": f"tensor<fp16, {shape}>"},
        [
            weight("w", path, offset),
            operation("add", "y", f"tensor<fp16, {shape}>", {"x": "%x", "y": "%w"}),
        ],
        ["y"],
    )


WEIGHT = np.array([1, 2, 3, 4], np.float16)
USUAL = "@model_path/weights/weight.bin"


def make(folder: Path, path: str = USUAL, place: str = "weights/weight.bin") -> Path:
    """A compiled model."""
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / "model.mil").write_text(blob_text(path))
    mil.write_blob_file(folder / place, [WEIGHT])
    return folder


def run(model: pyane.Model) -> np.ndarray:
    return pyane.device("emulator").compile(model)(np.ones(4, np.float16))


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (USUAL, "weights/weight.bin"),
        ("@model_path/weight.bin", "weight.bin"),
        ("weights/custom name.bin", "weights/custom name.bin"),
        ("weight.bin", "weight.bin"),
        ("./a/./b.bin", "a/b.bin"),
        ("@model_path/@model_path", "@model_path"),
    ],
)
def test_compiled_model(tmp_path: Path, path: str, place: str) -> None:
    folder = make(tmp_path / "x.mlmodelc", path, place)
    model = pyane.load(folder)
    assert list(model.weights) == [path]
    assert bytes(memoryview(model.weights[path])) == (folder / place).read_bytes()
    assert str(model) == (folder / "model.mil").read_text()
    assert (model.function, model.functions) == ("main", ("main",))
    assert model.source == str(folder / "model.mil")
    assert (
        repr(model) == f"<Model {folder / 'model.mil'}, main: 2 operations, 136 bytes of weights>"
    )
    np.testing.assert_array_equal(run(model), WEIGHT + 1)


def test_text_with_weights_beside_it(tmp_path: Path) -> None:
    make(tmp_path)
    model = pyane.load(str(tmp_path / "model.mil"))
    np.testing.assert_array_equal(run(model), WEIGHT + 1)


def test_a_path_is_compiled_like_the_model(tmp_path: Path) -> None:
    folder = make(tmp_path / "x.mlmodelc")
    for path in (folder, str(folder), str(folder) + "/"):
        kernel = pyane.device("emulator").compile(path)
        np.testing.assert_array_equal(kernel(np.ones(4, np.float16)), WEIGHT + 1)


def test_weights_are_mapped_and_outlive_what_made_them(tmp_path: Path) -> None:
    model = pyane.load(make(tmp_path / "x.mlmodelc"))
    assert type(model.weights[USUAL]).__name__ == "mmap"
    kernel = pyane.device("emulator").compile(model)
    shutil.rmtree(tmp_path / "x.mlmodelc")
    del model
    np.testing.assert_array_equal(kernel(np.ones(4, np.float16)), WEIGHT + 1)


def test_errors_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "broken.mil").write_text("program(1.3)\n{ funk }")
    with pytest.raises(MilSyntaxError, match=r"broken\.mil:2:3: expected 'func'"):
        pyane.load(tmp_path / "broken.mil")
    (tmp_path / "latin.mil").write_bytes(b"program(1.3)\n{\xe9")
    with pytest.raises(MilSyntaxError, match=r"latin\.mil:2:2: expected UTF-8"):
        pyane.load(tmp_path / "latin.mil")


# -- weight files that are not there, or elsewhere


def test_missing_weights_hinder_only_compiling(tmp_path: Path) -> None:
    (tmp_path / "x.mil").write_text(blob_text(USUAL))
    model = pyane.load(tmp_path / "x.mil")
    place = tmp_path / "weights" / "weight.bin"
    assert dict(model.missing_weights) == {USUAL: str(place)}
    with pytest.raises(BlobError, match=f"{USUAL}' must be given.*there is no {place}.*weights="):
        run(model)
    other = tmp_path / "other.bin"
    mil.write_blob_file(other, [WEIGHT * 2])
    model = pyane.load(tmp_path / "x.mil", weights={USUAL: other})
    assert not model.missing_weights
    np.testing.assert_array_equal(run(model), WEIGHT * 2 + 1)
    with pytest.raises(ModelError, match=r"paths of the text \(@model_path.*got w\.bin"):
        pyane.load(tmp_path / "x.mil", weights={"w.bin": other})
    with pytest.raises(FileNotFoundError, match=r"none\.bin"):
        pyane.load(tmp_path / "x.mil", weights={USUAL: tmp_path / "none.bin"})


def test_empty_weight_file(tmp_path: Path) -> None:
    folder = make(tmp_path / "x.mlmodelc")
    (folder / "weights" / "weight.bin").write_bytes(b"")
    with pytest.raises(BlobError, match="header of 64 bytes, got 0"):
        run(pyane.load(folder))


def test_wrong_fields_are_warned_about(tmp_path: Path) -> None:
    folder = make(tmp_path / "x.mlmodelc")
    file = folder / "weights" / "weight.bin"
    data = bytearray(file.read_bytes())
    data[72] = 9
    file.write_bytes(data)
    with pytest.warns(BlobWarning, match="size must be 8 bytes for fp16 .4., got 9"):
        kernel = pyane.device("emulator").compile(pyane.load(folder))
    assert len(kernel.warnings) == 1
    assert "got 9" in kernel.warnings[0]
    np.testing.assert_array_equal(kernel(np.ones(4, np.float16)), WEIGHT + 1)


def test_many_warnings_are_counted() -> None:
    data, offsets = mil.pack_blobs([WEIGHT] * 13)
    data = data.copy()
    lines = []
    for i, offset in enumerate(offsets):
        data[offset + 8] = 9
        lines.append(weight(f"w{i}", "w", offset))
    lines.append(operation("add", "y", "tensor<fp16, [4]>", {"x": "%x", "y": "%w0"}))
    text = program({"x": "tensor<fp16, [4]>"}, lines, ["y"])
    with pytest.warns(BlobWarning) as caught:
        kernel = pyane.device("emulator").compile(text, {"w": bytes(data)})
    assert len(caught) == 11
    assert "3 more such warnings: see Kernel.warnings" in str(caught[-1].message)
    assert len(kernel.warnings) == 13


# -- hostile models


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("@model_path/../secret.bin", r"stay inside.*'@model_path/\.\./secret\.bin'"),
        ("@model_path/weights/../../secret.bin", "stay inside"),
        ("../secret.bin", "stay inside"),
        ("..", "stay inside"),
        ("/etc/passwd", "relative to the model's folder, not absolute"),
        ("@model_path//etc/passwd", "not absolute"),
        ("@model_path/", "name a file"),
        ("@model_path", "name a file"),
        ("", "name a file"),
        (".", "name a file"),
        (r"a\u0000b", "zero byte"),
    ],
)
def test_paths_that_lead_out(tmp_path: Path, path: str, rule: str) -> None:
    folder = make(tmp_path / "x.mlmodelc", path)
    (tmp_path / "secret.bin").write_bytes(b"secret")
    with pytest.raises(ModelError, match=rule):
        pyane.load(folder)


def test_links_that_lead_out(tmp_path: Path) -> None:
    folder = make(tmp_path / "x.mlmodelc")
    file = folder / "weights" / "weight.bin"
    outside = tmp_path / "outside.bin"
    file.rename(outside)
    file.symlink_to(outside)
    with pytest.raises(ModelError, match=f"symbolic link leads out .* to {outside}; .*allow_links"):
        pyane.load(folder)
    np.testing.assert_array_equal(run(pyane.load(folder, allow_links=True)), WEIGHT + 1)
    # A folder on the way, and the text itself.
    file.unlink()
    (folder / "weights").rmdir()
    (tmp_path / "elsewhere").mkdir()
    outside.rename(tmp_path / "elsewhere" / "weight.bin")
    (folder / "weights").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="symbolic link leads out"):
        pyane.load(folder)
    (folder / "model.mil").unlink()
    (folder / "model.mil").symlink_to("/etc/hostname")
    with pytest.raises(ModelError, match=r"symbolic link leads out .* to /etc/hostname"):
        pyane.load(folder)


def test_links_that_stay_inside(tmp_path: Path) -> None:
    folder = make(tmp_path / "x.mlmodelc", place="weights/real.bin")
    (folder / "weights" / "weight.bin").symlink_to("real.bin")
    (tmp_path / "alias.mlmodelc").symlink_to(folder)
    np.testing.assert_array_equal(run(pyane.load(tmp_path / "alias.mlmodelc")), WEIGHT + 1)


def test_links_in_a_circle(tmp_path: Path) -> None:
    folder = make(tmp_path / "x.mlmodelc", place="weights/real.bin")
    (folder / "weights" / "weight.bin").symlink_to("weight.bin")
    with pytest.raises(ModelError, match=r"weight\.bin: cannot be followed"):
        pyane.load(folder)


def test_no_pipe_is_waited_for_and_no_device_read(tmp_path: Path) -> None:
    folder = make(tmp_path / "x.mlmodelc")
    file = folder / "weights" / "weight.bin"
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(ModelError, match="must be a regular file, got a pipe, socket or device"):
        pyane.load(folder)
    file.unlink()
    file.mkdir()
    with pytest.raises(ModelError, match="must be a regular file, got a folder"):
        pyane.load(folder)
    file.rmdir()
    file.symlink_to("/dev/zero")
    with pytest.raises(ModelError, match="regular file"):
        pyane.load(folder, allow_links=True)
    (folder / "model.mil").unlink()
    os.mkfifo(folder / "model.mil")
    with pytest.raises(ModelError, match="regular file"):
        pyane.load(folder)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.mil"))
        with pytest.raises((ModelError, OSError), match=r"s\.mil"):
            pyane.load(tmp_path / "s.mil")


def test_a_weight_file_that_promises_too_much(tmp_path: Path) -> None:
    folder = make(tmp_path / "x.mlmodelc")
    text = blob_text(USUAL).replace("[4]", f"[{2**31 - 1}]")
    (folder / "model.mil").write_text(text)
    with pytest.raises(BlobError, match=r"needs 4294967294 bytes.*file ends at 136"):
        pyane.device("emulator").compile(folder)


def test_weights_that_would_not_fit_into_memory_unpacked(tmp_path: Path) -> None:
    """Eight elements a byte, a byte each once unpacked; the file itself has a hole for its data."""
    rows = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**30 + 1
    folder = make(tmp_path / "x.mlmodelc")
    with (folder / "weights" / "weight.bin").open("wb") as file:
        file.write(struct.pack("<II56xIIQQ40x", 1, 2, 0xDEADBEEF, 9, rows * 2**27, 128))
        file.truncate(128 + rows * 2**27)
    bits = f"tensor<uint1, [{rows}, {2**30}]>"
    blob = f'BLOBFILE(path = string("{USUAL}"), offset = uint64(64))'
    (folder / "model.mil").write_text(
        program(
            {"x": "tensor<fp16, [4]>"},
            [
                f"{bits} w = const()[val = {bits}({blob})];",
                operation("relu", "y", "tensor<fp16, [4]>", {"x": "%x"}),
            ],
            ["y"],
        )
    )
    with pytest.raises(BlobError, match=r"smaller than a byte take more than .* when unpacked"):
        pyane.device("emulator").compile(folder)


# -- what is no model


def test_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.mil: model does not exist"):
        pyane.load(tmp_path / "none.mil")
    (tmp_path / "x.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match=r"must end in \.mil, .*, got '\.onnx'"):
        pyane.load(tmp_path / "x.onnx")
    (tmp_path / "file.mlmodelc").write_bytes(b"")
    with pytest.raises(ModelError, match=r"must be a folder with model\.mil, got a file"):
        pyane.load(tmp_path / "file.mlmodelc")
    empty = tmp_path / "empty.mlmodelc"
    empty.mkdir()
    with pytest.raises(ModelError, match=r"needs model\.mil, got an empty folder"):
        pyane.load(empty)
    (empty / "model.espresso.net").write_bytes(b"")
    with pytest.raises(ModelError, match=r"neural network \(model\.espresso\.net\).*mlprogram"):
        pyane.load(empty)
    pipeline = tmp_path / "pipeline.mlmodelc"
    make(pipeline / "model0")
    with pytest.raises(ModelError, match=r"pipeline of several models.*model0"):
        pyane.load(pipeline)
    with pytest.raises(TypeError, match="got int"):
        pyane.model.as_model(3)  # type: ignore[arg-type]


# -- functions


def test_functions(shared_data: Path) -> None:
    path = shared_data / "mil" / "thebasedcapital__ane-infer__gen_multi_procedure.mil"
    model = pyane.load(path)
    assert model.functions == ("layer0", "layer1")
    assert model.function == "layer0"
    assert pyane.load(path, function="layer1").function == "layer1"
    assert "functions layer0, layer1>" in repr(model)
    with pytest.raises(ConfigError, match="function must be one of layer0, layer1, got 'layer2'"):
        pyane.load(path, function="layer2")


def test_empty_program(tmp_path: Path) -> None:
    (tmp_path / "x.mil").write_text("program(1.3){}")
    model = pyane.load(tmp_path / "x.mil")
    assert model.functions == ()
    assert "0 operations" in repr(model)
    with pytest.raises(pyane.CompileError, match="no function"):
        pyane.device("emulator").compile(model)


# -- shapes that are open

FLEXIBLE = (
    HEADER
    + """{
    func main<ios17>(tensor<fp16, [?, 4]> x, tensor<fp16, [4]> b)
        [FlexibleShapeInformation = tuple<
            tuple<string, dict<string, tensor<int32, [?]>>>,
            tuple<string, dict<string, list<tensor<int32, [2]>, ?>>>>
            ((("DefaultShapes", {{"x", [2, 4]}}),
              ("RangeDims", {{"x", [[1, 8], [4, 4]]}})))] {
        tensor<fp16, [?, 4]> y = add(x = x, y = b);
    } -> (y);
}
"""
)


def test_default_shape(tmp_path: Path) -> None:
    model = pyane.model.as_model(FLEXIBLE)
    x = model.flexible_shapes["x"]
    assert (x.default, x.ranges, x.choices) == ((2, 4), ((1, 8), (4, 4)), ())
    assert str(x) == "default [2, 4]; allows [1..8, 4]"
    assert "tensor<fp16, [2, 4]> x" in str(model)
    assert model.unbound_inputs == ()
    kernel = pyane.device("emulator").compile(model)
    assert kernel.output_specs["y"].shape == (2, 4)
    (tmp_path / "x.mil").write_text(FLEXIBLE)
    kernel = pyane.device("emulator").compile(pyane.load(tmp_path / "x.mil", shapes={"x": (7, 4)}))
    x_array = np.arange(28, dtype=np.float16).reshape(7, 4)
    result = kernel(x=x_array, b=WEIGHT)
    np.testing.assert_array_equal(result, x_array + WEIGHT)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"x": (9, 4)}, r"one that the model allows \(default.*1\.\.8, 4\]\), got \[9, 4\]"),
        ({"x": (2, 5)}, r"fit \[\?, 4\], as it is declared, got \[2, 5\]"),
        ({"x": (2,)}, r"must have 2 dimensions"),
        ({"x": (0, 4)}, r"whole dimensions from 1"),
        ({"x": (2.0, 4)}, r"whole dimensions from 1"),
        ({"b": (5,)}, r"input 'b' must fit \[4\]"),
        ({"z": (5,)}, r"must be of inputs of 'main' \(x, b\), got z"),
    ],
)
def test_shapes_that_do_not_fit(shapes: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        pyane.model.as_model(FLEXIBLE, shapes=shapes)


def test_open_shapes_without_default() -> None:
    text = FLEXIBLE[: FLEXIBLE.index("[Flex")] + FLEXIBLE[FLEXIBLE.index("))] {") + 3 :]
    model = pyane.model.as_model(text)
    assert model.unbound_inputs == ("x",)
    assert str(model.flexible_shapes["x"]) == "any shape"
    with pytest.raises(ShapeError, match=r"tensor<fp16, \[\?, 4\]> x; give shapes.*--shape x="):
        pyane.device("emulator").compile(model)
    model = pyane.model.as_model(text, shapes={"x": (3, 4)})
    assert pyane.device("emulator").compile(model).output_specs["y"].shape == (3, 4)


def test_shapes_that_are_listed() -> None:
    start, end = FLEXIBLE.index("tuple<\n"), FLEXIBLE.index("] {")
    listed = (
        "tuple<tuple<string, dict<string, dict<string, tensor<int32, [?]>>>>>"
        '((("EnumeratedShapes", {{"a", {{"x", [1, 4]}}}, {"b", {{"x", [3, 4]}}}})))'
    )
    text = FLEXIBLE[:start] + listed + FLEXIBLE[end:]
    model = pyane.model.as_model(text, shapes={"x": (3, 4)})
    assert model.flexible_shapes["x"].choices == ((1, 4), (3, 4))
    with pytest.raises(ShapeError, match=r"one of \[1, 4\], \[3, 4\]\), got \[2, 4\]"):
        pyane.model.as_model(text, shapes={"x": (2, 4)})
    assert pyane.model.as_model(text).unbound_inputs == ("x",)


def test_another_function_takes_its_own_default_shape() -> None:
    start = FLEXIBLE.index("    func main")
    end = FLEXIBLE.rindex("}")
    other = FLEXIBLE[start:end].replace("func main", "func other").replace("[2, 4]", "[3, 4]")
    model = pyane.model.as_model(FLEXIBLE[:end] + other + "}\n")
    device = pyane.device("emulator")
    assert device.compile(model).output_specs["y"].shape == (2, 4)
    assert device.compile(model, function="other").output_specs["y"].shape == (3, 4)
    with pytest.raises(ConfigError, match="one of main, other, got 'third'"):
        device.compile(model, function="third")


IMAGE = {
    "name": "photo",
    "type": "Image",
    "width": "640",
    "height": "480",
    "colorspace": "BGR",
    "isOptional": "0",
}


def metadata(**changes: Any) -> str:
    mask = {"name": "m", "type": "MultiArray", "isOptional": "1"}
    entry = {"inputSchema": [IMAGE | changes, mask], "outputSchema": [IMAGE]}
    return json.dumps([entry])


def test_metadata_of_compiled_models(tmp_path: Path) -> None:
    folder = make(tmp_path / "x.mlmodelc")
    (folder / "metadata.json").write_text(metadata())
    notes = pyane.load(folder).notes
    assert notes[0].startswith("input 'photo' is an image to Core ML (BGR): give [1, 3, 480, 640]")
    assert notes[1:] == (
        "input 'm' is optional to Core ML; give it here",
        "output 'photo' is an image to Core ML: here it is a tensor",
    )
    (folder / "metadata.json").write_text(metadata(colorspace="Grayscale"))
    assert "(Grayscale): give [1, 1, 480, 640]" in pyane.load(folder).notes[0]


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "[1]", "[{}]", '[{"inputSchema": 3}]', "[" * 100_000, '"', metadata() * 2,
     '[{"inputSchema": [{"name": "x"}], "outputSchema": []}]'],
)  # fmt: skip
def test_metadata_of_another_form_says_nothing(tmp_path: Path, text: str) -> None:
    folder = make(tmp_path / "x.mlmodelc")
    (folder / "metadata.json").write_text(text)
    assert pyane.load(folder).notes == ()


def test_metadata_does_not_lead_out(tmp_path: Path) -> None:
    folder = make(tmp_path / "x.mlmodelc")
    (folder / "metadata.json").symlink_to("/etc/hostname")
    with pytest.raises(ModelError, match="symbolic link leads out"):
        pyane.load(folder)


def test_classifier_in_text(tmp_path: Path) -> None:
    lines = [
        'list<string, 3> names = const()[val = list<string, 3>(["cat", "dog", "cow"])];',
        operation("softmax", "p", "tensor<fp16, [1, 3]>", {"x": "%x", "axis": 1}),
        "string label, dict<string, fp64> probs = classify(classes = names, probabilities = p);",
    ]
    text = program({"x": "tensor<fp16, [1, 3]>"}, lines, ["label", "probs"])
    (tmp_path / "x.mil").write_text(text)
    model = pyane.load(tmp_path / "x.mil")
    assert dict(model.labels) == {"p": ("cat", "dog", "cow")}
    assert model.native_function.outputs == ("p",)
    assert model.notes == ("a classifier: output 'p' holds the probabilities of 3 labels",)
    assert not model.is_source_text
    result = pyane.device("emulator").compile(model)(np.zeros((1, 3), np.float16))
    np.testing.assert_allclose(result, 1 / 3, rtol=1e-3)
    # Labels that cannot be found do no harm.
    broken = text.replace("classes = names", "classes = x")
    (tmp_path / "x.mil").write_text(broken)
    assert dict(pyane.load(tmp_path / "x.mil").labels) == {"p": ()}


def test_models_travel_between_processes(tmp_path: Path) -> None:
    folder = make(tmp_path / "x.mlmodelc")
    (folder / "metadata.json").write_text(metadata())
    model = pyane.load(folder)
    data = pickle.dumps(model)
    shutil.rmtree(folder)
    again = pickle.loads(data)
    assert str(again) == str(model)
    assert (again.source, again.notes, again.functions) == (model.source, model.notes, ("main",))
    assert again.is_source_text
    np.testing.assert_array_equal(run(again), WEIGHT + 1)
    bound = pyane.model.as_model(FLEXIBLE, shapes={"x": (7, 4)})
    again = pickle.loads(pickle.dumps(bound))
    assert str(again) == str(bound)
    assert again.flexible_shapes == bound.flexible_shapes
    assert not again.is_source_text
    # Shapes can be chosen anew.
    assert "[5, 4]> x" in str(pyane.model.as_model(again, shapes={"x": (5, 4)}))
