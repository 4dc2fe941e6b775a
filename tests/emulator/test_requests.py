"""Kernels, requests and surfaces as seen from Python: lifetimes, threads, errors."""

from __future__ import annotations

import gc
import mmap
import threading

import numpy as np
import pytest

import backend
import mil_text
import pyane
from mil_text import operation, tensor_type
from pyane import mil

F16 = np.float16


def program(n: int = 64) -> str:
    """y = x * x + w, z = x - w; parameters not in alphabetical order."""
    kind = tensor_type(F16, (1, n))
    lines = [
        operation("mul", "square", kind, {"x": "%x", "y": "%x"}),
        operation("add", "z", kind, {"x": "%square", "y": "%w"}),
        operation("sub", "y", kind, {"x": "%x", "y": "%w"}),
    ]
    return mil_text.program({"x": kind, "w": kind}, lines, ["z", "y"])


@pytest.fixture
def kernel(emulator):
    return emulator.compile(program())


def arrays(rng, n=64):
    return rng.normal(size=(2, 1, n)).astype(F16)


def surfaces(kernel, names):
    return {name: pyane.Surface(kernel.surface_bytes) for name in names}


def test_specs(kernel):
    assert list(kernel.input_specs) == ["w", "x"]  # Alphabetical, as on the engine.
    assert list(kernel.output_specs) == ["y", "z"]
    spec = kernel.input_specs["x"]
    assert (spec.name, spec.dtype, spec.shape, spec.n_bytes) == ("x", np.float16, (1, 64), 128)
    assert kernel.surface_bytes >= 48 * 1024
    assert kernel.device is backend.device()
    assert "float16[1, 64]" in repr(kernel)


def test_call_takes_positions_as_declared_and_names(kernel, rng):
    x, w = arrays(rng)
    for result in (kernel(x, w), kernel(x, w=w), kernel(w=w, x=x)):
        assert list(result) == ["z", "y"]  # As returned by the function.
        np.testing.assert_array_equal(result["z"], (x * x).astype(F16) + w)
        np.testing.assert_array_equal(result["y"], x - w)
    before = result["y"].copy()
    kernel(w, x)
    np.testing.assert_array_equal(result["y"], before)  # The caller's own.


def test_any_name_may_be_given(emulator):
    kind = tensor_type(F16, (2,))
    text = mil_text.program({"self": kind}, [operation("relu", "y", kind, {"x": "%self"})], ["y"])
    np.testing.assert_array_equal(emulator.compile(text)(self=[-1, 1]), [0, 1])


def test_surfaces_without_copies(kernel, rng):
    x, w = arrays(rng)
    kernel.inputs["x"][...] = x
    kernel.inputs["w"][...] = w
    kernel.evaluate()
    np.testing.assert_array_equal(kernel.outputs["y"], x - w)
    with pytest.raises(TypeError):
        kernel.inputs["x"] = x


def test_requests_share_a_kernel(kernel, rng):
    x, w = arrays(rng)
    shared = pyane.Surface(kernel.surface_bytes)
    shared.array((1, 64))[...] = w
    requests, results = [], []
    for scale in (1, 2, 3):
        ins = {"x": pyane.Surface(kernel.surface_bytes), "w": shared}
        outs = surfaces(kernel, ["y", "z"])
        ins["x"].array((1, 64))[...] = x * scale
        requests.append(kernel.bind(ins, outs))
        results.append(outs["y"].array((1, 64)))
    pyane.evaluate(requests)
    for scale, result in zip((1, 2, 3), results, strict=True):
        np.testing.assert_array_equal(result, (x * F16(scale)).astype(F16) - w)


def test_an_output_may_be_in_an_input(kernel, rng):
    x, w = arrays(rng)
    ins, outs = surfaces(kernel, ["w", "x"]), surfaces(kernel, ["y", "z"])
    outs["y"] = ins["x"]
    ins["x"].array((1, 64))[...] = x
    ins["w"].array((1, 64))[...] = w
    request = kernel.bind(ins, outs)
    request.evaluate()
    np.testing.assert_array_equal(outs["z"].array((1, 64)), (x * x).astype(F16) + w)
    np.testing.assert_array_equal(ins["x"].array((1, 64)), x - w)
    request.evaluate()
    np.testing.assert_array_equal(ins["x"].array((1, 64)), (x - w) - w)


def test_bad_bindings(kernel):
    ins, outs = surfaces(kernel, ["w", "x"]), surfaces(kernel, ["y", "z"])
    with pytest.raises(pyane.ShapeError, match=r"needs input 'x'; its inputs are 'w', 'x'"):
        kernel.bind({"w": ins["w"]}, outs)
    with pytest.raises(pyane.ShapeError, match=r"has no output 'out'; its outputs are 'y', 'z'"):
        kernel.bind(ins, outs | {"out": outs["y"]})
    with pytest.raises(TypeError, match=r"'x' must be a pyane.Surface, got ndarray"):
        kernel.bind(ins | {"x": np.zeros((1, 64), F16)}, outs)
    with pytest.raises(pyane.ShapeError, match=r"outputs 'y' and 'z' must have surfaces"):
        kernel.bind(ins, {"y": outs["y"], "z": outs["y"]})


def test_surface_too_small(emulator):
    n = 100_000
    kernel = emulator.compile(program(n))
    ins, outs = surfaces(kernel, ["w", "x"]), surfaces(kernel, ["y", "z"])
    assert kernel.surface_bytes >= 2 * n
    outs["z"] = pyane.Surface(64)
    message = r"output 'z' must hold 200000 bytes, got \d+"
    with pytest.raises(pyane.ShapeError, match=message):
        kernel.bind(ins, outs)


def test_bad_calls(kernel, rng):
    x, w = arrays(rng)
    with pytest.raises(pyane.ShapeError, match=r"input 'x' must have shape \[1, 64\], got \[64\]"):
        kernel(x[0], w)
    with pytest.raises(pyane.ShapeError, match=r"input 'w' must be float16, got complex64"):
        kernel(x, w.astype(np.complex64))
    with pytest.raises(pyane.ShapeError, match=r"needs input 'w'; its inputs are 'w', 'x'"):
        kernel(x)
    with pytest.raises(pyane.ShapeError, match=r"has no input 'q'; its inputs are 'w', 'x'"):
        kernel(x, w, q=x)
    with pytest.raises(pyane.ShapeError, match=r"takes 2 inputs \('x', 'w'\), got 3"):
        kernel(x, w, w)
    with pytest.raises(pyane.ShapeError, match=r"input 'x' is given by position and by name"):
        kernel(x, x=x)


def test_call_rounds_half_to_even(emulator):
    kind = tensor_type(F16, (2,))
    kernel = emulator.compile(
        mil_text.program({"x": kind}, [operation("relu", "y", kind, {"x": "%x"})], ["y"])
    )
    np.testing.assert_array_equal(kernel(np.array([2049.0, 2051.0])), [2048, 2052])


def test_unloaded_kernel(emulator, rng):
    x, w = arrays(rng)
    with emulator.compile(program()) as kernel:
        kernel(x, w)
        request = kernel.bind(surfaces(kernel, ["w", "x"]), surfaces(kernel, ["y", "z"]))
    assert not kernel.is_loaded
    for use in (kernel.evaluate, request.evaluate, lambda: kernel(x, w)):
        with pytest.raises(pyane.EvaluateError, match="'main' has been unloaded"):
            use()
    with pytest.raises(pyane.EvaluateError, match="unloaded"):
        kernel.bind(surfaces(kernel, ["w", "x"]), surfaces(kernel, ["y", "z"]))
    kernel.unload()  # Again is fine.


def test_views_and_requests_outlive_the_kernel(emulator, rng):
    x, w = arrays(rng)
    kernel = emulator.compile(program())
    kernel(x, w)
    view, result = kernel.inputs["x"], kernel.outputs["y"]
    ins, outs = surfaces(kernel, ["w", "x"]), surfaces(kernel, ["y", "z"])
    written, read = ins["x"].array((1, 64)), outs["y"].array((1, 64))
    request = kernel.bind(ins, outs)
    del kernel, ins, outs
    gc.collect()
    np.testing.assert_array_equal(view, x)
    np.testing.assert_array_equal(result, x - w)
    written[...] = 5
    request.evaluate()
    np.testing.assert_array_equal(read, np.full((1, 64), 5, F16))
    del request
    gc.collect()
    read[...] = 1
    assert read.sum() == 64


def test_two_threads_evaluate_two_requests_at_once(emulator, rng):
    n = 4096
    kernel = emulator.compile(program(n))
    failures = []

    def work(scale: float) -> None:
        ins, outs = surfaces(kernel, ["w", "x"]), surfaces(kernel, ["y", "z"])
        request = kernel.bind(ins, outs)
        x, w = ins["x"].array((1, n)), ins["w"].array((1, n))
        z = outs["z"].array((1, n))
        for i in range(200):
            x[...] = scale
            w[...] = i
            request.evaluate()
            if not (z == F16(F16(scale * scale) + F16(i))).all():
                failures.append((scale, i))

    threads = [threading.Thread(target=work, args=(scale,)) for scale in (1.0, 2.0, 3.0, 4.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    del rng


def test_calls_from_many_threads_take_turns(emulator):
    """They share the kernel's own surfaces, which each must have to itself from copy to copy."""
    kernel = emulator.compile(program(4096))
    failures = []

    def work(scale: float) -> None:
        x, w = np.full((2, 1, 4096), scale, F16)
        for _ in range(200):
            if not (kernel(x, w)["z"] == F16(scale * scale + scale)).all():
                failures.append(scale)

    threads = [threading.Thread(target=work, args=(scale,)) for scale in (1.0, 2.0, 3.0, 4.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_one_request_from_many_threads_is_serialised(emulator, rng):
    kernel = emulator.compile(program(4096))
    x, w = arrays(rng, 4096)
    expected = kernel(x, w)
    request = kernel._own_request()
    threads = [
        threading.Thread(target=lambda: [request.evaluate() for _ in range(50)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(kernel.outputs["y"], expected["y"])


def test_kernels_of_different_sizes_take_turns(emulator, rng):
    """They share the memory for intermediate tensors, which grows."""
    kernels = [emulator.compile(program(n)) for n in (64, 100_000, 1000)]
    for _ in range(3):
        for kernel in kernels:
            x, w = arrays(rng, kernel.input_specs["x"].shape[1])
            np.testing.assert_array_equal(kernel(x, w)["z"], (x * x).astype(F16) + w)


def plus_constant(n: int, path: str, offset: int) -> str:
    """y = x + c, where c is a tensor of a weight file."""
    kind = tensor_type(F16, (n,))
    constant = (
        f'{kind} c = const()[name = string("c"), val = {kind}(BLOBFILE(path = string("{path}"), '
        f"offset = uint64({offset})))];"
    )
    add = operation("add", "y", kind, {"x": "%x", "y": "%c"})
    return mil_text.program({"x": kind}, [constant, add], ["y"])


def test_weights_are_baked(emulator):
    data = np.arange(4, dtype=F16)
    blob, (offset,) = mil.pack_blobs([data])
    buffer = bytearray(blob)
    path = "@model_path/weights/w.bin"
    text = plus_constant(4, path, offset)
    kernel = emulator.compile(text, {path: buffer})
    buffer[:] = bytes(len(buffer))
    np.testing.assert_array_equal(kernel(np.zeros(4)), data)
    with pytest.raises(pyane.BlobError, match=r"weights/w\.bin"):
        emulator.compile(text)
    with pytest.raises(
        pyane.BlobError, match=r'weights\["@model_path/weights/w\.bin"\] must be bytes'
    ):
        emulator.compile(text, {path: 5})
    with pytest.raises(TypeError, match="paths in weights must be str, got int 5"):
        emulator.compile(text, {5: blob})


@pytest.mark.parametrize(
    "kept",
    [
        lambda blob: blob,
        lambda blob: blob.data.cast("B"),
        lambda blob: memoryview(blob[:][:]),
        lambda blob: memoryview(bytes(blob)),
    ],
    ids=["array", "view", "slices", "bytes"],
)
def test_immutable_weights_outlive_their_names(emulator, kept):
    """They are not copied, so the kernel must keep them: its first evaluation comes last."""
    data = np.arange(64, dtype=F16)
    blob, (offset,) = mil.pack_blobs([data])
    weights = kept(blob)
    path = "@model_path/weights/w.bin"
    kernel = emulator.compile(plus_constant(64, path, offset), {path: weights})
    del weights, blob
    gc.collect()
    np.testing.assert_array_equal(kernel(np.zeros(64)), data)


def test_views_of_changing_memory_are_copied(emulator):
    """A read-only view does not make the memory behind it immutable."""
    data = np.arange(4, dtype=F16)
    blob, (offset,) = mil.pack_blobs([data])
    buffer = bytearray(blob)
    path = "@model_path/weights/w.bin"
    text = plus_constant(4, path, offset)
    frozen = np.frombuffer(buffer, np.uint8)
    frozen.flags.writeable = False
    for weights in (memoryview(buffer).toreadonly(), frozen, frozen.data):
        buffer[:] = blob.tobytes()
        kernel = emulator.compile(text, {path: weights})
        buffer[:] = bytes(len(buffer))
        np.testing.assert_array_equal(kernel(np.zeros(4)), data)


def test_compile_errors(emulator):
    kind = tensor_type(F16, (4,))
    with pytest.raises(pyane.MilSyntaxError):
        emulator.compile("program(1.3) {")
    line = operation("add", "y", kind, {"x": "%x", "y": "%nobody"})
    with pytest.raises(pyane.MilVerifyError, match="'nobody' is not defined"):
        emulator.compile(mil_text.program({"x": kind}, [line], ["y"]))
    text = program()
    with pytest.raises(pyane.CompileError, match="no function 'other'; functions: main"):
        emulator.compile(text, function="other")
    with pytest.raises(TypeError, match="got bytes"):
        emulator.compile(text.encode())
    line = 'tensor<fp16, [?]> y = relu(x = x)[name = string("y")];'
    with pytest.raises(pyane.CompileError, match=r"'x' of type .*every dimension must be known"):
        emulator.compile(mil_text.program({"x": "tensor<fp16, [?]>"}, [line], ["y"]))
    huge = tensor_type(F16, (2**20, 2**20))
    line = operation("relu", "y", huge, {"x": "%x"})
    with pytest.raises(pyane.CompileError, match="too large"):
        emulator.compile(mil_text.program({"x": huge}, [line], ["y"]))


def test_operation_without_a_kernel_names_op_and_place(emulator):
    kind = tensor_type(F16, (4,))
    line = operation("cumsum", "y", kind, {"x": "%x"})
    text = mil_text.program({"x": kind}, [line], ["y"])
    if emulator.name != "emulator":
        pytest.skip("left to the engine's own compiler")
    if "cumsum" in pyane._core.engine.emulated_ops():
        pytest.skip("evaluated by now")
    with pytest.raises(pyane.UnsupportedOpError, match=r"model\.mil:5:\d+: cumsum 'y'") as caught:
        emulator.compile(text, source_name="model.mil")
    assert (caught.value.op, caught.value.line) == ("cumsum", 5)


def test_functions_of_a_program(emulator):
    kind = tensor_type(F16, (4,))
    bodies = [
        f"    func {name}<ios18>({kind} x) {{\n        {operation(op, 'y', kind, {'x': '%x'})}\n    }} -> (y);"
        for name, op in (("main", "relu"), ("other", "abs"))
    ]
    text = mil_text.HEADER + "{\n" + "\n".join(bodies) + "\n}\n"
    x = np.array([-1, 0, 1, 2], F16)
    np.testing.assert_array_equal(emulator.compile(text)(x), [0, 0, 1, 2])
    np.testing.assert_array_equal(emulator.compile(text, function="other")(x), [1, 0, 1, 2])


class TestDevice:
    def test_choice(self, monkeypatch):
        monkeypatch.delenv("PYANE_DEVICE", raising=False)
        assert pyane.device("emulator").name == "emulator"
        assert pyane.device().name in {"ane", "emulator"}
        monkeypatch.setenv("PYANE_DEVICE", "emulator")
        assert pyane.device().name == "emulator"

    def test_unknown(self, monkeypatch):
        with pytest.raises(ValueError, match="device: must be one of 'ane', 'emulator', got 'gpu'"):
            pyane.device("gpu")
        monkeypatch.setenv("PYANE_DEVICE", "tpu")
        with pytest.raises(ValueError, match=r"PYANE_DEVICE: must be one of .*, got 'tpu'"):
            pyane.device()

    def test_no_silent_fallback(self, monkeypatch):
        reason = pyane._core.engine.ane_unavailable_reason()
        if not reason:
            pytest.skip("there is an engine")
        with pytest.raises(pyane.AneUnavailableError, match="emulator"):
            pyane.device("ane")
        monkeypatch.setenv("PYANE_DEVICE", "ane")
        with pytest.raises(pyane.AneUnavailableError):
            pyane.device()


@pytest.mark.parametrize("wrong", ["kernel", None, "abc", 3])
def test_what_is_no_request(kernel, wrong):
    item = kernel if wrong == "kernel" else wrong
    kernel.evaluate()
    kernel.outputs["y"][...] = 7
    expected = rf"requests\[1\] must be a Request \(Kernel.bind\), got {type(item).__name__}"
    with pytest.raises(TypeError, match=expected):
        pyane.evaluate([kernel._own_request(), item])
    assert (kernel.outputs["y"] == 7).all()
    with pytest.raises(TypeError, match=r"requests\[0\] must be a Request .*, got str"):
        pyane.evaluate("abc")
    with pytest.raises(TypeError, match="requests must be a list of Request, got Request"):
        pyane.evaluate(kernel._own_request())


class TestSurface:
    def test_array(self):
        surface = pyane.Surface(100)
        assert surface.n_bytes >= 48 * 1024
        whole = surface.array(surface.n_bytes, np.uint8)
        assert not whole.any()
        part = surface.array((2, 3), np.float32, offset=64)
        part[...] = [[1, 2, 3], [4, 5, 6]]
        np.testing.assert_array_equal(whole[64:88].view(np.float32), [1, 2, 3, 4, 5, 6])
        assert surface.array((), np.float32, offset=64) == 1
        assert surface.array((0, 5)).shape == (0, 5)

    def test_array_that_does_not_fit(self):
        surface = pyane.Surface(1)
        n = surface.n_bytes
        for shape, dtype, offset in [
            ((n + 1,), np.uint8, 0),
            ((n // 2,), np.float16, 2),
            ((2**40, 2**40), np.float16, 0),
            ((2**62, 4), np.float16, 0),
            ((1,), np.uint8, n + 1),
            ((), np.float16, n),
        ]:
            with pytest.raises(pyane.ShapeError, match="does not fit into the surface's"):
                surface.array(shape, dtype, offset)
        with pytest.raises(pyane.ShapeError, match="offset must be a multiple of 4"):
            surface.array((1,), np.float32, offset=2)
        with pytest.raises(pyane.ShapeError, match="offset"):
            surface.array((1,), np.float32, offset=-4)
        with pytest.raises(pyane.ShapeError, match="shape must not be negative"):
            surface.array((-1,))
        with pytest.raises(pyane.ShapeError, match="dtype must be one of numbers"):
            surface.array((1,), object)
        with pytest.raises(TypeError, match="float"):
            surface.array((2.5,))

    def test_array_of_numpys_integers(self):
        assert pyane.Surface(1).array(np.int64(3)).shape == (3,)
        assert pyane.Surface(1).array(np.array([2, 3])).shape == (2, 3)

    def test_negative_size(self):
        with pytest.raises(ValueError, match="n_bytes must not be negative, got -1"):
            pyane.Surface(-1)

    def test_locks_count_and_nest(self):
        surface = pyane.Surface(1)
        with surface.lock(), surface.lock(read_only=True):
            assert surface.lock_count == 2
        assert surface.lock_count == 0
        with pytest.raises(RuntimeError), surface.lock():
            raise RuntimeError
        assert surface.lock_count == 0

    def test_array_keeps_the_memory(self):
        surface = pyane.Surface(100)
        array = surface.array((10,))
        array[...] = 7
        del surface
        gc.collect()
        others = [pyane.Surface(100) for _ in range(8)]
        np.testing.assert_array_equal(array, np.full(10, 7))
        del others

    @pytest.mark.skipif(
        pyane._core.engine.surface_kind() != "memfd", reason="surfaces are IOSurfaces here"
    )
    def test_shared_by_descriptor(self):
        surface = pyane.Surface(100)
        surface.array((4,))[...] = [1, 2, 3, 4]
        with mmap.mmap(surface.fileno(), 8) as mapped:
            assert mapped[:8] == np.array([1, 2, 3, 4], F16).tobytes()
        again = pyane.Surface.open(surface.native_id)
        again.array((4,))[0] = 9
        assert surface.array((4,))[0] == 9
        with pytest.raises(pyane.Error):
            pyane.Surface.open(10**6)


def step_kernel(emulator, factor):
    """y = factor * x + 1, small enough to run beside others."""
    kind = tensor_type(F16, (1, 64))
    lines = [
        operation("mul", "scaled", kind, {"x": "%x", "y": np.float16(factor)}),
        operation("add", "y", kind, {"x": "%scaled", "y": np.float16(1)}),
    ]
    return emulator.compile(mil_text.program({"x": kind}, lines, ["y"]))


@pytest.mark.usefixtures("one_thread_after")
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_lists_are_as_if_in_order(emulator, threads):
    """Random reads and writes of a few surfaces: what depends on something waits for it."""
    pyane.set_num_threads(threads)
    kernels = [step_kernel(emulator, factor) for factor in (0.5, 2.0, -1.0)]
    shared = [pyane.Surface(kernels[0].surface_bytes) for _ in range(8)]
    # The same memory, mapped at another place.
    again = [pyane.Surface.open(surface.native_id) for surface in shared]
    rng, sides = np.random.default_rng(threads), np.random.default_rng(8)
    values = [rng.integers(-8, 8, 64).astype(F16) for _ in shared]
    requests = []
    expected = [value.copy() for value in values]
    for _ in range(300):
        which, source, target = (int(i) for i in rng.integers(0, (3, 8, 8)))
        x, y = ((shared, again)[int(i)] for i in sides.integers(0, 2, 2))
        requests.append(kernels[which].bind({"x": x[source]}, {"y": y[target]}))
        expected[target] = (expected[source] * F16((0.5, 2.0, -1.0)[which])) + F16(1)
    for _ in range(30):  # The first few on threads that are still asleep.
        for surface, value in zip(shared, values, strict=True):
            surface.array((64,), F16)[...] = value
        pyane.evaluate(requests)
        for surface, value in zip(shared, expected, strict=True):
            np.testing.assert_array_equal(surface.array((64,), F16), value)


@pytest.mark.usefixtures("one_thread_after")
@pytest.mark.emulator
def test_states_keep_a_list_in_order(emulator):
    pyane.set_num_threads(4)

    @mil.program(x=mil.fp16[4], total=mil.state(mil.fp16[4]))
    def add_up(x, total):
        y = mil.add(x=mil.read_state(input=total), y=x)
        return mil.coreml_update_state(state=total, value=y, name="y")

    kernel = emulator.compile(add_up)
    x, total = pyane.Surface(kernel.surface_bytes), pyane.Surface(kernel.surface_bytes)
    x.write(np.ones(4))
    results = [pyane.Surface(kernel.surface_bytes) for _ in range(20)]
    pyane.evaluate([kernel.bind({"x": x}, {"y": y}, {"total": total}) for y in results])
    assert [y.read(4)[0] for y in results] == list(range(1, 21))


@pytest.mark.usefixtures("one_thread_after")
@pytest.mark.parametrize("threads", [1, 4])
def test_the_first_failure_of_a_list_is_raised(emulator, threads):
    pyane.set_num_threads(threads)
    indices, kind = tensor_type(np.int32, (4,)), tensor_type(F16, (4,))
    line = operation("gather", "y", kind, {"x": "%x", "indices": "%i", "axis": np.int32(0)})
    kernel = emulator.compile(mil_text.program({"x": kind, "i": indices}, [line], ["y"]))
    x = pyane.Surface(kernel.surface_bytes)
    x.write(np.arange(4.0))
    requests, outputs = [], []
    for last in (3, 2, 70, 90, 1):
        i, y = pyane.Surface(kernel.surface_bytes), pyane.Surface(kernel.surface_bytes)
        i.write(np.array([0, 1, 2, last], np.int32), np.int32)
        requests.append(kernel.bind({"x": x, "i": i}, {"y": y}))
        outputs.append(y)
    with pytest.raises(pyane.EvaluateError, match="70"):
        pyane.evaluate(requests)
    np.testing.assert_array_equal(outputs[0].read(4), [0, 1, 2, 3])
    np.testing.assert_array_equal(outputs[1].read(4), [0, 1, 2, 2])
    pyane.evaluate(requests[:2])
