"""Training steps: counts by hand, the published rows, and what is refused."""

from __future__ import annotations

import dataclasses
import math

import pytest

from pyane import chips, llama
from pyane.errors import ConfigError
from pyane.perf import predict_training
from pyane.perf.constants import constants, fitted
from pyane.perf.model import program_terms, total
from pyane.perf.training import matmul_rate, stream_rates
from pyane.perf.training_work import training_work
from pyane.report import community

SMALL = llama.Config(
    dim=32, hidden_dim=80, n_layers=3, n_heads=4, n_kv_heads=2, vocab_size=100, seq_len=16
)
STATIC = llama.PipelineOptions(pipeline="static")
DYNAMIC = llama.PipelineOptions(pipeline="dynamic")


def test_evaluations_of_the_report() -> None:
    """72 a step in the static pipeline, 60 of them with weights; 108 in the dynamic."""
    config = llama.PRESETS["stories110m"]
    work = training_work(config, STATIC, 1, 256, 10)
    assert (work.n_evaluations, sum(times for _, times in work.compiled)) == (72, 60)
    other = training_work(config, DYNAMIC, 1, 256, 1)
    assert (other.n_evaluations, other.compiled) == (108, ())
    # "84.95M transformer": every matrix is multiplied forward and back, and by attention besides.
    linear = 2 * 2 * 256 * (84.95e6 - 12 * 2 * 768)
    assert work.engine_flops == pytest.approx(linear + 6 * 2 * 256**2 * 768 * 12, rel=1e-3)
    in_programs = sum(times * program.matrix_flops for program, times in work.programs)
    assert in_programs == pytest.approx(work.engine_flops, rel=1e-3)


def test_counts_of_a_small_step() -> None:
    work = training_work(SMALL, STATIC, 2, 16, 4)
    tokens, layer = 32, 2 * 32 * 32 + 2 * 16 * 32 + 3 * 80 * 32
    assert work.cpu_flops == 2 * tokens * (3 * layer + 3 * 32 * 100)
    weights = sum(program.weight_bytes for program, _ in work.programs)
    # Every matrix forward and back; norms forward, and of the rotations what kernels bake in.
    assert weights >= 2 * 2 * layer
    boundary = 3 * sum(program.boundary_bytes for program, _ in work.programs)
    assert work.boundary_bytes == boundary
    parameters = SMALL.n_parameters
    passes = 4 * tokens * 100 + 12 * tokens * 32 * 3 + 2 * parameters + 7 * parameters / 4
    assert work.cpu_bytes == 3 * boundary + 4 * passes


def test_weights_that_are_inputs_are_converted_once_an_update() -> None:
    static = training_work(SMALL, STATIC, 1, 16, 1)
    dynamic = training_work(SMALL, DYNAMIC, 1, 16, 1)
    layer = 2 * 32 * 32 + 2 * 16 * 32 + 3 * 80 * 32
    assert dynamic.boundary_bytes > static.boundary_bytes + 3 * 2 * 2 * layer
    weights = 3 * 2 * (2 * layer + 2 * 32)  # matrices forward and back, two norms, three layers
    often = training_work(SMALL, DYNAMIC, 1, 16, 1).cpu_bytes
    rarely = training_work(SMALL, DYNAMIC, 1, 16, 10**9).cpu_bytes
    adam = 4 * 7 * SMALL.n_parameters
    assert often - rarely == pytest.approx(3 * weights + adam, rel=1e-6)


@pytest.mark.parametrize("options", [STATIC, DYNAMIC])
def test_classifier_on_the_device(options: llama.PipelineOptions) -> None:
    """Its product forward and that back by the input move over; its weight's gradient does not."""
    on_cpu = training_work(SMALL, options, 2, 16, 4)
    moved = dataclasses.replace(options, cls="ane")
    on_device = training_work(SMALL, moved, 2, 16, 4)
    product = 2 * 32 * 32 * 100
    assert on_cpu.cpu_flops - on_device.cpu_flops == 2 * product
    assert on_device.engine_flops - on_cpu.engine_flops == 2 * product
    assert on_device.n_evaluations == on_cpu.n_evaluations + 2
    flops = sum(times * program.matrix_flops for program, times in on_device.programs)
    before = sum(times * program.matrix_flops for program, times in on_cpu.programs)
    assert flops - before == 2 * product


def test_classifier_in_parts() -> None:
    """32000 logits are wider than an axis of M1 (16384), which takes them in two parts."""
    small = dataclasses.replace(SMALL, vocab_size=32000)
    options = dataclasses.replace(STATIC, cls="ane")
    assert training_work(small, options, 1, 16, 1, "m1").n_evaluations == 18 + 4
    assert training_work(small, options, 1, 16, 1, "m4").n_evaluations == 18 + 2


def test_parts_of_a_step() -> None:
    config = llama.PRESETS["stories110m"]
    prediction = predict_training(config, "m5pro")
    work = training_work(config, STATIC, 1, 256, 10)
    engine = 12 * sum(
        total(program_terms(program, constants("m5pro").likely, "loop"))
        for program, _ in work.programs
    )
    seconds = {term.name: term.seconds for term in prediction.terms}
    assert seconds == pytest.approx(
        {
            "engine": engine,
            "matrix products": work.cpu_flops / 1898e9,
            "memory passes": work.cpu_bytes / 130.4e9,
        }
    )
    assert prediction.seconds == pytest.approx(sum(seconds.values()))
    assert prediction.extra["engine_tflops"] == pytest.approx(
        work.engine_flops / prediction.seconds / 1e12
    )


@pytest.mark.parametrize("row", community.load().training, ids=lambda row: row.chip)
def test_rows_of_the_report(row: community.TrainingRow) -> None:
    """The target: every row's step within 25 %."""
    prediction = predict_training("stories110m", row.chip)
    assert 0.75 * row.ms_per_step.low <= 1e3 * prediction.seconds <= 1.25 * row.ms_per_step.high
    assert 1e3 * prediction.low <= row.ms_per_step.high
    assert 1e3 * prediction.high >= row.ms_per_step.low
    assert row.ane_tflops is not None
    tflops = prediction.extra["engine_tflops"]
    assert 0.75 * row.ane_tflops.low <= tflops <= 1.25 * row.ane_tflops.high
    assert row.compile_seconds_per_10 is not None
    compiling = 10 * prediction.extra["compile_seconds"]
    assert 0.75 * row.compile_seconds_per_10.low <= compiling
    assert compiling <= 1.25 * row.compile_seconds_per_10.high


def test_compiling_is_shared_by_the_steps_of_an_update() -> None:
    ten = predict_training("stories110m", "m4max", accumulation=10)
    one = predict_training("stories110m", "m4max", accumulation=1)
    assert one.extra["compile_seconds"] == pytest.approx(10 * ten.extra["compile_seconds"])
    assert one.seconds > ten.seconds  # Adam at every step
    assert (
        predict_training("stories110m", "m4max", pipeline="dynamic").extra["compile_seconds"] == 0
    )


def test_constant_weights_are_faster_than_inputs() -> None:
    for chip in ("m1", "m4pro", "m5"):
        static = predict_training("stories110m", chip, accumulation=10)
        dynamic = predict_training("stories110m", chip, pipeline="dynamic", accumulation=10)
        assert static.extra["engine_seconds"] < dynamic.extra["engine_seconds"]


def test_more_of_anything_takes_longer() -> None:
    base = predict_training(SMALL, "m2").seconds
    assert predict_training(SMALL, "m2", batch=2).seconds > base
    assert predict_training(SMALL, "m2", positions=32).seconds > base
    assert predict_training(dataclasses.replace(SMALL, n_layers=4), "m2").seconds > base
    assert predict_training(dataclasses.replace(SMALL, vocab_size=200), "m2").seconds > base


def test_cpu_rates() -> None:
    by_name = {chip.name: chip for chip in chips.all_chips()}
    assert matmul_rate(by_name["m5pro"]) == 1898e9
    assert matmul_rate(by_name["m5"]) == pytest.approx(1898e9 / 2)
    # One product stays on one die of an Ultra.
    assert matmul_rate(by_name["m3ultra"]) == pytest.approx(matmul_rate(by_name["m3max"]))
    first = fitted()["cpu_stream_gbps_m1"] * 1e9
    assert stream_rates(by_name["m1max"], fitted()) == (first, first, first)
    likely, slow, fast = stream_rates(by_name["m2max"], fitted())
    assert slow < likely < fast
    assert likely == pytest.approx(math.exp((2 * math.log(first) + math.log(130.4e9)) / 3))


@pytest.mark.parametrize("chip", ["m3", "m4", "m3pro"])
def test_bases_of_m3_and_m4_get_a_range_and_a_reason(chip: str) -> None:
    prediction = predict_training("stories110m", chip)
    assert prediction.high / prediction.low > 1.8
    assert any("rates are taken from the generations around it" in n for n in prediction.notes)
    assert any("nobody published a step on this chip" in note for note in prediction.notes)
    row = predict_training("stories110m", "m5")
    assert row.high / row.low < 1.4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"config": "stories111m"}, "no preset 'stories111m'; presets are stories260k"),
        ({"cls": "gpu"}, "cls must be one of cpu, ane, got 'gpu'"),
        ({"pipeline": "fast"}, "pipeline must be one of dynamic, static, got 'fast'"),
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"positions": -1}, "positions must be at least 1, got -1"),
        ({"accumulation": 0}, "accumulation must be at least 1, got 0"),
        ({"chip": "m9"}, "m9"),
    ],
)
def test_refusals(arguments: dict[str, object], message: str) -> None:
    given = {"config": "stories260k", "chip": "m1"} | arguments
    with pytest.raises(ConfigError, match=message):
        predict_training(**given)  # type: ignore[arg-type]
