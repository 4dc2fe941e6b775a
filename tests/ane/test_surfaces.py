from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

import mil_text
import pyane


def handle(fake: Any, surface: pyane.Surface) -> int:
    """The IOSurfaceRef, as a library that made it would have it."""
    look_up = ctypes.CDLL(fake.path.rsplit("/", 1)[0] + "/libfake_iosurface.so").IOSurfaceLookup
    look_up.restype = ctypes.c_void_p
    return look_up(ctypes.c_uint32(surface.native_id))


def release(fake: Any, reference: int) -> None:
    library = ctypes.CDLL(fake.path.rsplit("/", 1)[0] + "/libfake_iosurface.so")
    library.CFRelease(ctypes.c_void_p(reference))


def test_size_and_contents(fake: Any) -> None:
    surface = pyane.Surface(1)
    assert surface.n_bytes == 49152
    assert not surface.array(49152, np.uint8).any()
    assert pyane.Surface(49153).n_bytes == 65536
    assert fake.iosurface_live() >= 1


def test_wrapped_by_id_and_by_pointer(fake: Any) -> None:
    made = pyane.Surface(100)
    made.array(4)[...] = [1, 2, 3, 4]
    by_id = pyane.Surface.open(made.native_id)
    reference = handle(fake, made)
    by_pointer = pyane.Surface.wrap(reference)
    release(fake, reference)  # ours goes, the wrapper's stays
    del made
    for surface in (by_id, by_pointer):
        np.testing.assert_array_equal(surface.array(4), [1, 2, 3, 4])
    by_id.array(4)[0] = 9
    assert by_pointer.array(4)[0] == 9


def test_a_wrapped_surface_takes_part_in_a_request(fake: Any, device: pyane.Device) -> None:
    fp16 = "tensor<fp16, [1, 4, 1, 16]>"
    text = mil_text.program(
        {"x": fp16}, [mil_text.operation("relu", "y", fp16, {"x": "%x"})], ["y"]
    )
    made = pyane.Surface(1)
    made.array((1, 4, 1, 16))[...] = 3
    reference = handle(fake, made)
    with device.compile(text) as kernel:
        result = pyane.Surface(1)
        kernel.bind({"x": pyane.Surface.wrap(reference)}, {"y": result}).evaluate()
        assert (result.array((1, 4, 1, 16)) == 3).all()
    release(fake, reference)


def test_no_such_surface(fake: Any) -> None:
    with pytest.raises(pyane.Error, match="from handle 0: must be an IOSurfaceRef"):
        pyane.Surface.wrap(0)
    with pytest.raises(pyane.Error, match="must be an IOSurfaceRef"):
        pyane.Surface.wrap(id(fake))
    for native_id in (-1, 0, 2**31, 2**40):
        with pytest.raises(pyane.Error, match=f"id {native_id}: no IOSurface of that id"):
            pyane.Surface.open(native_id)


def test_no_file_descriptor(fake: Any) -> None:  # noqa: ARG001
    with pytest.raises(OSError, match="no file descriptor"):
        pyane.Surface(1).fileno()


def test_locks_reach_the_system(fake: Any) -> None:
    surface = pyane.Surface(1)
    with surface.lock(), surface.lock(read_only=True), surface.lock(read_only=True):
        assert surface.lock_count == 3
        assert fake.iosurface_locks() == 3
    assert fake.iosurface_locks() == 0
    with pytest.raises(RuntimeError, match="mine"), surface.lock():
        raise RuntimeError("mine")  # noqa: EM101
    assert fake.iosurface_locks() == 0
    with pytest.raises(pyane.Error, match="no read-write lock is held"):
        surface._native.unlock(False)


def test_lock_failure(fake: Any) -> None:
    surface = pyane.Surface(1)
    fake.iosurface_fail_lock(1)
    with pytest.raises(pyane.Error, match=r"IOSurfaceLock\(read-write\) failed"), surface.lock():
        pytest.fail("not locked, so the body must not run")
    assert surface.lock_count == 0


def test_locks_left_are_given_back(fake: Any) -> None:
    surface = pyane.Surface(1)
    surface._native.lock(True)
    surface._native.lock(False)
    del surface
    assert fake.iosurface_locks() == 0


def test_creation_failure(fake: Any) -> None:
    fake.iosurface_fail_create(1)
    with pytest.raises(pyane.Error, match="surface of 100 bytes: IOSurfaceCreate refused"):
        pyane.Surface(100)
    with pytest.raises(pyane.Error, match="IOSurfaceCreate refused"):
        pyane.Surface(2**62)


def test_evaluating_locks_and_unlocks(fake: Any, device: pyane.Device) -> None:
    fp16 = "tensor<fp16, [1, 4, 1, 16]>"
    text = mil_text.program(
        {"x": fp16}, [mil_text.operation("relu", "y", fp16, {"x": "%x"})], ["y"]
    )
    with device.compile(text) as kernel:
        kernel.inputs  # noqa: B018  (makes the surfaces)
        before = fake.iosurface_total_locks()
        kernel.evaluate()
        assert fake.iosurface_total_locks() == before + 2
        fake.fail_evaluate(1)
        with pytest.raises(pyane.EvaluateError):
            kernel.evaluate()
        assert fake.iosurface_locks() == 0
        fake.iosurface_fail_lock(1)
        with pytest.raises(pyane.Error, match="IOSurfaceLock"):
            kernel.evaluate()
