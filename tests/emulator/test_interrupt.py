"""Ctrl-C during a long evaluation: KeyboardInterrupt soon, and a device that goes on working."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import mil_text
import pyane
from pyane import mil

pytestmark = pytest.mark.emulator

KIND = mil_text.tensor_type(np.float16, (1, 64, 1, 512))
LOOP = mil_text.counting_loop(
    1_000_000, (1, 64, 1, 512), [mil_text.operation("exp", "w", KIND, {"x": "%v"})], "w"
)
# Each takes many minutes when it is not interrupted.
LONG = {
    "steps": f"""
kernel = device.compile({LOOP!r})
evaluate = kernel.evaluate
""",
    "one step": """
@mil.program(x=mil.fp16[40, 1024, 8192], w=mil.fp16[40, 8192, 1024])
def long(x, w):
    return mil.matmul(x=x, y=w, transpose_x=False, transpose_y=False, name="y")
kernel = device.compile(long)
evaluate = kernel.evaluate
""",
    "requests": """
@mil.program(x=mil.fp16[1, 512, 1, 512])
def long(x):
    return mil.softmax(x=mil.exp(x=x), axis=1, name="y")
kernel = device.compile(long)
x, y = pyane.Surface(kernel.surface_bytes), pyane.Surface(kernel.surface_bytes)
requests = [kernel.bind({"x": x}, {"y": y})] * 1_000_000
evaluate = lambda: pyane.evaluate(requests)
""",
    "small requests": """
@mil.program(x=mil.fp16[1, 64, 1, 64])
def short(x):
    return mil.exp(x=x, name="y")
kernel = device.compile(short)
surfaces = [[pyane.Surface(kernel.surface_bytes) for _ in "xy"] for _ in range(5)]
requests = [kernel.bind({"x": x}, {"y": y}) for x, y in surfaces] * 50_000
evaluate = lambda: [pyane.evaluate(requests) for _ in range(10_000)]
""",
    # What is known is worked out when compiling.
    "compile": """
@mil.program(x=mil.fp16[1])
def known(x):
    y = mil.fill(shape=np.array([4096, 4096], np.int32), value=np.float16(1))
    for _ in range(500):
        y = mil.matmul(x=y, y=y)
    return mil.add(x=x, y=y)
evaluate = lambda: device.compile(known)
""",
}
SCRIPT = """
import numpy as np, pyane, sys
from pyane import mil
device = pyane.device("emulator")
{long}
@mil.program(x=mil.fp16[2, 3])
def small(x):
    return mil.square(x=x, name="y")
other = device.compile(small)
print("ready", flush=True)
try:
    evaluate()
except KeyboardInterrupt:
    print("interrupted", flush=True)
print(other(np.full((2, 3), 3.0)).sum(), flush=True)
try:
    print("again", flush=True)
    evaluate()
except KeyboardInterrupt:
    print("interrupted again")
"""


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("case", LONG)
def test_ctrl_c(case, threads, monkeypatch):
    monkeypatch.setenv("PYANE_NUM_THREADS", threads)
    running = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(long=LONG[case])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        lines = iter(running.stdout.readline, "")  # type: ignore[union-attr]
        assert next(lines) == "ready\n"
        time.sleep(0.3)  # Into the evaluation; it would be interrupted before as well.
        running.send_signal(signal.SIGINT)
        assert next(lines) == "interrupted\n"
        assert next(lines) == "54.0\n"
        assert next(lines) == "again\n"
        time.sleep(0.2)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
        code = running.returncode
    finally:
        running.kill()
        running.communicate()
    assert (out, err, code) == ("interrupted again\n", "", 0)


def test_other_threads_are_not_stopped():
    """Python gives signals to the main thread: what other threads evaluate ends as it should."""

    @mil.program(x=mil.fp16[1, 256, 1, 512])
    def chain(x: mil.Var) -> mil.Var:
        for _ in range(60):
            x = mil.softmax(x=mil.exp(x=x), axis=1)
        return mil.relu(x=x, name="y")

    kernel = pyane.device("emulator").compile(chain)
    kernel.inputs["x"][...] = 1.0
    kernel.evaluate()
    expected = np.array(kernel.outputs["y"])
    kernel.outputs["y"][...] = 0
    failures: list[BaseException] = []

    def work() -> None:
        try:
            kernel.evaluate()
        except BaseException as e:  # noqa: BLE001
            failures.append(e)

    thread = threading.Thread(target=work)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    thread.join()
    assert not failures
    np.testing.assert_array_equal(kernel.outputs["y"], expected)


@pytest.mark.parametrize("threads", [1, 2])
def test_handlers_cannot_evaluate_in_the_middle(threads):
    """What an evaluation keeps for its thread, a list's graph and scratch memory, is in use then."""

    @mil.program(x=mil.fp16[1, 64, 1, 64])
    def short(x: mil.Var) -> mil.Var:
        return mil.softmax(x=x, axis=1, name="y")

    device = pyane.device("emulator")
    kernel = device.compile(short)
    surfaces = [[pyane.Surface(kernel.surface_bytes) for _ in "xy"] for _ in range(4)]
    requests = [kernel.bind({"x": x}, {"y": y}) for x, y in surfaces]
    calls = {
        "evaluate": kernel.evaluate,
        "list": lambda: pyane.evaluate(requests),
        "compile": lambda: device.compile(short),
    }
    refused: list[str] = []

    def handler(*_: object) -> None:
        for name, call in calls.items():
            with pytest.raises(pyane.Error, match=r"signal handler that interrupts .* set a flag"):
                call()
            refused.append(name)

    before = signal.signal(signal.SIGALRM, handler)
    n_threads = pyane.num_threads()
    pyane.set_num_threads(threads)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.15)
        while not refused:
            pyane.evaluate(requests * 5_000)
        # Between evaluations it is a function like others.
        signal.signal(signal.SIGALRM, lambda *_: calls["list"]())
        signal.raise_signal(signal.SIGALRM)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        pyane.set_num_threads(n_threads)
    assert refused == list(calls)
    pyane.evaluate(requests)
