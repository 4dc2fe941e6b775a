"""Models exchanged with Hugging Face's transformers give the same logits, both ways."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reference_llama as ref
from pyane.llama import Config, Parameters, checkpoint

pytestmark = pytest.mark.slow  # importing transformers takes seconds

CONFIG = Config(
    dim=24, hidden_dim=40, n_layers=2, n_heads=6, n_kv_heads=2, vocab_size=29, seq_len=32
)
TOKENS = np.array([[1, 5, 28, 0, 7, 7, 3, 19, 2, 11, 4, 23]])


@pytest.fixture(scope="module")
def libraries() -> tuple[Any, Any]:
    return pytest.importorskip("transformers"), pytest.importorskip("torch")


def reference_logits(config: Config, parameters: Parameters) -> np.ndarray:
    weights = {name: value.astype(np.float64) for name, value in parameters.items()}
    return ref.Llama(config, weights).forward(TOKENS)


def assert_same(logits: Any, expected: np.ndarray) -> None:
    """fp32 against fp64: some hundred sums of numbers near one."""
    np.testing.assert_allclose(logits.detach().numpy(), expected, rtol=1e-4, atol=2e-5)


def random_parameters(config: Config, rng: np.random.Generator) -> Parameters:
    values = 0.4 * rng.standard_normal(config.n_parameters)
    return Parameters(config, values.astype(np.float32))


VARIANTS: dict[str, dict[str, Any]] = {
    "tied": {},
    "untied": {"tied_classifier": False},
    "wide_heads": {"head_dim": 10},
    "qwen3": {"head_dim": 8, "qk_norm": True},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_written_by_us(
    name: str, libraries: tuple[Any, Any], rng: np.random.Generator, tmp_path: Path
) -> None:
    transformers, torch = libraries
    config = dataclasses.replace(CONFIG, rope_theta=3e4, norm_eps=1e-6, **VARIANTS[name])
    parameters = random_parameters(config, rng)
    checkpoint.write(tmp_path / "hf", config, parameters)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf").eval()
    kind = "Qwen3ForCausalLM" if config.qk_norm else "LlamaForCausalLM"
    assert type(model).__name__ == kind
    assert_same(model(torch.from_numpy(TOKENS)).logits, reference_logits(config, parameters))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_written_by_transformers(
    dtype: str, libraries: tuple[Any, Any], rng: np.random.Generator, tmp_path: Path
) -> None:
    transformers, torch = libraries
    torch.manual_seed(int(rng.integers(1 << 31)))
    settings = transformers.LlamaConfig(
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=3,
        vocab_size=29,
        max_position_embeddings=32,
        initializer_range=0.4,
        rms_norm_eps=1e-5,
    )
    model = transformers.LlamaForCausalLM(settings).to(getattr(torch, dtype)).eval()
    model.save_pretrained(tmp_path / "hf", max_shard_size="5kB")
    assert (tmp_path / "hf/model.safetensors.index.json").is_file()
    config, parameters = checkpoint.read(tmp_path / "hf")
    assert (config.n_kv_heads, config.rope_theta, config.norm_eps) == (3, 10000.0, 1e-5)
    # The weights as stored, sums in fp32.
    wide = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf", dtype=torch.float32)
    assert_same(wide(torch.from_numpy(TOKENS)).logits, reference_logits(config, parameters))


def test_qwen3_written_by_transformers(
    libraries: tuple[Any, Any], rng: np.random.Generator, tmp_path: Path
) -> None:
    transformers, torch = libraries
    torch.manual_seed(int(rng.integers(1 << 31)))
    settings = transformers.Qwen3Config(
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=8,
        vocab_size=29,
        max_position_embeddings=32,
        initializer_range=0.4,
        tie_word_embeddings=True,
    )
    model = transformers.Qwen3ForCausalLM(settings).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("norm.weight"):  # ones would hide a misplaced one
                weight.uniform_(0.5, 1.5)
    model.save_pretrained(tmp_path / "hf")
    config, parameters = checkpoint.read(tmp_path / "hf")
    assert (config.qk_norm, config.head_dim, config.tied_classifier) == (True, 8, True)
    assert_same(model(torch.from_numpy(TOKENS)).logits, reference_logits(config, parameters))


def test_mistral_written_by_transformers(
    libraries: tuple[Any, Any], rng: np.random.Generator, tmp_path: Path
) -> None:
    transformers, torch = libraries
    torch.manual_seed(int(rng.integers(1 << 31)))
    settings = transformers.MistralConfig(
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        vocab_size=29,
        max_position_embeddings=32,
        sliding_window=None,
        initializer_range=0.4,
    )
    model = transformers.MistralForCausalLM(settings).eval()
    model.save_pretrained(tmp_path / "hf")
    config, parameters = checkpoint.read(tmp_path / "hf")
    assert_same(model(torch.from_numpy(TOKENS)).logits, reference_logits(config, parameters))
