"""Where the time of a kernel goes: `Kernel.profile()`, and `pyane profile` on the command line.

Time is told by group: what the emulator evaluates at once, an operation or several that it has fused.
Beside it stand what the group computes (a multiply-add counts two) and moves (the tensors that it reads
and writes, weights as stored), and the least time that this machine could do it in: its roof, measured
when the profile is made. Which of the two, arithmetic or memory, takes longer says what bounds it.
"""

from __future__ import annotations

import statistics
import time
from bisect import bisect_left
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ._core import base
from .errors import ConfigError

if TYPE_CHECKING:
    from .kernel import Kernel

# From a core's first cache to memory: what lies between is interpolated.
_FOOTPRINTS = tuple(2**k for k in (15, 17, 19, 21, 23, 25, 27))


@dataclass(frozen=True)
class Roofs:
    """What this machine can do on as many threads as were used.

    Attributes:
        gflops: fp32 multiply-adds on registers, GFLOP/s.
        gbps: GB/s read and written, by size in bytes of what is read and written: fp16 to fp32 and
            back, or memcpy if that is faster.
    """

    gflops: float
    gbps: tuple[tuple[int, float], ...]

    @classmethod
    def measure(cls, threads: int) -> Roofs:
        """Takes about 0.4 s; on a machine that others keep busy, at times longer.

        More threads than cores do no more, and are not tried.
        """
        threads = min(threads, base.usable_cores())
        bandwidth: list[tuple[int, float]] = []
        fastest = 0.0
        # Less memory is never slower: what was measured so when others took the cores is wrong.
        for n in reversed(_FOOTPRINTS):
            rates = base.measure_conversion_gbps(n, threads), base.measure_copy_gbps(n, threads)
            fastest = max(fastest, *rates)
            bandwidth.append((n, fastest))
        return cls(base.measure_fma_gflops(threads), tuple(reversed(bandwidth)))

    def compute_seconds(self, flops: float) -> float:
        """Least time of that many operations."""
        return flops / self.gflops * 1e-9

    def memory_seconds(self, n_bytes: int) -> float:
        """Least time to move that many bytes."""
        sizes = [size for size, _ in self.gbps]
        at = min(bisect_left(sizes, n_bytes), len(sizes) - 1)
        gbps = self.gbps[at][1]
        if at > 0 and n_bytes < sizes[at]:
            (low, slow), (high, fast) = self.gbps[at - 1 : at + 1]
            gbps = slow + (fast - slow) * (n_bytes - low) / (high - low)
        return n_bytes / gbps * 1e-9


@dataclass(frozen=True)
class GroupTime:
    """One group.

    Attributes:
        operations: MIL names in program order; none: copies between surfaces.
        output: Name of the first value made.
        line: Of the first operation in the MIL text; 0 for copies.
        depth: Blocks of cond and while_loop around it.
        runs: Per evaluation: several inside a loop.
        seconds: Of all its runs in the evaluation that is shown, those of its blocks included.
        flops: Of all runs; None when not known, and for cond and while_loop.
        n_bytes: Read and written by all runs; None likewise.
        roof_seconds: Least time on this machine; None when neither is known.
        bound: "compute" or "memory": what takes `roof_seconds`; "" when nothing is known.
    """

    operations: tuple[str, ...]
    output: str
    line: int
    depth: int
    runs: int
    seconds: float
    flops: float | None
    n_bytes: int | None
    roof_seconds: float | None
    bound: str

    @property
    def name(self) -> str:
        """Operations and first output: "conv -> y", "mul+add (3) -> h"."""
        if not self.operations:
            return "copies"
        names = list(dict.fromkeys(self.operations))
        many = f" ({len(self.operations)})" if len(self.operations) > len(names) else ""
        return f"{'+'.join(names)}{many} -> {self.output}"

    @property
    def gflops(self) -> float | None:
        """GFLOP/s."""
        return self.flops / self.seconds * 1e-9 if self.flops and self.seconds > 0 else None

    @property
    def gbps(self) -> float | None:
        """GB/s read and written."""
        return self.n_bytes / self.seconds * 1e-9 if self.n_bytes and self.seconds > 0 else None

    @property
    def percent_of_roof(self) -> float | None:
        """Least time in percent of the time taken; above 100 where caches do better than measured."""
        if self.roof_seconds is None or self.seconds <= 0:
            return None
        return 100 * self.roof_seconds / self.seconds


@dataclass(frozen=True)
class Span:
    """A thread at work for a group, in seconds from the begin of the evaluation that is shown.

    Attributes:
        thread: 0 evaluates, others help.
        group: Index in `Profile.groups`.
        begin: Seconds.
        end: Seconds.
    """

    thread: int
    group: int
    begin: float
    end: float


@dataclass(frozen=True)
class Profile:
    """Where the time of a kernel goes: in the profiled evaluation that took the median time.

    All of one evaluation, so that parts add up: medians of groups may be more than that of the whole.

    Attributes:
        device: Where it ran, e.g. "emulator".
        threads: Threads used.
        isa: Instruction set used.
        evaluations: How many were timed.
        seconds: Median of whole evaluations that were not profiled.
        profiled_seconds: Of the one that is shown, the median of those that were: how much looking
            costs. Of an even number the faster of the two in the middle, as for `seconds`.
        groups: In the order of evaluation, blocks behind their cond or while_loop.
        spans: Who was at work when.
        roofs: What the machine can do.
    """

    device: str
    threads: int
    isa: str
    evaluations: int
    seconds: float
    profiled_seconds: float
    groups: tuple[GroupTime, ...]
    spans: tuple[Span, ...]
    roofs: Roofs

    @property
    def group_seconds(self) -> float:
        """Sum over the groups that are not in blocks."""
        return sum(group.seconds for group in self.groups if group.depth == 0)

    @property
    def unaccounted_seconds(self) -> float:
        """What the profiled evaluation takes beside its groups."""
        return max(0.0, self.profiled_seconds - self.group_seconds)  # Sums round.

    def to_dict(self) -> dict[str, Any]:
        """Everything but the spans, for JSON."""
        result = asdict(self)
        del result["spans"]
        for facts, group in zip(result["groups"], self.groups, strict=True):
            facts |= {"name": group.name, "gflops": group.gflops, "gbps": group.gbps}
            facts["percent_of_roof"] = group.percent_of_roof
        sums = {
            "group_seconds": self.group_seconds,
            "unaccounted_seconds": self.unaccounted_seconds,
        }
        return result | sums

    def chrome_trace(self) -> dict[str, Any]:
        """The evaluation as trace events, for chrome://tracing and ui.perfetto.dev.

        Written with `json.dump`. Times are in microseconds; see Google's "Trace Event Format".
        """
        process = {"ph": "M", "pid": 1, "name": "process_name", "args": {"name": self.device}}
        events: list[dict[str, Any]] = [process]
        for thread in sorted({span.thread for span in self.spans}):
            name = {"name": f"worker {thread}" if thread else "evaluating thread"}
            events.append({"ph": "M", "pid": 1, "tid": thread, "name": "thread_name", "args": name})
        for span in self.spans:
            group = self.groups[span.group]
            args = {
                "output": group.output,
                "line": group.line,
                "operations": list(group.operations),
            }
            events.append(
                {
                    "ph": "X",
                    "pid": 1,
                    "tid": span.thread,
                    "cat": "operation",
                    "name": group.name,
                    "ts": 1e6 * span.begin,
                    "dur": 1e6 * (span.end - span.begin),
                    "args": args,
                }
            )
        return {"traceEvents": events, "displayTimeUnit": "ns"}

    def __str__(self) -> str:
        """A line per group, and what the sums say."""
        lines = [
            f"{1e3 * group.seconds:10.3f} ms  {'  ' * group.depth}{group.name}"
            for group in self.groups
        ]
        total = (
            f"{1e3 * self.seconds:10.3f} ms  in all (with profiling "
            f"{1e3 * self.profiled_seconds:.3f}, of which {1e3 * self.unaccounted_seconds:.3f} "
            f"between the groups)"
        )
        return "\n".join([*lines, total])


def profile(kernel: Kernel, *, repeat: int = 10, roofs: Roofs | None = None) -> Profile:
    """Evaluate a kernel on its own surfaces, and tell where the time goes.

    Evaluations with and without profiling take turns after one that is not timed. What is in the
    kernel's inputs is used as it stands; its states are put back afterwards.

    Args:
        kernel: Compiled for the emulator.
        repeat: Evaluations of each kind, at least 1.
        roofs: What the machine can do; None: measured, once per process and number of threads.

    Raises:
        ConfigError: `repeat` is below 1, or the kernel's device does not tell.
        EvaluateError: As `Kernel.evaluate`.
    """
    if repeat < 1:
        msg = f"profile: repeat must be at least 1, got {repeat}"
        raise ConfigError(msg)
    if kernel.device.name != "emulator":
        msg = f"profile: the device '{kernel.device}' does not tell where its time goes; the emulator does"
        raise ConfigError(msg)
    with kernel._own_lock:
        whole, raw = _evaluate(kernel, repeat)
    roofs = roofs or _measured(base.num_threads(), base.isa())
    shown = sorted(raw, key=lambda one: int(one.total_ns))[(len(raw) - 1) // 2]
    groups, order = _groups(shown, roofs)
    spans = tuple(
        Span(thread, order[group], 1e-9 * begin, 1e-9 * end)
        for thread, group, begin, end in shown.spans
    )
    return Profile(
        device=str(kernel.device),
        threads=base.num_threads(),
        isa=base.isa(),
        evaluations=repeat,
        seconds=statistics.median_low(whole),
        profiled_seconds=1e-9 * shown.total_ns,
        groups=groups,
        spans=spans,
        roofs=roofs,
    )


@lru_cache
def _measured(threads: int, _isa: str) -> Roofs:
    return Roofs.measure(threads)


def _evaluate(kernel: Kernel, repeat: int) -> tuple[list[float], list[Any]]:
    """Seconds without profiling, and profiles."""
    whole: list[float] = []
    raw: list[Any] = []
    states = {name: np.array(array) for name, array in kernel.states.items()}
    try:
        kernel.evaluate()
        request = kernel._own_request()._native
        for _ in range(repeat):
            begin = time.perf_counter()
            kernel.evaluate()
            whole.append(time.perf_counter() - begin)
            raw.append(request.profile())
    finally:
        for name, array in states.items():
            kernel.states[name][...] = array
    return whole, raw


def _groups(shown: Any, roofs: Roofs) -> tuple[tuple[GroupTime, ...], dict[int, int]]:
    """Groups of a native profile, blocks behind their owners, and where each of its indices stands."""
    found = shown.groups

    def path(index: int) -> tuple[int, ...]:
        parent = found[index].parent
        return (*(() if parent is None else path(parent)), index)

    indices = sorted(range(len(found)), key=path)
    result = []
    for index in indices:
        group = found[index]
        flops = None if group.flops is None else group.flops * group.runs
        n_bytes = None if group.n_bytes is None else group.n_bytes * group.runs
        roof, bound = _roof(group, roofs)
        result.append(
            GroupTime(
                operations=tuple(group.operations),
                output=group.output,
                line=group.line,
                depth=len(path(index)) - 1,
                runs=group.runs,
                seconds=1e-9 * group.total_ns,
                flops=flops,
                n_bytes=n_bytes,
                roof_seconds=roof,
                bound=bound,
            )
        )
    return tuple(result), {index: place for place, index in enumerate(indices)}


def _roof(group: Any, roofs: Roofs) -> tuple[float | None, str]:
    """Least time of all runs of a native group, and what takes it."""
    compute = None if group.flops is None else group.runs * roofs.compute_seconds(group.flops)
    memory = None if group.n_bytes is None else group.runs * roofs.memory_seconds(group.n_bytes)
    if memory is None or (compute is not None and compute > memory):
        return compute, "" if compute is None else "compute"
    return memory, "memory"
