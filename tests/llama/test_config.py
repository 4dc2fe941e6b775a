from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from pyane.errors import ConfigError, ShapeError
from pyane.llama import PRESETS, Config, Parameters

SMALL: dict[str, Any] = {
    "dim": 24,
    "hidden_dim": 40,
    "n_layers": 2,
    "n_heads": 6,
    "n_kv_heads": 3,
    "vocab_size": 11,
    "seq_len": 7,
}


def test_stories110m_has_the_reports_parameter_count() -> None:
    config = PRESETS["stories110m"]
    embedding = config.vocab_size * config.dim
    assert config.n_parameters == 109_529_856
    assert round(config.n_parameters / 1e6, 2) == 109.53
    assert round(embedding / 1e6, 2) == 24.58
    assert round((config.n_parameters - embedding) / 1e6, 2) == 84.95
    assert config.size_text == "109.53M parameters (84.95M + 24.58M embedding)"
    assert PRESETS["stories260k"].size_text == "260,032 parameters"


def test_qwen3_has_the_published_parameter_count() -> None:
    config = PRESETS["qwen3-0.6b"]
    # The sum of the tensors in Qwen/Qwen3-0.6B's model.safetensors, the tied lm_head counted once.
    assert config.n_parameters == 596_049_920
    assert config.n_embedding_parameters == 155_582_464
    assert (config.q_dim, config.kv_dim, config.head_dim) == (2048, 1024, 128)
    assert config.parameter_shapes["rms_k_weight"] == (28, 128)


def test_heads_may_be_wider_than_their_share() -> None:
    config = Config(**SMALL | {"n_heads": 7, "n_kv_heads": 7, "head_dim": 10})
    assert config.parameter_shapes["wq"] == (2, 70, 24)
    assert config.parameter_shapes["wo"] == (2, 24, 70)
    assert Config(**SMALL) == Config(**SMALL, head_dim=4)
    assert Config(**SMALL) != Config(**SMALL, head_dim=6)
    assert Config(**dataclasses.asdict(config)) == config


@pytest.mark.parametrize("tied", [True, False])
def test_parameter_count_is_the_sum_of_the_shapes(tied: bool) -> None:
    for preset in PRESETS.values():
        config = dataclasses.replace(preset, tied_classifier=tied)
        assert "rms_q_weight" not in config.parameter_shapes or config.qk_norm
        shapes = config.parameter_shapes
        assert ("wcls" in shapes) is not tied
        assert config.n_parameters == sum(int(np.prod(shape)) for shape in shapes.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": 0}, "dim must be between 1 and 2147483647, got 0"),
        ({"hidden_dim": -4}, "hidden_dim must be between .* got -4"),
        ({"n_layers": 2.0}, "n_layers must be an int, got 2.0"),
        ({"vocab_size": True}, "vocab_size must be an int, got True"),
        ({"seq_len": 2**31}, "seq_len must be between .* got 2147483648"),
        ({"n_heads": 7}, "n_heads must divide dim = 24 unless head_dim is given, got 7"),
        ({"head_dim": 5}, "head_dim must be even, .* got 5"),
        ({"head_dim": -2}, "head_dim must be between 1 and 2147483647, got -2"),
        ({"n_heads": 0}, "n_heads must be between .* got 0"),
        ({"qk_norm": "yes"}, "qk_norm must be a bool, got 'yes'"),
        ({"n_kv_heads": 4}, "n_kv_heads must divide n_heads = 6, got 4"),
        ({"n_heads": 24, "n_kv_heads": 1}, "must be even.* got 24 / 24 = 1"),
        ({"tied_classifier": 1}, "tied_classifier must be a bool, got 1"),
        ({"norm_eps": 0.0}, "norm_eps must be between 0 and 1, got 0.0"),
        ({"rope_theta": float("nan")}, "rope_theta must be finite and above 1, got nan"),
    ],
)
def test_config_refuses(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config(**{**SMALL, **change})


def test_views_tile_the_flat_buffer() -> None:
    config = Config(**SMALL, tied_classifier=False)
    parameters = Parameters(config)
    for number, (_, view) in enumerate(parameters.items()):
        np.copyto(view, number + 1)
    assert parameters.flat.all()
    start = 0
    for number, name in enumerate(parameters):
        part = parameters.slices[name]
        assert part.start == start
        assert (parameters.flat[part] == number + 1).all()
        start = part.stop
    assert start == config.n_parameters
    assert parameters["wk"].shape == (2, config.kv_dim, config.dim)
    assert np.shares_memory(parameters.classifier, parameters["wcls"])


@pytest.mark.parametrize(
    "flat", [np.zeros(5, np.float32), np.zeros((1, 5), np.float32), np.zeros(20_000, np.float64)]
)
def test_parameters_refuse_a_buffer_that_does_not_fit(flat: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="contiguous float32 array of shape"):
        Parameters(Config(**SMALL), flat)


def test_init_is_seeded_and_scaled() -> None:
    config = PRESETS["stories260k"]
    first = Parameters(config).init(np.random.default_rng(3))
    again = Parameters(config).init(np.random.default_rng(3))
    other = Parameters(config).init(np.random.default_rng(4))
    assert first.flat.tobytes() == again.flat.tobytes()
    assert (first.flat != other.flat).any()
    assert (first["rms_att_weight"] == 1).all()
    # A sample deviation of n numbers strays from the true one by sigma / sqrt(2 n); 5 of those.
    for name, scale in [("wq", 0.02), ("w2", 0.02), ("w3", 0.02 / 10**0.5), ("wo", 0.02 / 10**0.5)]:
        view = first[name]
        assert abs(view.std() - scale) < 5 * scale / np.sqrt(2 * view.size), name
