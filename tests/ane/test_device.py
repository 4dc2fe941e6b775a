from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mil_text
import pyane
from pyane import ane, mil

FP16 = "tensor<fp16, [1, 4, 1, 16]>"


def arithmetic() -> str:
    """Declared against the alphabet on both sides, not commutative: a wrong order shows."""
    return mil_text.program(
        {"b": FP16, "a": FP16},
        [
            mil_text.operation("sub", "z", FP16, {"x": "%a", "y": "%b"}),
            mil_text.operation("real_div", "y", FP16, {"x": "%a", "y": "%b"}),
        ],
        ["z", "y"],
    )


def scaled(factor: float, name: str = "y") -> str:
    """A program of its own for every factor."""
    line = mil_text.operation("mul", name, FP16, {"x": "%x", "y": np.float16(factor)})
    return mil_text.program({"x": FP16}, [line], [name])


def numbers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.uniform(0.5, 2, shape).astype(np.float16)


def test_inputs_and_outputs_are_bound_by_name(device: pyane.Device, rng: Any) -> None:
    a, b = numbers(rng, 1, 4, 1, 16), numbers(rng, 1, 4, 1, 16)
    with device.compile(arithmetic()) as kernel:
        assert kernel.device.name == "ane"
        assert list(kernel.input_specs) == ["a", "b"]
        assert list(kernel.output_specs) == ["y", "z"]
        result = kernel(b, a)  # in the order of the declaration
        assert list(result) == ["z", "y"]
        np.testing.assert_array_equal(result["z"], a - b)
        np.testing.assert_array_equal(result["y"], a / b)


def test_same_bits_as_the_emulator(device: pyane.Device, rng: Any) -> None:
    weight = (rng.standard_normal((48, 32, 1, 3)) / 10).astype(np.float16)

    @mil.program(x=mil.fp16[1, 32, 1, 37])
    def block(x: Any) -> Any:
        y = mil.conv(x=x, weight=weight, pad_type="same")
        return mil.softmax(x=mil.silu(x=y), axis=1, name="y")

    x = rng.standard_normal((1, 32, 1, 37)).astype(np.float16)
    assert block.weights, "the weight must be in a file for this test to say anything"
    with device.compile(block) as ours, pyane.device("emulator").compile(block) as theirs:
        np.testing.assert_array_equal(ours(x), theirs(x))


def test_weights_are_baked_in_and_shared_by_equal_models(
    fake: Any, device: pyane.Device, rng: Any
) -> None:
    def block(scale: float) -> Any:
        weight = np.full((16, 16, 1, 1), scale, np.float16)

        @mil.program(x=mil.fp16[1, 16, 1, 16])
        def conv(x: Any) -> Any:
            return mil.conv(x=x, weight=weight, name="y")

        return conv

    x = numbers(rng, 1, 16, 1, 16)
    first, second, third = (device.compile(block(scale)) for scale in (0.5, 0.25, 0.5))
    assert fake.compiles() == 2
    assert dict(first.details)["identifier"] == dict(third.details)["identifier"]
    expected = x.astype(np.float32).sum(axis=1, keepdims=True)
    for kernel, scale in ((first, 0.5), (second, 0.25), (third, 0.5)):
        exact = np.broadcast_to(expected * scale, (1, 16, 1, 16))
        np.testing.assert_array_equal(kernel(x), exact.astype(np.float16))
    folder = fake.folder() / dict(first.details)["identifier"]
    assert (folder / "model.mil").exists()
    first.unload()
    assert (folder / "model.mil").exists(), "its second user still needs it"
    third.unload()
    assert not folder.exists()
    second.unload()


def test_several_requests_of_one_kernel(device: pyane.Device, rng: Any) -> None:
    kernel = device.compile(scaled(2.0))
    pairs = []
    for _ in range(3):
        x, y = pyane.Surface(kernel.surface_bytes), pyane.Surface(kernel.surface_bytes)
        x.array((1, 4, 1, 16))[...] = numbers(rng, 1, 4, 1, 16)
        pairs.append((x, y, kernel.bind({"x": x}, {"y": y})))
    pyane.evaluate([request for _, _, request in pairs])
    for x, y, _ in pairs:
        np.testing.assert_array_equal(y.array((1, 4, 1, 16)), 2 * x.array((1, 4, 1, 16)))
    kernel.unload()
    with pytest.raises(pyane.EvaluateError, match="'main' has been unloaded"):
        pairs[0][2].evaluate()
    with pytest.raises(pyane.EvaluateError, match="has been unloaded"):
        kernel.bind({"x": pairs[0][0]}, {"y": pairs[0][1]})
    kernel.unload()  # a second time does nothing


def test_requests_keep_kernel_and_surfaces(device: pyane.Device) -> None:
    kernel = device.compile(scaled(3.0))
    x, y = pyane.Surface(kernel.surface_bytes), pyane.Surface(kernel.surface_bytes)
    x.array((1, 4, 1, 16))[...] = 1
    result = y.array((1, 4, 1, 16))
    request = kernel.bind({"x": x}, {"y": y})
    del kernel, x, y
    request.evaluate()
    assert (result == 3).all()


def test_what_was_compiled_is_not_compiled_again(fake: Any, device: pyane.Device) -> None:
    before = ane.budget().compiles
    for expected in ("yes", "no, compiledModelExists", "no, compiledModelExists"):
        with device.compile(scaled(5.0)) as kernel:
            assert dict(kernel.details)["compiled"] == expected
            assert (kernel(np.ones((1, 4, 1, 16), np.float16)) == 5).all()
    assert fake.compiles() == 1
    assert ane.budget().compiles == before + 1


def test_a_cached_form_that_does_not_load_is_compiled(fake: Any, device: pyane.Device) -> None:
    device.compile(scaled(6.0)).unload()
    fake.fail_load(1)
    with device.compile(scaled(6.0)) as kernel:
        assert dict(kernel.details)["compiled"] == "yes, a cached form did not load"
    assert fake.compiles() == 2


def test_one_function_of_several(device: pyane.Device) -> None:
    text = scaled(2.0)
    head, body = text.split("{\n", 1)
    second = scaled(4.0).split("{\n", 1)[1].rsplit("}", 1)[0].replace("main", "other")
    both = head + "{\n" + second + body
    x = np.ones((1, 4, 1, 16), np.float16)
    for function, factor in (("", 2), ("main", 2), ("other", 4)):
        with device.compile(both, function=function) as kernel:
            assert (kernel(x) == factor).all()
    with pytest.raises(pyane.Error, match="third"):
        device.compile(both, function="third")


@pytest.mark.parametrize("qos", [None, 0, 33, 63])
def test_quality_of_service(fake: Any, qos: int | None) -> None:
    with pyane.device("ane", qos=qos).compile(scaled(1.5)) as kernel:
        kernel.evaluate()
        assert fake.last_qos() == (21 if qos is None else qos)


def test_quality_of_service_out_of_range(device: pyane.Device) -> None:  # noqa: ARG001
    with pytest.raises(pyane.ShapeError, match=r"qos must be in \[0, 63\], got 64"):
        pyane.device("ane", qos=64)


def test_hardware_time(device: pyane.Device) -> None:
    for asked in (False, True):
        with pyane.device("ane", perf_stats=asked).compile(scaled(1.25)) as kernel:
            surfaces = [pyane.Surface(kernel.surface_bytes) for _ in range(2)]
            request = kernel.bind({"x": surfaces[0]}, {"y": surfaces[1]})
            assert request.device_time_ns is None
            request.evaluate()
            assert (request.device_time_ns is not None) == asked
            assert not asked or request.device_time_ns > 0
    assert device.name == "ane"


@pytest.mark.parametrize("kind", ["FULL", "LIVE_ONLY", "ABSENT", "STRANGE"])
def test_order_of_the_engine(fake: Any, device: pyane.Device, kind: str, rng: Any) -> None:
    fake.set_attributes(getattr(fake, kind))
    a, b = numbers(rng, 1, 4, 1, 16), numbers(rng, 1, 4, 1, 16)
    with device.compile(arithmetic()) as kernel:
        told = dict(kernel.details)["order"]
        assert told == ("modelAttributes" if kind in {"FULL", "LIVE_ONLY"} else "alphabetical")
        np.testing.assert_array_equal(kernel(a=a, b=b)["z"], a - b)


def test_another_order_is_an_error_that_names_both(fake: Any, device: pyane.Device) -> None:
    fake.set_attributes(fake.REVERSED)
    loaded = fake.loaded_programs()
    with pytest.raises(
        pyane.CompileError,
        match=r"orders the inputs \[b, a\] \(modelAttributes\).* alphabetical order is \[a, b\]",
    ):
        device.compile(arithmetic())
    assert fake.loaded_programs() == loaded
    with device.compile(scaled(2.0)):  # one input, one output: no order to differ
        pass


def test_device_info(fake: Any) -> None:
    info = ane.device_info()
    assert info is not None
    assert info.framework_path == fake.path
    assert (info.has_ane, info.n_engines, info.n_cores) == (True, 1, 16)
    assert (info.architecture, info.chip_profile) == ("h16g", "m4")
    assert "stand-in" in info.product_name


@pytest.mark.parametrize(
    ("architecture", "profile"),
    [("h13", "m1"), ("h13g", "m1"), ("H14c", "m2"), ("h15p", "m3"), ("h16g", "m4"), ("h17s", "m5")],
)
def test_chip_profile(architecture: str, profile: str) -> None:
    assert ane.chip_profile(architecture) == profile


@pytest.mark.parametrize("architecture", ["", "h1", "h12", "h99", "m4"])
def test_no_chip_profile(architecture: str) -> None:
    assert ane.chip_profile(architecture) is None
