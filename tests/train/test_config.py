from __future__ import annotations

import dataclasses
import itertools
import json

import pytest

from pyane import llama
from pyane.errors import ConfigError
from pyane.train.config import RESUMABLE, TrainConfig
from pyane.train.schedule import LossScale, learning_rate


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "--steps must be at least 1, got 0"),
        ({"batch_size": -1}, "--batch-size must be at least 1, got -1"),
        ({"accumulation": 0}, "--accumulation must be at least 1"),
        ({"seq_len": 0}, "--seq-len must be at least 1"),
        ({"threads": 0}, "--threads must be at least 1"),
        ({"threads": 1025}, "--threads must be at most 1024, got 1025"),
        ({"threads": 10**20}, "--threads must be at most 1024, got 1"),
        ({"steps": 1.5}, "--steps must be a whole number, got 1.5"),
        ({"steps": True}, "--steps must be a whole number, got True"),
        ({"steps": "3"}, "--steps must be a whole number, got '3'"),
        ({"steps": None}, "--steps must be a whole number, got None"),
        ({"learning_rate": 0.0}, "--learning-rate must be positive, got 0.0"),
        ({"learning_rate": float("nan")}, "--learning-rate must be a finite number, got nan"),
        ({"learning_rate": "fast"}, "--learning-rate must be a finite number, got 'fast'"),
        ({"min_learning_rate": 1.5}, r"--min-learning-rate must be in \[0, 1\], got 1.5"),
        ({"beta2": 1.0}, r"--beta2 must be in \[0, 1\), got 1.0"),
        ({"weight_decay": -0.1}, "--weight-decay must be at least 0"),
        ({"clip_norm": -1.0}, "--clip-norm must be at least 0"),
        ({"held_out_fraction": 1.0}, "--held-out-fraction must be in"),
        ({"loss_scale": 1000.0}, "--loss-scale must be a power of two, at least 1, got 1000"),
        ({"loss_scale": 0.5}, "--loss-scale must be a power of two"),
        ({"seed": -1}, "--seed must be at least 0"),
        ({"seed": 1 << 64}, r"--seed must be below 2\^64"),
        ({"story_bytes": 1 << 31}, "--story-bytes must be at most 2147483647"),
        ({"story_bytes": (1 << 30) + 1}, "--story-bytes must be at most 1073741824"),
        ({"steps": 10**12}, "--steps must be at most 2147483647, got 1000000000000"),
        ({"schedule": "step"}, "--schedule must be cosine, linear or constant, got step"),
        ({"pipeline": None}, "--pipeline must be text, got None"),
        ({"blobs": "many"}, "--blobs must be per-matrix or single, got many"),
        ({"numerics": "hardware"}, "--numerics hardware needs to know whose: add --chip"),
        ({"compact_vocabulary": 1}, "--compact-vocabulary must be true or false, got 1"),
        ({"patience": -1}, "--patience must be at least 0"),
        ({"warm_up_steps": 1}, "'warm_up_steps'; did you mean 'warmup_steps'"),
        ({"data": 7}, "--data must be text, got 7"),
        ({"optimizer": "sgd"}, "unknown training setting 'optimizer'; known: accumulation"),
    ],
)
def test_bad_settings_name_the_flag(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig.from_dict(settings)


def test_round_trip_through_json() -> None:
    config = TrainConfig(steps=7, data="x.txt", learning_rate=1, threads=3)
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("preset", list(llama.PRESETS))
def test_every_preset_has_settings(preset: str) -> None:
    config = TrainConfig.for_preset(preset, steps=3)
    assert (config.preset, config.steps) == (preset, 3)


def test_every_setting_may_be_given_with_a_preset() -> None:
    for name, value in TrainConfig(patience=3).to_dict().items():
        if name != "preset":
            assert getattr(TrainConfig.for_preset("stories15m", **{name: value}), name) == value


def test_static_pipeline_takes_ten_micro_batches() -> None:
    assert TrainConfig.for_preset("stories260k", pipeline="static").accumulation == 10
    assert (
        TrainConfig.for_preset("stories260k", pipeline="static", accumulation=2).accumulation == 2
    )
    assert TrainConfig.for_preset("stories260k", pipeline="dynamic").accumulation == 1


def test_every_field_is_documented() -> None:
    assert TrainConfig.__doc__ is not None
    for field in dataclasses.fields(TrainConfig):
        assert f"        {field.name}: " in TrainConfig.__doc__
    assert {f.name for f in dataclasses.fields(TrainConfig)} >= RESUMABLE


def test_learning_rate_warms_up_and_falls() -> None:
    config = TrainConfig(steps=100, warmup_steps=10, learning_rate=1.0, min_learning_rate=0.1)
    rates = [learning_rate(config, i) for i in range(100)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert all(a > b for a, b in itertools.pairwise(rates[9:]))
    assert rates[54] == pytest.approx(0.55, abs=1e-12)  # the middle of the cosine
    # A third of the way, at 60 degrees, where a straight line would have fallen by a third.
    assert rates[39] == pytest.approx(0.1 + 0.9 * 0.75, abs=1e-12)
    assert rates[99] == pytest.approx(0.1)
    assert learning_rate(config, 1000) == pytest.approx(0.1)


def test_other_schedules() -> None:
    settings = {"steps": 10, "warmup_steps": 2, "learning_rate": 1.0, "min_learning_rate": 0.2}
    config = TrainConfig(schedule="linear", **settings)
    rates = [learning_rate(config, i) for i in range(10)]
    assert rates == pytest.approx([0.5, 1.0, *(1 - 0.1 * i for i in range(1, 9))])
    config = TrainConfig(schedule="constant", **settings)
    assert [learning_rate(config, i) for i in range(12)] == pytest.approx([0.5] + [1.0] * 11)


@pytest.mark.parametrize("warmup", [0, 1, 3, 100])
def test_short_runs(warmup: int) -> None:
    config = TrainConfig(steps=3, warmup_steps=warmup, learning_rate=1.0)
    assert all(0 < learning_rate(config, i) <= 1 for i in range(3))


def test_loss_scale() -> None:
    scale = LossScale(1024.0)
    scale.update(overflowed=True)
    assert scale.value == 512
    for _ in range(1000):
        assert scale.value == 512
        scale.update(overflowed=False)
    assert scale.value == 1024
    scale.update(overflowed=False)
    scale.update(overflowed=True)
    assert (scale.value, scale.good_steps) == (512, 0)


def test_loss_scale_has_a_ceiling() -> None:
    scale = LossScale(2.0**16, good_steps=999)
    scale.update(overflowed=False)
    assert scale.value == 2.0**16


def test_a_preset_that_is_no_text() -> None:
    with pytest.raises(ConfigError, match=r"--preset must be text, got \['stories15m'\]"):
        TrainConfig.for_preset(["stories15m"])  # type: ignore[arg-type]
