from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial

import pytest

import pyane
from pyane.bench import registry, runner
from pyane.bench.measure import Bench, Benchmark, Metrics, Plan, Skip, WrongResult, rate, times
from pyane.bench.result import Case, Finding, validate
from pyane.bench.runner import Runner
from pyane.bench.settings import Settings
from pyane.errors import CompileBudgetError, CompileError, ConfigError, EvaluateError


def fails_with(error: BaseException) -> Metrics:
    raise error


def works() -> Metrics:
    return {"time": times([0.001, 0.003, 0.002], "ms")}


def benchmark(name: str, **cases: Callable[[], Metrics]) -> Benchmark:
    def plans(_bench: Bench) -> Iterable[Plan]:
        return [Plan(case, {"n": i}, measure) for i, (case, measure) in enumerate(cases.items())]

    def findings(_bench: Bench, done: Iterable[Case]) -> Iterable[Finding]:
        return [Finding("cases", len(list(done)), None, "counted")]

    return Benchmark(name, f"what {name} is", plans, findings)


class Log:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def begin(self, benchmark: Benchmark, n_cases: int) -> None:
        self.events.append(f"begin {benchmark.name} {n_cases}")

    def begin_case(self, name: str) -> None:
        self.events.append(f"case {name}")

    def end_case(self, case: Case) -> None:
        self.events.append(f"{case.name} {case.status}")

    def end(self, benchmark: object) -> None:
        self.events.append(f"end {benchmark.name}")  # type: ignore[attr-defined]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Runner]:
    def make(*benchmarks: Benchmark) -> Runner:
        monkeypatch.setattr(registry, "BENCHMARKS", {b.name: b for b in benchmarks})
        return Runner(pyane.device("emulator"), Settings(quick=True), contributor="@me", notes="n")

    return make


def test_every_outcome(run: Callable[..., Runner]) -> None:
    bench = benchmark(
        "b",
        good=works,
        skipped=partial(fails_with, Skip("no such engine")),
        budget=partial(fails_with, CompileBudgetError("119 used")),
        refused=partial(fails_with, CompileError("ANECCompile() FAILED")),
        wrong=partial(fails_with, WrongResult("y[0] should be 1")),
        status=partial(fails_with, EvaluateError("0x1d")),
        memory=partial(fails_with, MemoryError()),
    )
    log = Log()
    result = run(bench).run(["b"], log)
    cases = {case.name: case for case in result.benchmarks[0].cases}
    assert {name: (case.status, case.reason) for name, case in cases.items()} == {
        "good": ("ok", None),
        "skipped": ("skipped", "no such engine"),
        "budget": ("skipped", "119 used"),
        "refused": ("refused", "ANECCompile() FAILED"),
        "wrong": ("failed", "y[0] should be 1"),
        "status": ("failed", "0x1d"),
        "memory": ("failed", "out of memory"),
    }
    assert cases["good"].metrics["time"].median == 2.0
    assert result.benchmarks[0].findings[0].value == 7
    assert result.contributor == "@me"
    assert result.settings["quick"] is True
    assert result.device.kind == "emulator"
    validate(result.to_dict())
    assert log.events[:4] == ["begin b 7", "case good", "good ok", "case skipped"]
    assert log.events[-1] == "end b"


def test_a_bug_is_not_swallowed(run: Callable[..., Runner]) -> None:
    with pytest.raises(ZeroDivisionError):
        run(benchmark("b", bug=lambda: {"x": rate("x", [1 / 0])})).run(["b"])


def test_interrupt_keeps_what_was_measured(run: Callable[..., Runner]) -> None:
    first = benchmark("first", good=works)
    second = benchmark(
        "second", good=works, slow=partial(fails_with, KeyboardInterrupt()), never=works
    )
    bench = run(first, second)
    with pytest.raises(KeyboardInterrupt):
        bench.run(["all"])
    result = bench.result()
    validate(result.to_dict())
    assert [b.name for b in result.benchmarks] == ["first", "second"]
    assert [(c.name, c.status, c.reason) for c in result.benchmarks[1].cases] == [
        ("good", "ok", None),
        ("slow", "skipped", "interrupted"),
    ]


def test_reasons_tell_no_paths(run: Callable[..., Runner], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/Users/Jane Doe")
    text = (
        "failed; MIL kept in /Users/Jane Doe/tmp/x.mil and /private/var/folders/ab/T/pyane-1 "
        "(weights @model_path/weights/w.bin, 12 GB/s, 1/2, a//b)"
    )
    result = run(benchmark("b", bad=partial(fails_with, CompileError(text)))).run(["b"])
    assert result.benchmarks[0].cases[0].reason == (
        "failed; MIL kept in <path> and <path> "
        "(weights @model_path/weights/w.bin, 12 GB/s, 1/2, a//b)"
    )


def test_long_reasons_are_cut(run: Callable[..., Runner]) -> None:
    bench = benchmark(
        "b", bad=partial(fails_with, CompileError("x" * 9000)), mute=partial(fails_with, Skip(""))
    )
    cases = run(bench).run(["b"]).benchmarks[0].cases
    assert cases[0].reason is not None
    assert len(cases[0].reason) == runner.MAX_REASON
    assert cases[1].reason == "no reason given"


@pytest.mark.parametrize(
    ("names", "message"), [(["peek"], "got 'peek'"), ([], "got none"), (["all", "x"], "got 'x'")]
)
def test_unknown_benchmarks(names: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        registry.select(names)


def test_each_benchmark_once() -> None:
    every = list(registry.BENCHMARKS)
    assert [b.name for b in registry.select(["dispatch", "all", "dispatch"])] == [
        "dispatch",
        *(name for name in every if name != "dispatch"),
    ]
    # Those that the issue of a community report needs, all of them.
    assert set(every) == {
        *("peak", "sustained", "channels", "sram", "dispatch", "compile", "io"),
        *("conv-vs-matmul", "int8", "training", "qos"),
    }


# -- sampling


class Clock:
    """Time that passes only when told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def work(self, seconds: float) -> Callable[[], None]:
        def action() -> None:
            self.n += 1
            self.now += seconds

        self.n = 0
        return action


def bench_with(**settings: object) -> Bench:
    device = pyane.device("emulator")
    return Bench(device, Runner(device).result().device, Settings(**settings))  # type: ignore[arg-type]


def test_sampling_stops_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    bench = bench_with(seconds=1.0)
    seconds = bench.sample(clock.work(0.125))
    assert seconds == [0.125] * 9  # The one during which the second ends included.
    assert clock.n == 9 + 3  # Warm-up


def test_sampling_takes_the_fewest_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    bench = bench_with(seconds=1.0, min_runs=5)
    assert len(bench.sample(clock.work(7.0))) == 5
    assert clock.n == 5 + 1


def test_sampling_takes_no_more_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    bench = bench_with(seconds=100.0, max_runs=50)
    assert len(bench.sample(clock.work(1e-6))) == 50
    assert len(bench.sample(clock.work(1e-6), times_as_many=3)) == 150
    assert len(bench.sample(clock.work(1.0), part=0.02)) == 5
    assert len(bench_with(limit=10.0).sample(clock.work(8.0))) == 2


def test_what_would_take_too_long_is_skipped() -> None:
    bench = bench_with(limit=10.0, min_runs=5)
    bench.expect(1e18)  # Nothing is known of the rate yet.
    bench.rate_metrics([0.5, 1.0, 2.0], 1e9)  # 1 GFLOP/s in the median
    bench.expect(1e9)
    with pytest.raises(Skip, match=r"would take 14 s for 7 runs at 1 GFLOP/s.* limit is 10 s"):
        bench.expect(2e9)


def test_collection_waits_and_comes_back() -> None:
    import gc  # noqa: PLC0415

    seen = []
    bench_with(seconds=0, min_runs=1).sample(lambda: seen.append(gc.isenabled()))
    assert not any(seen)
    assert gc.isenabled()


def test_rates_are_of_the_cpu_not_of_the_imitated_chip() -> None:
    device = pyane.device("emulator:m4max:strict")
    bench = Bench(device, Runner(device).result().device, Settings())
    assert bench.facts.chip == "m4max"
    assert bench.peak is not None
    assert "this CPU's fp32 multiply-adds" in bench.peak[1]
    metrics = bench.rate_metrics([0.5], 1e12)
    assert metrics["time"].samples == (500.0,)
    assert metrics["rate"].samples == (2.0,)
    assert metrics["of_peak"].samples[0] == pytest.approx(200 / bench.peak[0], rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seconds": -1}, "seconds must be from 0 to 3600, got -1"),
        ({"min_runs": 0}, "got 0 and 500"),
        ({"min_runs": 9, "max_runs": 8}, "got 9 and 8"),
        ({"limit": 0}, "limit must be positive"),
        ({"weight_records": "best"}, "must be one of official, hand-made, got 'best'"),
    ],
)
def test_settings_out_of_range(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Settings(**settings)  # type: ignore[arg-type]
