"""Kernels in forked children: what one computes is nobody else's business."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable

import numpy as np
import pytest

import mil_text
import pyane
from pyane import mil

pytestmark = [
    pytest.mark.emulator,
    pytest.mark.skipif(
        "fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system"
    ),
    # Python 3.12 warns of any fork with threads; the pool has some.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]

KIND = "tensor<fp16, [64, 512]>"
SHAPE = (64, 512)


@mil.program(x=mil.fp16[SHAPE])
def double(x: mil.Var) -> mil.Var:
    return mil.mul(x=mil.relu(x=x), y=np.float16(2), name="y")


COUNTER = mil_text.program(
    {"x": KIND, "sum": f"state<{KIND}>"},
    [
        mil_text.operation("read_state", "old", KIND, {"input": "%sum"}),
        mil_text.operation("add", "new", KIND, {"x": "%old", "y": "%x"}),
        "write_state(input = sum, data = new);",
        mil_text.operation("relu", "y", KIND, {"x": "%new"}),
    ],
    ["y"],
)


def in_child(body: Callable[[], bool]) -> int:
    """Process id of a child that exits with 0 when `body()` is true."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if body() else 2)
        finally:
            os._exit(1)
    return child


def exit_code(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_calls_in_several_processes():
    """They begin with the same surfaces, and would overwrite each other's values."""
    kernel = pyane.device("emulator").compile(double)
    kernel(np.ones(SHAPE))

    def are_right(seed: int) -> bool:
        x = np.full(SHAPE, seed)
        return all((kernel(x) == 2 * seed).all() for _ in range(200))

    children = [in_child(lambda seed=seed: are_right(seed)) for seed in (3, 4, 5)]
    assert are_right(6)
    assert [exit_code(child) for child in children] == [0, 0, 0]


def test_a_child_begins_with_what_its_parent_had():
    """Arrays that were taken before the fork are the child's kernel's, states are kept."""
    kernel = pyane.device("emulator").compile(COUNTER)
    inputs, outputs, states = kernel.inputs["x"], kernel.outputs["y"], kernel.states["sum"]
    inputs[...] = 1
    kernel.evaluate()

    def goes_on() -> bool:
        inputs[...] += 1
        kernel.evaluate()
        return bool(
            (outputs == 3).all() and (states == 3).all() and (kernel.inputs["x"] == 2).all()
        )

    assert exit_code(in_child(goes_on)) == 0
    assert (inputs == 1).all()
    assert (outputs == 1).all()
    assert (states == 1).all()
    kernel.evaluate()
    assert (states == 2).all()


def test_given_surfaces_are_shared_and_states_made_for_a_request_are_not():
    kernel = pyane.device("emulator").compile(COUNTER)
    x, y = pyane.Surface(kernel.surface_bytes), pyane.Surface(kernel.surface_bytes)
    request = kernel.bind({"x": x}, {"y": y})
    x.array(SHAPE)[...] = 5

    def evaluates() -> bool:
        request.evaluate()
        return True

    assert exit_code(in_child(evaluates)) == 0
    assert (y.array(SHAPE) == 5).all()
    assert (request.states["sum"].array(SHAPE) == 0).all()


def test_a_child_of_another_thread_is_interrupted():
    """The thread that forked is the child's main thread, in which Python handles signals."""
    shape = (1024, 1024)
    step = mil_text.operation("exp", "w", mil_text.tensor_type(np.float16, shape), {"x": "%v"})
    loop = mil_text.counting_loop(1_000_000, shape, [step], "w")
    kernel = pyane.device("emulator").compile(loop)  # Many minutes, when nobody ends it.
    codes = []

    def is_interrupted() -> bool:
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        try:
            kernel.evaluate()
        except KeyboardInterrupt:
            return True
        return False

    def fork() -> None:
        child = in_child(is_interrupted)
        impatience = threading.Timer(30, os.kill, [child, signal.SIGKILL])
        impatience.start()
        codes.append(exit_code(child))
        impatience.cancel()

    thread = threading.Thread(target=fork)
    thread.start()
    thread.join()
    assert codes == [0]


def test_a_descriptor_goes_with_its_memory():
    kernel = pyane.device("emulator").compile(COUNTER)
    x, y = pyane.Surface(kernel.surface_bytes), pyane.Surface(kernel.surface_bytes)
    state = kernel.bind({"x": x}, {"y": y}).states["sum"]

    def is_one() -> bool:
        state.array(SHAPE)[...] = 9
        return bool((pyane.Surface.open(state.native_id).array(SHAPE) == 9).all())

    assert exit_code(in_child(is_one)) == 0
    assert (pyane.Surface.open(state.native_id).array(SHAPE) == 0).all()
