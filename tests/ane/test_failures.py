from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mil_text
import pyane
from pyane import ane, mil

FP16 = "tensor<fp16, [1, 4, 1, 16]>"


def scaled(factor: float) -> str:
    line = mil_text.operation("mul", "y", FP16, {"x": "%x", "y": np.float16(factor)})
    return mil_text.program({"x": FP16}, [line], ["y"])


def kept_file(message: str) -> Path:
    found = re.search(r"MIL kept in (\S+\.mil)", message)
    assert found, message
    return Path(found[1])


def test_compile_failure_keeps_the_text(fake: Any, device: pyane.Device) -> None:
    fake.fail_compile(1)
    text = scaled(7.0)
    with pytest.raises(
        pyane.CompileError,
        match=r"'main' \(NSError domain=com.apple.appleneuralengine.compiler, code=1\): "
        r"_ANECompiler : ANECCompile\(\) FAILED",
    ) as error:
        device.compile(text)
    kept = kept_file(str(error.value))
    assert kept.read_text() == text
    kept.unlink()
    with device.compile(text) as kernel:  # the fault was for once
        kernel.evaluate()


def test_compile_failure_whose_text_cannot_be_kept(
    fake: Any, device: pyane.Device, tmp_path: Path
) -> None:
    identifier = dict(device.compile(scaled(7.5)).details)["identifier"]
    fake.forget_compiled()
    blocker = fake.folder() / f"pyane-failed-{identifier}.mil"
    blocker.mkdir()
    try:
        fake.fail_compile(1)
        with pytest.raises(pyane.CompileError, match="MIL could not be kept"):
            device.compile(scaled(7.5))
    finally:
        blocker.rmdir()
        for part in fake.folder().glob(f"pyane-failed-{identifier}*"):
            part.unlink()
    assert tmp_path.exists()


def test_load_failure(fake: Any, device: pyane.Device) -> None:
    fake.fail_load(1)
    with pytest.raises(
        pyane.CompileError,
        match=r"ANE load failed for 'main' \(NSError domain=com.apple.appleneuralengine, code=4\)",
    ):
        device.compile(scaled(8.0))


def test_descriptor_failure(fake: Any, device: pyane.Device) -> None:
    fake.fail_descriptor(1)
    with pytest.raises(pyane.AneError, match="refused the text") as error:
        device.compile(scaled(8.5))
    assert error.value.stage == "descriptor"


def test_request_failure(fake: Any, device: pyane.Device) -> None:
    with device.compile(scaled(8.25)) as kernel:
        fake.fail_request(1)
        with pytest.raises(pyane.AneError, match="_ANERequest refused it") as error:
            kernel.evaluate()
        assert error.value.stage == "request"
        kernel.evaluate()


@pytest.mark.parametrize("n", [1, 3])
def test_evaluate_failure_at_the_nth_call(fake: Any, device: pyane.Device, n: int) -> None:
    with device.compile(scaled(9.0)) as kernel:
        kernel.inputs["x"][...] = 1
        fake.fail_evaluate(n)
        for _ in range(n - 1):
            kernel.evaluate()
        with pytest.raises(
            pyane.EvaluateError,
            match=r"domain=com.apple.appleneuralengine, code=8\).*status=0x1d : statusType=0x9",
        ) as error:
            kernel.evaluate()
        assert error.value.status == 0x1D
        kernel.evaluate()
        assert (kernel.outputs["y"] == 9).all()


def test_exception_inside_the_framework(fake: Any, device: pyane.Device) -> None:
    with device.compile(scaled(10.0)) as kernel:
        fake.raise_in_evaluate(1)
        with pytest.raises(pyane.EvaluateError, match=r"\(NSException\): NSInternalInconsistency"):
            kernel.evaluate()
        kernel.evaluate()


def test_failure_without_an_error_object(fake: Any, device: pyane.Device) -> None:
    fake.fail_without_error(1)
    fake.fail_compile(1)
    with pytest.raises(pyane.CompileError, match="no NSError was given") as error:
        device.compile(scaled(11.0))
    kept_file(str(error.value)).unlink()


def test_unload_failure(fake: Any, device: pyane.Device) -> None:
    kernel = device.compile(scaled(12.0))
    before = ane.budget().loaded, fake.loaded_programs()
    fake.fail_unload(1)
    with pytest.raises(pyane.AneError, match="unload failed") as error:
        kernel.unload()
    assert (error.value.stage, error.value.code) == ("unload", 4)
    assert not kernel.is_loaded
    # The engine still has it, so its slot stays taken.
    assert (ane.budget().loaded, fake.loaded_programs()) == before
    fake.lost_slots = 1


def test_unknown_weight_path(device: pyane.Device) -> None:
    weight = np.ones((16, 16, 1, 1), np.float16)

    @mil.program(x=mil.fp16[1, 16, 1, 16])
    def conv(x: Any) -> Any:
        return mil.conv(x=x, weight=weight, name="y")

    with pytest.raises(pyane.BlobError, match=r"@model_path/weights"):
        device.compile(str(conv), {})
    files = dict(conv.weights)
    for hostile in (
        "@model_path/../w.bin",
        "/etc/passwd",
        "weights/w.bin",
        "@model_path/model.mil",
    ):
        with pytest.raises(pyane.BlobError, match=re.escape(f"weight path '{hostile}' must")):
            device.compile(str(conv), {**files, hostile: b"x"})
    assert not Path("/tmp/w.bin").exists()


def test_text_that_is_not_utf8(device: pyane.Device) -> None:
    with pytest.raises(pyane.Error, match="UTF-8"):
        device._native.compile(b"program(1.3)\xff { }", {}, "", "t.mil")
    with pytest.raises(TypeError, match="bytes"):
        device.compile(b"program(1.3)")  # type: ignore[arg-type]


def test_errors_of_the_text_come_before_the_framework(fake: Any, device: pyane.Device) -> None:
    with pytest.raises(pyane.MilSyntaxError, match=r"<text>:1:1:"):
        device.compile("programme")
    with pytest.raises(pyane.MilVerifyError):
        device.compile(scaled(1.0).replace("x = x", "x = absent"))
    assert fake.compiles() == 0


def test_operation_that_only_the_engine_may_know(fake: Any, device: pyane.Device) -> None:
    text = scaled(1.0).replace("= mul(", "= frobnicate(")
    with pytest.raises(pyane.CompileError, match="ANECCompile") as error:
        device.compile(text)
    assert fake.compiles() == 1, "left to Apple's compiler, which may know it"
    kept_file(str(error.value)).unlink()


def test_surfaces_that_do_not_fit(device: pyane.Device) -> None:
    big = "tensor<fp16, [1, 64, 1, 1024]>"
    line = mil_text.operation("relu", "y", big, {"x": "%x"})
    with device.compile(mil_text.program({"x": big}, [line], ["y"])) as kernel:
        assert kernel.surface_bytes == 131072
        good, small = pyane.Surface(131072), pyane.Surface(1)
        larger = pyane.Surface(4 * 131072)
        with pytest.raises(pyane.ShapeError, match="input 'x' must hold 131072 bytes, got 49152"):
            kernel.bind({"x": small}, {"y": good})
        with pytest.raises(pyane.ShapeError, match="output 'y'"):
            kernel.bind({"x": good}, {"y": small})
        with pytest.raises(
            pyane.ShapeError, match=r"one allocation size.*'x' 524288 and 'y' 131072 bytes"
        ):
            kernel.bind({"x": larger}, {"y": good})
        kernel.bind({"x": larger}, {"y": pyane.Surface(4 * 131072)}).evaluate()


def test_narrow_rows_get_room_for_their_padding(device: pyane.Device) -> None:
    narrow = "tensor<fp16, [1, 4096, 1, 1]>"
    line = mil_text.operation("relu", "y", narrow, {"x": "%x"})
    with device.compile(mil_text.program({"x": narrow}, [line], ["y"])) as kernel:
        assert kernel.surface_bytes == 4096 * 64
