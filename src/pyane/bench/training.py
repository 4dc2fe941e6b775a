"""Training steps of a Llama 2, as the community's report has them.

Static: weights are baked in; gradients of ten steps add up, then Adam, then everything is compiled
again ("compile per 10"). Dynamic: weights are inputs, Adam after every step, nothing is compiled.
A step's time is the whole of it, without compiling; its rate counts the device's part only,
whereas the report gives utilisation as a percentage of 15.8 TFLOP/s on every chip.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from .._core.train import adam_update
from ..errors import CompileBudgetError
from ..llama import PRESETS, Model, Parameters, create_model
from . import reference_loss
from .measure import Bench, Benchmark, Metrics, Plan, WrongResult, rate, times
from .result import Case, Finding, Metric

STEPS = 20
STEPS_PER_COMPILE = 10
LEARNING_RATE = 1e-4
#: How far the first loss may be from NumPy's, in nats, and the slope of NumPy's loss along the
#: gradient from the gradient's square, relative to it. fp16 layers with fp32 sums are off by 1e-4 and
#: 1e-3 (stories110m); how far engines are is not known, but a wrong kernel is further.
TOLERANCES = {"ieee": (0.002, 0.005)}
TOLERANCES_ELSEWHERE = (0.05, 0.05)


def _plans(bench: Bench) -> Iterable[Plan]:
    for preset in ("stories260k",) if bench.settings.quick else ("stories260k", "stories110m"):
        config = PRESETS[preset]
        for pipeline in ("static", "dynamic"):
            name = f"{preset}_{pipeline}"
            parameters = {
                "preset": preset,
                "pipeline": pipeline,
                "model_parameters": config.n_parameters,
                "sequence": config.seq_len,
                "batch": 1,
                "steps": STEPS,
                "steps_per_update": STEPS_PER_COMPILE if pipeline == "static" else 1,
            }
            yield Plan(name, parameters, partial(_measure, bench, preset, pipeline))


def _measure(bench: Bench, preset: str, pipeline: str) -> Metrics:
    config = PRESETS[preset]
    rng = bench.rng(preset)
    parameters = Parameters(config).init(rng)
    tokens = rng.integers(0, config.vocab_size, config.seq_len + 1, np.int32)
    with create_model(config, parameters, device=bench.device, pipeline=pipeline) as model:
        start = time.perf_counter()
        model.upload_weights()
        compiling = [time.perf_counter() - start]
        check(model, tokens, bench.facts.numerics)
        steps, on_device, more, losses = _train(model, tokens, pipeline)
    if not losses[-1] < losses[0]:
        msg = f"loss must fall over {STEPS} steps on the same text, got {losses[0]}, {losses[-1]}"
        raise WrongResult(msg)
    flops, _ = model.flops_per_step
    metrics = {
        "time": times(steps, "ms"),
        "ane_time": times(on_device, "ms"),
        "compile": times([*compiling, *more], "ms"),
        **{k: v for k, v in bench.rate_metrics(steps, flops).items() if k == "rate"},
        "loss": Metric("nats", "lower", (losses[-1],)),
    }
    if bench.peak is not None:
        used = [100 * r / bench.peak[0] for r in metrics["rate"].samples]
        metrics["utilisation"] = rate("%", used)
    return metrics


def _train(
    model: Model, tokens: Any, pipeline: str
) -> tuple[list[float], list[float], list[float], list[float]]:
    """Seconds of each step, of its part on the device, of each compilation; and losses."""
    ids, targets = tokens[None, :-1], tokens[None, 1:]
    per_update = STEPS_PER_COMPILE if pipeline == "static" else 1
    m, v = model.parameters.zeros_like(), model.parameters.zeros_like()
    steps, on_device, compiling, losses = [], [], [], []
    model.zero_gradients()
    for i in range(1, STEPS + 1):
        start = time.perf_counter()
        losses.append(model.loss_and_gradients(ids, targets))
        on_device.append(model.timings["t_ane"])
        if i % per_update == 0:
            adam_update(
                model.parameters.flat,
                model.gradients.flat,
                m.flat,
                v.flat,
                step=i // per_update,
                learning_rate=LEARNING_RATE,
                grad_scale=1 / per_update,
                zero_grads=True,
            )
            if pipeline == "dynamic":
                model.upload_weights()
        steps.append(time.perf_counter() - start)
        if pipeline == "static" and i % per_update == 0:
            start = time.perf_counter()
            try:
                model.upload_weights()
            except CompileBudgetError:
                continue  # An engine's budget: the rest is timed with the weights as they are.
            compiling.append(time.perf_counter() - start)
    losses.append(model.loss(ids, targets))
    return steps, on_device, compiling, losses


def check(model: Model, tokens: Any, numerics: str) -> None:
    """Compare loss and gradient with NumPy.

    The gradient as a whole: along it NumPy's loss must rise as fast as it says.

    Raises:
        WrongResult: One of them is wrong.
    """
    model.zero_gradients()
    got = model.loss_and_gradients(tokens[None, :-1], tokens[None, 1:])
    exact = reference_loss.loss(model.parameters, tokens[:-1], tokens[1:])
    of_loss, of_slope = TOLERANCES.get(numerics, TOLERANCES_ELSEWHERE)
    if not abs(got - exact) <= of_loss:
        msg = f"first loss must be {exact:.4f}, as in NumPy, got {got:.4f}"
        raise WrongResult(msg)
    gradient = model.gradients.flat
    square = float(np.dot(gradient.astype(np.float64), gradient))
    step = 0.01 / max(square, 1e-30)  # A hundredth of a nat: far above rounding, still straight.
    ends = []
    for sign in (1, -1):
        moved = (model.parameters.flat + np.float32(sign * step) * gradient).astype(np.float32)
        at = Parameters(model.config, moved)
        ends.append(reference_loss.loss(at, tokens[:-1], tokens[1:]))
    slope = (ends[0] - ends[1]) / (2 * step)
    if not abs(slope / square - 1) <= of_slope:
        msg = f"NumPy's loss must rise along the gradient by {square:.4g}, got {slope:.4g}"
        raise WrongResult(msg)


def _findings(bench: Bench, cases: Sequence[Case]) -> Iterable[Finding]:
    yield from bench.peak_finding()
    for case in cases:
        if case.status == "ok" and case.parameters["pipeline"] == "static":
            ms = case.metrics["compile"].median
            rule = "median of compiling all kernels, once every ten steps"
            name = f"compile per {STEPS_PER_COMPILE}, {case.name}"
            yield Finding(name, round(ms / 1e3, 3), "s", rule)


BENCHMARK = Benchmark(
    "training", f"{STEPS} training steps of a Llama 2, static and dynamic", _plans, _findings
)
