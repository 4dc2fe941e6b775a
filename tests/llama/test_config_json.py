"""Sizes of published models, by their config.json."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from pyane.errors import CheckpointError
from pyane.llama import PRESETS
from pyane.llama.config_json import config_from_json, config_to_huggingface, read_config

# The keys of Qwen/Qwen3-0.6B's config.json that matter, as published.
QWEN3: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "head_dim": 128,
    "hidden_act": "silu",
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "max_position_embeddings": 40960,
    "max_window_layers": 28,
    "model_type": "qwen3",
    "num_attention_heads": 16,
    "num_hidden_layers": 28,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "sliding_window": None,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "use_sliding_window": False,
    "vocab_size": 151936,
}
LLAMA3: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-05,
    "rope_theta": 500000.0,
    "rope_scaling": None,
    "tie_word_embeddings": False,
    "vocab_size": 128256,
}


def test_qwen3_is_the_preset() -> None:
    config = config_from_json({**QWEN3, "max_position_embeddings": 256}, "qwen3")
    assert config == PRESETS["qwen3-0.6b"]


def test_llama3_8b() -> None:
    config = config_from_json(LLAMA3, "llama3")
    assert (config.head_dim, config.kv_dim, config.rope_theta) == (128, 1024, 500000.0)
    assert not config.qk_norm
    assert config.n_parameters == 8_030_261_248  # meta-llama/Meta-Llama-3-8B's published size


def test_what_a_file_leaves_out_is_what_transformers_assumes() -> None:
    given = {k: v for k, v in LLAMA3.items() if "rope" not in k and k != "rms_norm_eps"}
    del given["num_key_value_heads"], given["tie_word_embeddings"]
    config = config_from_json(given, "llama3")
    assert (config.rope_theta, config.norm_eps, config.n_kv_heads) == (10000.0, 1e-6, 32)
    assert not config.tied_classifier


@pytest.mark.parametrize("name", PRESETS)
def test_both_ways(name: str, tmp_path: Path) -> None:
    config = PRESETS[name]
    for values in (dataclasses.asdict(config), config_to_huggingface(config)):
        (tmp_path / "config.json").write_text(json.dumps(values))
        assert read_config(tmp_path / "config.json") == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model_type": "gpt2"},
            "f.json: model_type must be one of llama, mistral, qwen3, got 'gpt2'",
        ),
        ({"rope_scaling": {"factor": 8.0}}, r"rope_scaling must be None, got {'factor': 8.0}"),
        ({"num_attention_heads": 3}, "f.json: Config: n_heads must divide dim = 4096"),
        ({"head_dim": 127}, "f.json: Config: head_dim must be even"),
    ],
)
def test_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        config_from_json({**LLAMA3, **change}, "f.json")
