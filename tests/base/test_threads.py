"""The thread pool and the choice of instructions, as far as Python sees them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

import pyane
from pyane._core import base


@pytest.fixture(autouse=True)
def _restore():
    before = base.num_threads()
    yield
    base.set_num_threads(before)


def run_python(code: str, **environment: str) -> str:
    """stdout of `code` in a new interpreter."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stderr == "", result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("n", [0, 1, 2, 5, 100])
def test_every_index_once(threads, n):
    base.set_num_threads(threads)
    seen = []
    base.parallel_for(n, seen.append)
    assert sorted(seen) == list(range(n))


@pytest.mark.parametrize("threads", [1, 3])
def test_exception_reaches_the_caller(threads):
    base.set_num_threads(threads)

    def body(i: int) -> None:
        if i == 7:
            message = f"index {i}"
            raise KeyError(message)

    for _ in range(10):
        with pytest.raises(KeyError, match="index 7"):
            base.parallel_for(50, body)
    seen = []
    base.parallel_for(50, seen.append)
    assert len(seen) == 50


def test_nested_runs_on_its_own_thread():
    base.set_num_threads(4)
    same = []

    def outer(_: int) -> None:
        here = threading.get_ident()
        base.parallel_for(4, lambda _: same.append(threading.get_ident() == here))

    base.parallel_for(8, outer)
    assert len(same) == 32
    assert all(same)


def test_several_callers():
    base.set_num_threads(2)
    counts = [0] * 4

    def caller(which: int) -> None:
        for _ in range(20):
            seen: list[int] = []
            base.parallel_for(10, seen.append)
            counts[which] += len(seen)

    callers = [threading.Thread(target=caller, args=(i,)) for i in range(4)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert counts == [200] * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork()")
def test_child_after_fork_has_threads_of_its_own():
    code = """
import os
from pyane._core import base
base.set_num_threads(4)
seen = []
base.parallel_for(10, seen.append)
child = os.fork()
if child == 0:
    seen = []
    base.parallel_for(10, seen.append)
    os._exit(0 if sorted(seen) == list(range(10)) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run_python(code) == "0"


def test_set_num_threads():
    base.set_num_threads(3)
    assert base.num_threads() == 3
    for n in (0, -1, 100000):
        with pytest.raises(pyane.errors.ShapeError, match=f"from 1 to 1024, got {n}"):
            base.set_num_threads(n)


@pytest.mark.parametrize("n", [2.5, "3", None])
def test_threads_that_are_no_integer(n):
    kind = type(n).__name__
    with pytest.raises(TypeError, match=f"set_num_threads: n must be an int, got {kind} {n!r}"):
        pyane.set_num_threads(n)


def test_threads_out_of_range():
    for n in (0, 1025, 10**20, -(10**20)):
        with pytest.raises(pyane.ShapeError, match=f"n must be from 1 to 1024, got {n}"):
            pyane.set_num_threads(n)
    pyane.set_num_threads(True)  # An integer, to Python.
    assert pyane.num_threads() == 1


def test_threads_from_environment():
    code = "from pyane._core import base; print(base.num_threads())"
    assert run_python(code, PYANE_NUM_THREADS="3") == "3"
    assert 1 <= int(run_python(code, PYANE_NUM_THREADS="")) <= (os.cpu_count() or 1)
    code = """
from pyane import Error
from pyane._core import base
try:
    base.num_threads()
except Error as error:
    print(error)
"""
    for bad in ("0", "four", "2x", "99999999999999999999"):
        expected = f"PYANE_NUM_THREADS must be a number from 1 to 1024, got '{bad}'"
        assert run_python(code, PYANE_NUM_THREADS=bad) == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks")
def test_affinity_mask_limits_threads():
    code = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from pyane._core import base
print(base.num_threads())
"""
    assert run_python(code, PYANE_NUM_THREADS="") == "1"


def test_isa_from_environment():
    code = "from pyane._core import base; print(base.isa())"
    assert run_python(code, PYANE_ISA="scalar") == "scalar"
    assert run_python(code, PYANE_ISA="") in ("scalar", "neon", "avx2", "avx512")
    code = """
from pyane import Error
from pyane._core import base
try:
    base.isa()
except Error as error:
    print(error)
"""
    message = run_python(code, PYANE_ISA="sse9")
    assert message.startswith("PYANE_ISA must be one of scalar")
    assert message.endswith("got 'sse9'")


def test_isa_of_another_machine():
    other = "neon" if base.isa() != "neon" else "avx2"
    with pytest.raises(pyane.Error, match=f"got '{other}', which it does not have"):
        base.set_isa(other)
