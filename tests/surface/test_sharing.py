"""Surfaces shared with another process by file descriptor, and what is refused as one."""

from __future__ import annotations

import mmap
import os
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import backend
import pyane

pytestmark = pytest.mark.skipif(
    pyane._core.engine.surface_kind() != "memfd", reason="IOSurfaces are not files"
)


# In another process: opens the surface that comes over the socket and writes into it.
FILL_RECEIVED = """
import os, socket, sys
import numpy as np
import pyane

with socket.socket(fileno=int(sys.argv[1])) as end:
    _, fds, _, _ = socket.recv_fds(end, 16, 1)
    surface = pyane.Surface.open(fds[0])
    os.close(fds[0])  # The surface has its own.
    values = surface.array((100,), np.float32)
    values[...] = values[::-1] * 2
    end.sendall(b"done")
"""


def test_another_process_writes():
    ours, theirs = socket.socketpair()
    surface = pyane.Surface(4096)
    values = surface.array((100,), np.float32)
    values[...] = np.arange(100)
    command = [sys.executable, "-W", "ignore", "-c", FILL_RECEIVED, str(theirs.fileno())]
    with ours, subprocess.Popen(command, pass_fds=[theirs.fileno()]) as process:
        theirs.close()  # so that a child that dies ends the wait below
        socket.send_fds(ours, [b"surface"], [surface.fileno()])
        assert ours.recv(4) == b"done"
    assert process.returncode == 0
    np.testing.assert_array_equal(values, np.arange(100)[::-1] * 2)


def test_a_forked_process_writes():
    surface = pyane.Surface(4096)
    values = surface.array((100,), np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork() with threads
        child = os.fork()
    if child == 0:
        try:
            pyane.Surface.open(surface.fileno()).array((100,), np.float32)[...] = 7
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert (values == 7).all()


def test_kernel_on_a_surface_of_another():
    """What one holder writes is what a kernel bound by the other reads."""
    text = """program(1.3)
[buildInfo = dict<string, string>({})]
{
    func main<ios18>(tensor<fp16, [1, 4]> x) {
        tensor<fp16, [1, 4]> y = add(x = x, y = fp16(0x1p+0))[name = string("y")];
    } -> (y);
}
"""
    kernel = backend.device().compile(text)
    x, y = pyane.Surface(kernel.surface_bytes), pyane.Surface(kernel.surface_bytes)
    request = kernel.bind({"x": pyane.Surface.open(x.fileno())}, {"y": y})
    x.array((4,))[...] = [1, 2, 3, 4]
    request.evaluate()
    np.testing.assert_array_equal(y.array((4,)), [2, 3, 4, 5])


def test_the_same_memory_at_two_addresses():
    """A surface opened again is treated as the one it is: outputs wait, two outputs clash."""
    kind = "tensor<fp16, [64, 64]>"
    text = f"""program(1.3)
[buildInfo = dict<string, string>({{}})]
{{
    func main<ios18>({kind} x) {{
        tensor<int32, [2]> perm = const()[name = string("perm"), val = tensor<int32, [2]>([1, 0])];
        {kind} y = transpose(perm = perm, x = x)[name = string("y")];
        {kind} z = relu(x = x)[name = string("z")];
    }} -> (y, z);
}}
"""
    kernel = pyane.device("emulator").compile(text)
    x, z = pyane.Surface(kernel.surface_bytes), pyane.Surface(kernel.surface_bytes)
    again = pyane.Surface.open(x.native_id)
    values = np.arange(-2048, 2048).reshape(64, 64).astype(np.float16)
    x.array((64, 64))[...] = values
    kernel.bind({"x": x}, {"y": again, "z": z}).evaluate()
    np.testing.assert_array_equal(x.array((64, 64)), values.T)
    np.testing.assert_array_equal(z.array((64, 64)), np.maximum(values, 0))
    with pytest.raises(pyane.ShapeError, match="outputs 'y' and 'z' must have surfaces of their"):
        kernel.bind({"x": z}, {"y": again, "z": x})


def test_memory_outlives_the_surface_that_made_it():
    first = pyane.Surface(1)
    first.array((3,), np.uint8)[...] = [1, 2, 3]
    second = pyane.Surface.open(first.fileno())
    assert second.n_bytes == first.n_bytes
    assert second.fileno() != first.fileno()
    del first
    np.testing.assert_array_equal(second.array((3,), np.uint8), [1, 2, 3])


def test_array_keeps_the_mapping():
    values = pyane.Surface(1 << 20).array((1 << 19,))
    values[...] = 3
    assert (values == 3).all()


def test_descriptors_are_given_back():
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = count()
    for _ in range(100):
        surface = pyane.Surface(1)
        other = pyane.Surface.open(surface.fileno())
    assert count() == before + 2
    del surface, other
    assert count() == before


def test_size_and_alignment():
    for n_bytes in (0, 1, 49152, 49153, 1 << 20):
        surface = pyane.Surface(n_bytes)
        assert surface.n_bytes >= max(n_bytes, 49152)
        values = surface.array((surface.n_bytes,), np.uint8)
        assert values.ctypes.data % mmap.PAGESIZE == 0
        assert not values.any()


def test_descriptor_is_not_inherited():
    assert not os.get_inheritable(pyane.Surface(1).fileno())


def test_nobody_can_shrink_it():
    """Else a peer could make our next access to the mapping fatal (SIGBUS)."""
    surface = pyane.Surface(1)
    with pytest.raises(PermissionError):
        os.ftruncate(surface.fileno(), 0)


@pytest.mark.parametrize("native_id", [-1, 1 << 40, 1 << 20])
def test_no_descriptor(native_id):
    with pytest.raises(pyane.Error, match=f"descriptor {native_id}: "):
        pyane.Surface.open(native_id)


def test_other_kinds_of_files(tmp_path):
    (tmp_path / "file").write_bytes(bytes(65536))
    reader, writer = os.pipe()
    with (tmp_path / "file").open("r+b") as file:
        with pytest.raises(pyane.Error, match="sealed against shrinking"):
            pyane.Surface.open(file.fileno())
        with pytest.raises(pyane.Error, match="must be a memory file"):
            pyane.Surface.open(reader)
    os.close(reader)
    os.close(writer)


def test_unsealed_or_small_memory():
    fd = os.memfd_create("peer", os.MFD_ALLOW_SEALING)
    with pytest.raises(pyane.Error, match="sealed against shrinking"):
        pyane.Surface.open(fd)
    import fcntl  # noqa: PLC0415  Linux only

    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    with pytest.raises(pyane.Error, match=f"at least one page, {mmap.PAGESIZE} bytes, got 0"):
        pyane.Surface.open(fd)
    os.ftruncate(fd, 4 * mmap.PAGESIZE)
    assert pyane.Surface.open(fd).n_bytes == 4 * mmap.PAGESIZE
    os.close(fd)


def test_impossible_sizes():
    with pytest.raises(pyane.Error, match=str(1 << 62)):
        pyane.Surface(1 << 62)
