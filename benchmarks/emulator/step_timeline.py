"""Where the time of a training step goes, part by part, on one thread and on more.

    python -m benchmarks.emulator.step_timeline                        # 1, 2 and 4 threads
    python -m benchmarks.emulator.step_timeline --threads 2 --trace step.json

Parts are the kernels by name, and what the CPU does between them; each thread count takes its turn in every
round. Efficiency is the time on one thread over that of all threads together: what is missing to 1
is threads that wait, share memory's bandwidth or run slower when all of them work. The trace is for
chrome://tracing and ui.perfetto.dev: the last step of each thread count.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyane
from pyane._core import base
from pyane._core import train as cpu
from pyane.llama import backward, forward, model, output
from pyane.llama import step as llama_step
from pyane.llama.step import Step
from pyane.llama.timings import Timings

from .command import (
    add_threads,
    check_file,
    check_interrupted,
    count,
    run,
    usable_threads,
    write_json,
)
from .training_steps import pyane_step

Event = tuple[str, float, float]
PYTHON = "Python, and all else"
WHOLE = "whole step"


class Recorder:
    """Times what a step calls by putting itself between the modules of pyane.llama and the core."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.kernels: set[str] = set()

    def timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self.events.append((name, start, time.perf_counter()))

        return timed

    def install(self) -> None:
        """For the rest of this process."""
        watched = _Watched(self)
        for module in (backward, forward, model, output):
            module.cpu = watched  # type: ignore[attr-defined]
        backward.float_to_half = self.timed("float_to_half", base.float_to_half)  # type: ignore[attr-defined]
        model.WeightGradientQueue = watched.queue  # type: ignore[attr-defined, assignment]
        forward.run_steps = llama_step.run_steps = self.run_steps  # type: ignore[attr-defined]

    def run_steps(self, steps: list[Step], _timings: Timings) -> None:
        """One after the other, so that each has its own time."""
        for step in steps:
            for copy in step.copies:
                self.timed("copies", copy.run)()
            self.kernels.add(step.kernel.name)
            self.timed(step.kernel.name, llama_step.evaluate)([step.request])


class _Watched:
    """`pyane._core.train` with its functions timed."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        for name in dir(cpu):
            value = getattr(cpu, name)
            is_function = callable(value) and not isinstance(value, type)
            setattr(self, name, recorder.timed(name, value) if is_function else value)

    def queue(self, n_workers: int) -> Any:
        timed, queue = self._recorder.timed, cpu.WeightGradientQueue(n_workers)

        class Queue:
            submit = staticmethod(timed("weight gradients: submit", queue.submit))
            wait = staticmethod(timed("weight gradients", queue.wait))
            cancel = queue.cancel

        return Queue()


def measure(pipeline: str, counts: Sequence[int], rounds: int) -> tuple[dict, dict, set[str]]:
    """Samples by thread count and part, in seconds; the last events by thread count; which parts are
    kernels."""
    recorder = Recorder()
    recorder.install()
    _, step = pyane_step(pipeline, recorder.timed("adam_update", cpu.adam_update))(counts[0])
    samples: dict[int, dict[str, list[float]]] = {n: defaultdict(list) for n in counts}
    last: dict[int, list[Event]] = {}
    for _ in range(rounds):
        for n in counts:
            pyane.set_num_threads(n)
            recorder.events.clear()
            start = time.perf_counter()
            uploading = (step() or {}).get("upload", 0.0)
            whole = time.perf_counter() - start
            sums: dict[str, float] = defaultdict(float)
            for name, begin, end in recorder.events:
                sums[name] += end - begin
            sums["upload"] += uploading
            sums[PYTHON] = whole - sum(sums.values())
            sums[WHOLE] = whole
            for name, seconds in sums.items():
                samples[n][name].append(seconds)
            last[n] = list(recorder.events)
            check_interrupted()
    return samples, last, recorder.kernels


def table(samples: dict[int, dict[str, list[float]]]) -> str:
    counts = list(samples)
    medians = {n: {k: statistics.median(v) for k, v in samples[n].items()} for n in counts}
    one = medians[counts[0]]
    width = 2 + max(map(len, one))
    heads = [f"{count(n, 'thread'):>13}   share" for n in counts]
    heads += [f"{f'efficiency {n}':>13}" for n in counts[1:]]
    lines = [f"{'ms':{width}}" + "  ".join(heads)]
    for name in sorted(one, key=lambda name: -one[name]):
        cells = [
            f"{1e3 * medians[n].get(name, 0):13.1f} {100 * medians[n].get(name, 0) / medians[n][WHOLE]:5.1f} %"
            for n in counts
        ]
        for n in counts[1:]:
            spent = n * medians[n].get(name, 0) / counts[0]
            cells.append(f"{one[name] / spent:13.2f}" if spent else f"{'':13s}")
        lines.append(f"{name:{width}}" + "  ".join(cells))
    return "\n".join(lines)


def chrome_trace(last: dict[int, list[Event]], kernels: set[str]) -> dict[str, Any]:
    """Kernels in one row, what the CPU does between them in another, for each thread count."""
    events = []
    for n, found in last.items():
        zero = min(begin for _, begin, _ in found)
        events.append(
            {"ph": "M", "pid": n, "name": "process_name", "args": {"name": count(n, "thread")}}
        )
        events += [
            {
                "ph": "X",
                "pid": n,
                "tid": int(name not in kernels),
                "name": name,
                "ts": 1e6 * (begin - zero),
                "dur": 1e6 * (end - begin),
            }
            for name, begin, end in found
        ]
    return {"traceEvents": events}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.emulator.step_timeline",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_threads(parser)
    parser.add_argument("--pipeline", choices=("dynamic", "static"), default="dynamic")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--trace", type=Path, help="write a Chrome trace here")
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {args.rounds}")
    counts = usable_threads(parser, args.threads)
    check_file(parser, "--trace", args.trace)
    samples, last, kernels = measure(args.pipeline, counts, args.rounds)
    print(table(samples))
    if args.trace:
        write_json(args.trace, chrome_trace(last, kernels))


if __name__ == "__main__":
    run(main)
