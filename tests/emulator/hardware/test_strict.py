"""What a strict emulator refuses."""

from __future__ import annotations

import numpy as np
import pytest

import mil_text
import pyane
import pyane.chips
from pyane import strictness

pytestmark = pytest.mark.emulator


def strict(chip, **options):
    """A device of its own, with a budget of its own."""
    emulation = pyane.device(chip=chip, strict=True, **options).emulation
    return pyane.Device(emulation.create(), emulation)


def relu(shape):
    return mil_text.single("relu", {"x": np.zeros(shape, np.float16)}, "float16", shape)


def test_accepts_what_the_chip_takes():
    x = np.array([[[[-1, 2] * 16]]], np.float16)
    kernel = strict("m1").compile(relu(x.shape))
    np.testing.assert_array_equal(kernel(x=x), np.maximum(x, 0))


@pytest.mark.parametrize(("chip", "is_refused"), [("m1", True), ("m3", True), ("m4", False)])
def test_a_dimension_beyond_the_chips(chip, is_refused):
    text = relu((1, 1, 1, 16385))
    if not is_refused:
        strict(chip).compile(text)
        return
    with pytest.raises(pyane.CompileError, match="16385") as info:
        strict(chip).compile(text, source_name="wide.mil")
    assert "wide.mil" in str(info.value)
    assert chip in str(info.value)
    (finding,) = [d for d in info.value.diagnostics if "16385" in d.message]
    assert finding.severity == "refused-at-compile"
    assert finding.chip == chip
    pyane.device(chip=chip).compile(text)  # Not strict: evaluated all the same.


@pytest.mark.parametrize(("chip", "is_refused"), [("m1", True), ("m2", True), ("m5", False)])
def test_an_operation_the_chip_lacks(chip, is_refused):
    x = np.zeros((1, 1, 1, 32), np.float16)
    text = mil_text.single("sin", {"x": x}, "float16", x.shape)
    if is_refused:
        with pytest.raises(pyane.CompileError, match="sin"):
            strict(chip).compile(text)
    else:
        strict(chip).compile(text)


def test_findings_are_those_of_check():
    text = relu((1, 1, 1, 20000))
    with pytest.raises(pyane.CompileError) as info:
        strict("m2").compile(text)
    expected = [
        (d.rule, d.message)
        for d in pyane.check(text, chip="m2")
        if d.severity == "refused-at-compile" and not d.is_contested
    ]
    assert [(d.rule, d.message) for d in info.value.diagnostics] == expected


def surfaces(kernel, sizes):
    inputs = {name: pyane.Surface(sizes[name]) for name in kernel.input_specs}
    outputs = {name: pyane.Surface(sizes[name]) for name in kernel.output_specs}
    return inputs, outputs


def test_surfaces_of_different_sizes_where_the_chip_wants_one():
    """Measured on M4 Max (Orion); others are not known to refuse."""
    x = np.ones((1, 1, 1, 32), np.float16)
    text = mil_text.single("add", {"x": x, "y": x}, "float16", x.shape)
    sizes = {"x": 65536, "y": 131072, "result": 65536}
    kernel = strict("m4max").compile(text)
    request = kernel.bind(*surfaces(kernel, sizes))
    with pytest.raises(pyane.EvaluateError, match="'y' 131072") as info:
        request.evaluate()
    assert info.value.status == 0x1D
    with pytest.raises(pyane.EvaluateError, match="one allocation size"):
        pyane.evaluate([request])
    kernel.bind(*surfaces(kernel, dict.fromkeys(sizes, 65536))).evaluate()
    kernel(x=x, y=x)  # The kernel's own surfaces have one size.
    for other in (strict("m1"), pyane.device(chip="m4max")):
        kernel = other.compile(text)
        kernel.bind(*surfaces(kernel, sizes)).evaluate()


def test_requests_before_a_refused_one_are_evaluated():
    x = np.ones((1, 1, 1, 32), np.float16)
    kernel = strict("m4max").compile(mil_text.single("relu", {"x": x}, "float16", x.shape))
    good_in, good_out = surfaces(kernel, {"x": 65536, "result": 65536})
    good_in["x"].array(x.shape, np.float16)[...] = 3
    good = kernel.bind(good_in, good_out)
    bad = kernel.bind(*surfaces(kernel, {"x": 65536, "result": 131072}))
    with pytest.raises(pyane.EvaluateError):
        pyane.evaluate([good, bad, good])
    assert (good_out["result"].array(x.shape, np.float16) == 3).all()


def test_the_budget_of_compilations(monkeypatch):
    device = strict("m1")
    limit = pyane.chips.find("m1").limits["max_compiles"].value
    assert device.budget().compile_limit == limit
    text = relu((1, 1, 1, 32))
    for _ in range(limit):
        device.compile(text).unload()
    with pytest.raises(pyane.CompileBudgetError, match=str(limit)):
        device.compile(text)
    assert pyane.device(chip="m1").budget() is None
    monkeypatch.setenv("PYANE_COMPILE_BUDGET", "2")
    assert strict("m1").budget().compile_limit == 2


def test_every_error_of_compiling_has_diagnostics():
    assert pyane.CompileError("no").diagnostics == ()
    assert pyane.CompileBudgetError("no").diagnostics == ()
    assert pyane.EvaluateError("no", 0x1D).diagnostics == ()


def test_findings_about_evaluating_are_raised_when_evaluating(monkeypatch):
    """No rule says so of a program today; the way is there for one that does."""

    class Finding:
        severity, is_contested, engine_text, message = "refused-at-evaluate", False, "", "too odd"

        def __str__(self):
            return "a.mil:3:1: too odd"

    finding = Finding()
    monkeypatch.setattr(strictness._chip, "check", lambda *_: [finding])
    kernel = strict("m1").compile(relu((1, 1, 1, 32)))
    with pytest.raises(pyane.EvaluateError, match=r"a\.mil:3:1: too odd") as info:
        kernel.evaluate()
    assert info.value.status == 0x1D
    assert info.value.diagnostics == (finding,)
