"""Every benchmark in small: it runs, its figures make sense, and it notices a wrong device."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import pyane
import reference_llama
from pyane.bench import (
    channels,
    compile,
    conv_vs_matmul,
    int8,
    io,
    peak,
    reference_loss,
    sram,
    sustained,
    training,
)
from pyane.bench.measure import Bench, WrongResult
from pyane.bench.registry import BENCHMARKS
from pyane.bench.result import Benchmark, validate
from pyane.bench.runner import Runner
from pyane.bench.settings import Settings
from pyane.llama import Config, Parameters, create_model

SMALL_MODEL = Config(
    dim=16, hidden_dim=40, n_layers=2, n_heads=4, n_kv_heads=2, vocab_size=64, seq_len=32
)
SMALL = Settings(quick=True, seconds=0, min_runs=2)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "CONFIGURATIONS", ((4, 32, 8), (64, 96, 1), (2, 48, 33)))
    monkeypatch.setattr(sustained, "WINDOW_SECONDS", 0.02)
    monkeypatch.setattr(sustained, "SLICE_SECONDS", 0.002)
    monkeypatch.setattr(sustained, "DEPTH", 3)
    monkeypatch.setattr(channels, "CHANNELS", (1, 3, 16, 511, 512))
    monkeypatch.setattr(sram, "WEIGHT_CHANNELS", (16, 100))
    monkeypatch.setattr(sram, "ACTIVATION_SPATIAL", (8, 64))
    monkeypatch.setattr(compile, "QUICK_SIZES", ((1, 16), (3, 32)))
    monkeypatch.setattr(conv_vs_matmul, "QUICK_SIZES", ((16, 24, 8), (7, 5, 3)))
    monkeypatch.setattr(int8, "QUICK_SIZES", ((64, 16), (33, 5)))
    monkeypatch.setattr(io, "SIZES", {"tiny": 100})
    monkeypatch.setattr(training, "PRESETS", {"stories260k": SMALL_MODEL})


def run(name: str, device: str = "emulator") -> Benchmark:
    result = Runner(pyane.device(device), SMALL).run([name])
    validate(result.to_dict())
    return result.benchmarks[0]


@pytest.mark.parametrize("name", list(BENCHMARKS))
def test_runs(name: str) -> None:
    found = run(name)
    assert found.name == name
    assert found.cases
    for case in found.cases:
        if name == "qos":
            assert (case.status, case.reason) == (
                "skipped",
                "the emulator takes no notice of quality of service",
            )
            continue
        assert (case.status, case.reason) == ("ok", None)
        for metric in case.metrics.values():
            assert all(sample > 0 for sample in metric.samples)
    assert all(finding.rule for finding in found.findings)


class Corrupted:
    """A device whose results are off: by a factor, in the last element only."""

    def __init__(self, device: pyane.Device) -> None:
        self._device = device

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)

    def compile(self, *args: Any, **options: Any) -> Any:
        kernel = self._device.compile(*args, **options)
        honest = kernel.evaluate

        def evaluate() -> None:
            honest()
            for y in kernel.outputs.values():
                y.reshape(-1)[-1] *= np.float16(1.5)
                y.reshape(-1)[-1] += np.float16(0.5)

        kernel.evaluate = evaluate
        return kernel


@pytest.mark.parametrize(
    "name",
    ["peak", "sustained", "channels", "sram", "dispatch", "compile", "conv-vs-matmul", "int8"],
)
def test_wrong_numbers_are_not_timed(name: str) -> None:
    device: Any = Corrupted(pyane.device("emulator"))
    found = Runner(device, SMALL).run([name]).benchmarks[0]
    cases = [case for case in found.cases if case.name != "parse_256x64"]
    assert {case.status for case in cases} == {"failed"}
    assert all("should be" in (c.reason or "") or "must be" in (c.reason or "") for c in cases)


def test_figures_belong_together() -> None:
    case = run("peak").cases[0]
    assert case.parameters["gflop"] == 2 * 4 * 32**2 * 8 / 1e9
    gflop = float(case.parameters["gflop"] or 0)
    for ms, tflops in zip(case.metrics["time"].samples, case.metrics["rate"].samples, strict=True):
        assert tflops == pytest.approx(gflop / ms, rel=1e-4)


def test_peak_has_upstreams_ten_and_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    sizes = peak.CONFIGURATIONS
    assert len(sizes) == len(set(sizes))
    assert sum(spatial == 64 for _, _, spatial in sizes) == 10
    assert [s for d, c, s in sizes if (d, c) == (128, 512)] == [64, 128, 256, 512, 1024, 2048]


def test_52_numbers_of_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert len(channels.CHANNELS) == 52
    assert list(channels.CHANNELS) == sorted(set(channels.CHANNELS))
    assert channels.CHANNELS[0] == 1
    assert channels.CHANNELS[-1] == 4096
    assert 512 in channels.CHANNELS


@pytest.mark.parametrize(
    ("chip", "taken"), [("m1", "none"), ("m3pro", "512"), ("m4", "all"), ("m5", "all")]
)
def test_channels_as_the_community_reported(chip: str, taken: str) -> None:
    """M1: every size fails. M3 Pro: 512 only. M4, M5: flexible. With whole records: all."""
    found = run("channels", f"emulator:{chip}:strict")
    assert [finding.value for finding in found.findings] == ["all", taken]
    refused = [case for case in found.cases if case.status == "refused"]
    assert all(case.parameters["weight_records"] == "hand-made" for case in refused)
    assert all("[ANE09" in (case.reason or "") for case in refused)
    if chip == "m3pro":
        reason = next(case.reason for case in refused if case.parameters["channels"] == 511)
        assert "size must be 522242 bytes, got 524288 [ANE091 weight-record-size]" in (reason or "")


@pytest.mark.parametrize(("chip", "status"), [("m1", "refused"), ("m3pro", "ok"), ("m5", "ok")])
def test_peak_of_the_report_with_the_records_of_the_report(
    chip: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAIL on M1, measured on M3 Pro and M5."""
    monkeypatch.setattr(peak, "CONFIGURATIONS", ((3, 512, 8),))
    settings = Settings(quick=True, seconds=0, min_runs=1, weight_records="hand-made")
    runner = Runner(pyane.device(f"emulator:{chip}:strict"), settings)
    assert runner.run(["peak"]).benchmarks[0].cases[0].status == status


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ([10, 10, 9, 4, 4], (3, 4)),
        ([10, 10, 9, 4, 8.5], None),  # It comes back.
        ([5, 8, 10, 10, 10], None),
        ([10, 8.1, 7.9, 7], (2, 3)),
        ([10, 1], (1, 2)),
        ([10], None),
        ([], None),
    ],
)
def test_cliff(rates: list[float], expected: tuple[float, float] | None) -> None:
    points = [(float(i), rate) for i, rate in enumerate(rates, 1)]
    assert sram.find_cliff(points) == expected


def test_cold_programs_were_never_seen_before(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    honest = Bench.compile

    def noting(self: Bench, program: Any, weights: Any = None) -> Any:
        seen.append(b"".join(bytes(data) for data in (weights or {}).values()))
        return honest(self, program, weights)

    monkeypatch.setattr(Bench, "compile", noting)
    run("compile")
    cold = 2 * compile.COLD_RUNS
    assert len(set(seen)) == cold + 2  # And the two that are compiled again and again.
    first = set(seen)
    seen.clear()
    run("compile")
    assert len(first & set(seen)) == 2


@pytest.mark.parametrize("tied", [True, False])
def test_reference_loss(tied: bool, rng: np.random.Generator) -> None:
    config = replace(SMALL_MODEL, dim=24, vocab_size=37, seq_len=9, tied_classifier=tied)
    parameters = Parameters(config).init(rng)
    parameters.flat[...] += rng.normal(0, 0.05, parameters.flat.size).astype(np.float32)
    tokens = rng.integers(0, 37, 10)
    exact = reference_llama.Llama(
        config, {name: array.astype(np.float64) for name, array in parameters.items()}
    ).loss(tokens[None, :-1], tokens[None, 1:])
    got = reference_loss.loss(parameters, tokens[:-1], tokens[1:])
    assert got == pytest.approx(exact, abs=1e-5)


def training_model(rng: np.random.Generator) -> tuple[Any, Any]:
    config = training.PRESETS["stories260k"]
    model = create_model(config, Parameters(config).init(rng), device="emulator")
    return model, rng.integers(0, config.vocab_size, config.seq_len + 1, np.int32)


def test_training_is_checked(rng: np.random.Generator) -> None:
    model, tokens = training_model(rng)
    training.check(model, tokens, "ieee")
    honest = model.loss_and_gradients

    def wrong_loss(*args: Any) -> float:
        return float(honest(*args)) + 0.003

    model.loss_and_gradients = wrong_loss
    with pytest.raises(WrongResult, match=r"first loss must be \d\.\d+, as in NumPy, got"):
        training.check(model, tokens, "ieee")

    def wrong_gradient(*args: Any) -> float:
        loss = honest(*args)
        model.gradients["token_embedding_table"][...] *= 1.05
        return float(loss)

    model.loss_and_gradients = wrong_gradient
    with pytest.raises(WrongResult, match="NumPy's loss must rise along the gradient by"):
        training.check(model, tokens, "ieee")


def test_training_figures() -> None:
    static, dynamic = run("training").cases
    for case in (static, dynamic):
        assert case.metrics["time"].runs == case.metrics["ane_time"].runs == training.STEPS
        assert case.metrics["ane_time"].median <= case.metrics["time"].median
        assert case.metrics["loss"].median < math.log(64) + 0.2
    # Before the first step, and after each ten.
    assert static.metrics["compile"].runs == 1 + training.STEPS // training.STEPS_PER_COMPILE
    assert dynamic.metrics["compile"].runs == 1


def test_static_training_within_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine compiles about 119 programs in a process: fewer than two updates need."""
    device = pyane.device("emulator:m1:strict")
    budget = device.budget()
    assert budget is not None
    monkeypatch.setenv("PYANE_COMPILE_BUDGET", str(budget.compiles + 15))
    result = Runner(pyane.device("emulator:m1:strict"), SMALL).run(["training"])
    static = result.benchmarks[0].cases[0]
    assert (static.status, static.reason) == ("ok", None)
    assert static.metrics["time"].runs == training.STEPS
    assert static.metrics["compile"].runs == 1
