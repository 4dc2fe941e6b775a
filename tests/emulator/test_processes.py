"""The emulator's threads beside other processes and other threads: forks, idling, other callers."""

from __future__ import annotations

import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import pyane
from pyane import mil

pytestmark = [pytest.mark.emulator, pytest.mark.usefixtures("one_thread_after")]

F16 = np.float16
SHAPE = (1, 64, 1, 512)


@mil.program(x=mil.fp16[SHAPE])
def turn_over(x):
    weight = np.eye(64, dtype=F16)[::-1].copy()[:, :, None, None]
    return mil.conv(x=mil.add(x=x, y=x), weight=weight, name="y")


@pytest.fixture(scope="module")
def kernel():
    return pyane.device("emulator").compile(turn_over)


def is_right(kernel: pyane.Kernel, seed: int) -> bool:
    """On surfaces that are made for it."""
    values = np.random.default_rng(seed).integers(-64, 64, SHAPE).astype(F16)
    x, y = pyane.Surface(kernel.surface_bytes), pyane.Surface(kernel.surface_bytes)
    request = kernel.bind({"x": x}, {"y": y})
    x.write(values)
    request.evaluate()
    return bool(np.array_equal(y.read(SHAPE), 2 * values[:, ::-1]))


def are_right_at_once(kernel: pyane.Kernel) -> bool:
    pyane.set_num_threads(3)
    with ThreadPoolExecutor(4) as pool:
        return all(pool.map(lambda seed: is_right(kernel, seed), range(40)))


def test_callers_on_several_threads(kernel):
    """One of them has the pool, the others compute on their own thread."""
    assert are_right_at_once(kernel)


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system"
)
# Python 3.12 warns of any fork with threads; the pool has some, which is the point.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_children_after_a_fork(kernel):
    """With the parent's kernel, threads of their own, and a kernel that they compile."""
    pyane.set_num_threads(4)
    assert is_right(kernel, 0)
    results = multiprocessing.get_context("fork").SimpleQueue()

    def child() -> None:
        again = pyane.device("emulator").compile(turn_over)
        results.put(is_right(kernel, 1) and are_right_at_once(kernel) and is_right(again, 2))

    children = [multiprocessing.get_context("fork").Process(target=child) for _ in range(3)]
    for process in children:
        process.start()
    assert is_right(kernel, 3)  # The parent goes on with its own pool.
    for process in children:
        process.join(60)
        assert process.exitcode == 0
    assert [results.get() for _ in children] == [True] * 3


def test_idle_threads_sleep(kernel):
    """They look for work for less than a millisecond; asleep, four would not show in a second."""
    pyane.set_num_threads(4)
    is_done = threading.Event()
    for seed in range(20):
        assert is_right(kernel, seed)
    time.sleep(0.05)
    before = time.process_time()
    is_done.wait(1.0)
    used = time.process_time() - before
    assert used < 0.2, f"{used:.2f} s of CPU time in an idle second"
