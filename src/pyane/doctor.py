"""A graded series of small programs that shows how far a device can be relied on.

`pyane doctor` prints its report. On a Mac it is the first thing to run: each program needs a little
more of the engine than the one before, so the first that fails says where to look.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import ane, mil
from .device import Device
from .errors import CompileBudgetError, Error
from .kernel import Kernel
from .surface import Surface

__all__ = ["CHECKS", "Check", "Outcome", "compile_limit", "examine"]

Arrays = Mapping[str, "np.ndarray[Any, np.dtype[Any]]"]

_EPS16 = 2.0**-10
_TIMED_RUNS = 50


@dataclass(frozen=True)
class Outcome:
    """What came of one check.

    Attributes:
        name: Of the check.
        status: "ok", "wrong" (the program ran, but its numbers are not right) or "error".
        detail: Largest error and where, or the message of the exception.
        evaluate_us: Median time of one evaluation in microseconds; None when it did not run.
        kernel: What the device says of the compiled program.
    """

    name: str
    status: str
    detail: str
    evaluate_us: float | None = None
    kernel: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Check:
    """A program, its inputs, what it should give, and how far from that it may be.

    Attributes:
        name: Short.
        what: What works if this does.
        make: Gives program, inputs, expected outputs in fp64, and bounds on their error.
    """

    name: str
    what: str
    make: Callable[[np.random.Generator], tuple[mil.Program, Arrays, Arrays, Arrays]]


def _fp16(rng: np.random.Generator, *shape: int) -> np.ndarray[Any, np.dtype[Any]]:
    return rng.uniform(-1, 1, shape).astype(np.float16)


def _exact(expected: Arrays) -> Arrays:
    """One rounding to fp16, of whichever kind the engine does: half to even, or half away."""
    return {name: np.abs(y) * _EPS16 + 2.0**-24 for name, y in expected.items()}


def _add(rng: np.random.Generator) -> tuple[mil.Program, Arrays, Arrays, Arrays]:
    @mil.program(x=mil.fp16[1, 16, 1, 64])
    def program(x: Any) -> Any:
        return mil.add(x=x, y=np.float16(1.5), name="y")

    x = _fp16(rng, 1, 16, 1, 64)
    expected = {"y": x.astype(np.float64) + 1.5}
    return program, {"x": x}, expected, _exact(expected)


def _conv(rng: np.random.Generator) -> tuple[mil.Program, Arrays, Arrays, Arrays]:
    weight = _fp16(rng, 64, 32, 1, 1)

    @mil.program(x=mil.fp16[1, 32, 1, 64])
    def program(x: Any) -> Any:
        return mil.conv(x=x, weight=weight, name="y")

    x = _fp16(rng, 1, 32, 1, 64)
    w64, x64 = weight[:, :, 0, 0].astype(np.float64), x[0, :, 0].astype(np.float64)
    bound = 2 * _EPS16 * (np.abs(w64) @ np.abs(x64))
    return program, {"x": x}, {"y": (w64 @ x64)[None, :, None]}, {"y": bound[None, :, None]}


def _matmul(rng: np.random.Generator) -> tuple[mil.Program, Arrays, Arrays, Arrays]:
    @mil.program(x=mil.fp16[1, 1, 64, 32], w=mil.fp16[1, 1, 32, 64])
    def program(x: Any, w: Any) -> Any:
        return mil.matmul(x=x, y=w, name="y")

    x, w = _fp16(rng, 1, 1, 64, 32), _fp16(rng, 1, 1, 32, 64)
    x64, w64 = x.astype(np.float64), w.astype(np.float64)
    bound = 2 * _EPS16 * (np.abs(x64) @ np.abs(w64))
    return program, {"x": x, "w": w}, {"y": x64 @ w64}, {"y": bound}


def _order(rng: np.random.Generator) -> tuple[mil.Program, Arrays, Arrays, Arrays]:
    @mil.program(c=mil.fp16[1, 16, 1, 64], a=mil.fp16[1, 16, 1, 64], b=mil.fp16[1, 16, 1, 64])
    def program(c: Any, a: Any, b: Any) -> Any:
        z = mil.sub(x=mil.sub(x=a, y=b), y=c, name="z")
        y = mil.sub(x=b, y=c, name="y")
        return z, y

    arrays = {name: _fp16(rng, 1, 16, 1, 64) for name in "cab"}
    a, b, c = (arrays[name].astype(np.float64) for name in "abc")
    expected = {"y": b - c, "z": (a - b).astype(np.float16).astype(np.float64) - c}
    # The inner difference may be rounded either way at a tie.
    bound = {name: np.abs(y) * _EPS16 + 2 * _EPS16 for name, y in expected.items()}
    return program, arrays, expected, bound


def _concat(rng: np.random.Generator) -> tuple[mil.Program, Arrays, Arrays, Arrays]:
    @mil.program(x=mil.fp16[1, 16, 1, 64], y=mil.fp16[1, 32, 1, 64])
    def program(x: Any, y: Any) -> Any:
        return mil.concat(values=(x, y), axis=1, name="z")

    x, y = _fp16(rng, 1, 16, 1, 64), _fp16(rng, 1, 32, 1, 64)
    expected = {"z": np.concatenate([x, y], axis=1).astype(np.float64)}
    return program, {"x": x, "y": y}, expected, {"z": np.zeros(1)}


def _narrow(rng: np.random.Generator) -> tuple[mil.Program, Arrays, Arrays, Arrays]:
    @mil.program(x=mil.fp16[1, 256, 1, 1])
    def program(x: Any) -> Any:
        return mil.add(x=x, y=np.float16(1.0), name="y")

    x = _fp16(rng, 1, 256, 1, 1)
    expected = {"y": x.astype(np.float64) + 1}
    return program, {"x": x}, expected, _exact(expected)


def _attention(rng: np.random.Generator) -> tuple[mil.Program, Arrays, Arrays, Arrays]:
    @mil.program(q=mil.fp16[1, 4, 64, 32], k=mil.fp16[1, 4, 64, 32])
    def program(q: Any, k: Any) -> Any:
        return mil.softmax(x=mil.matmul(x=q, y=k, transpose_y=True), axis=-1, name="p")

    q, k = _fp16(rng, 1, 4, 64, 32), _fp16(rng, 1, 4, 64, 32)
    scores = q.astype(np.float64) @ k.astype(np.float64).swapaxes(-1, -2)
    p = np.exp(scores - scores.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    # Scores are rounded to fp16 (relative change of p: 2 eps |scores|); an engine may take exp from
    # a table, good to 9 units in the last place (docs/ane.md, constraint 62).
    bound = p * (2 * _EPS16 * np.abs(scores).max() + 20 * _EPS16) + 2.0**-24
    return program, {"q": q, "k": k}, {"p": p}, {"p": bound}


CHECKS: tuple[Check, ...] = (
    Check("add", "text, compile, load, surfaces, evaluate", _add),
    Check("conv", "weight files (BLOBFILE)", _conv),
    Check("matmul", "two inputs; weights that change without compiling (dynamic weights)", _matmul),
    Check("order", "inputs and outputs are bound in alphabetical order", _order),
    Check("concat", "concat, which some versions are said to reject", _concat),
    Check("attention", "batched matmul and softmax", _attention),
    Check("narrow", "tensors of width 1 are packed, not padded to 64 bytes a row", _narrow),
)


def _compare(kernel: Kernel, expected: Arrays, bounds: Arrays) -> str:
    """Empty when every output is within its bound; else the worst place."""
    for name, exact in expected.items():
        got = kernel.outputs[name].astype(np.float64)
        error = np.abs(got - exact)
        excess = np.where(np.isfinite(got), error - bounds[name], np.inf)
        if (excess > 0).any():
            at = np.unravel_index(int(np.argmax(excess)), excess.shape)
            place = ", ".join(str(int(i)) for i in at)
            zeros = " (every value is zero)" if not got.any() else ""
            wrong = int((excess > 0).sum())
            return (
                f"{name}[{place}] is {got[at]:.6g}, should be {exact[at]:.6g}; "
                f"{wrong} of {got.size} values are wrong{zeros}"
            )
    return ""


def _median_us(evaluate: Callable[[], None]) -> float:
    times = []
    for _ in range(_TIMED_RUNS):
        start = time.perf_counter()
        evaluate()
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e6


def _second_request(kernel: Kernel, inputs: Arrays) -> str:
    """The same program on other surfaces gives the same bits."""
    ins = {name: Surface(kernel.surface_bytes) for name in kernel.input_specs}
    outs = {name: Surface(kernel.surface_bytes) for name in kernel.output_specs}
    for name, array in inputs.items():
        ins[name].array(array.shape, array.dtype)[...] = array
    kernel.bind(ins, outs).evaluate()
    for name, spec in kernel.output_specs.items():
        if not np.array_equal(outs[name].array(spec.shape, spec.dtype), kernel.outputs[name]):
            return f"a second request gives other numbers for '{name}'"
    return ""


def examine(device: Device, checks: tuple[Check, ...] = CHECKS) -> Iterator[Outcome]:
    """Run the checks one by one on a device; a failure does not stop those after it."""
    for check in checks:
        yield _examine(device, check)


def _examine(device: Device, check: Check) -> Outcome:
    program, inputs, expected, bounds = check.make(np.random.default_rng(7))
    details: tuple[tuple[str, str], ...] = ()
    try:
        with device.compile(program, source_name=f"doctor:{check.name}") as kernel:
            details = tuple(kernel.details)
            for name, array in inputs.items():
                kernel.inputs[name][...] = array
            kernel.evaluate()
            wrong = _compare(kernel, expected, bounds) or _second_request(kernel, inputs)
            if wrong:
                return Outcome(check.name, "wrong", wrong, None, details)
            return Outcome(check.name, "ok", check.what, _median_us(kernel.evaluate), details)
    except (Error, MemoryError) as e:
        return Outcome(check.name, "error", f"{type(e).__name__}: {e}", None, details)


def compile_limit(device: Device) -> Outcome:
    """Compile programs until something refuses.

    Uses up this process's compilations, so it comes last. To find the engine's own limit set
    PYANE_ANE_COMPILE_LIMIT above it.
    """
    name = "compile limit"
    if device.name != "ane":
        return Outcome(name, "ok", f"{device.name} has none")
    count = 0
    try:
        while True:
            value = np.float16(2.0 + count / 512)

            @mil.program(x=mil.fp16[1, 16, 1, 64])
            def program(x: Any, value: Any = value) -> Any:
                return mil.mul(x=x, y=value, name="y")

            device.compile(program).unload()
            count += 1
            if count > ane.budget().compile_limit:
                break  # all of them were in the framework's cache
    except CompileBudgetError:
        return Outcome(name, "ok", f"pyane stopped after {ane.budget().compiles} compilations")
    except Error as e:
        compiles = ane.budget().compiles
        return Outcome(name, "wrong", f"the engine refused compilation {compiles}: {e}")
    return Outcome(name, "ok", f"no limit met in {count} compilations")
