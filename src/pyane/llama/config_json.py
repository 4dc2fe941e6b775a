"""A model's sizes as JSON: Hugging Face's keys, or pyane's own.

Hugging Face's models of type "llama", "mistral" and "qwen3" are Llama-like models as `Config` describes them, when
none of the options is set that would make them something else: biases, other activations, stretched
rotary frequencies, sliding windows. Those are refused by name.

Source: huggingface/transformers, configuration_llama.py, configuration_mistral.py, configuration_qwen3.py.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError, ConfigError
from .config import Config
from .json_file import read_json

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

_SIZES = {
    "hidden_size": "dim",
    "intermediate_size": "hidden_dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "num_key_value_heads": "n_kv_heads",
    "vocab_size": "vocab_size",
    "max_position_embeddings": "seq_len",
}
MODEL_TYPES = ("llama", "mistral", "qwen3")
# What must have one of these values, if it is there at all.
_ONLY: Mapping[str, tuple[Any, ...]] = {
    "hidden_act": ("silu", "swish"),
    "attention_bias": (False, None),
    "mlp_bias": (False, None),
    "use_sliding_window": (False, None),
    "partial_rotary_factor": (1, None),
    "rope_scaling": (None,),
    "quantization_config": (None,),
}
_ROPE_KEYS = frozenset({"rope_theta", "rope_type", "type", "partial_rotary_factor"})


def read_config(path: str | os.PathLike[str]) -> Config:
    """Sizes in a JSON file: a Hugging Face config.json, or an object with `Config`'s fields.

    Raises:
        CheckpointError: Not JSON, or no such model; names the key.
        OSError: It cannot be read.
    """
    path = Path(path)
    return config_from_json(read_json(path), str(path))


def config_from_json(values: Mapping[str, Any], source: str) -> Config:
    """Sizes in a JSON object.

    Args:
        values: Hugging Face's keys where there is "model_type" or "hidden_size", else the fields of
            `Config`. Of the former, unknown keys are ignored, as Hugging Face does.
        source: Name for messages.

    Raises:
        CheckpointError: A key is missing, or its value is not supported.
    """
    fields = (
        _from_huggingface(values, source)
        if "model_type" in values or "hidden_size" in values
        else dict(values)
    )
    known = {field.name for field in dataclasses.fields(Config)}
    required = {f.name for f in dataclasses.fields(Config) if f.default is dataclasses.MISSING}
    for name in fields:
        if name not in known:
            msg = f"{source}: unknown key '{name:.80}'; a model has {', '.join(sorted(known))}"
            raise CheckpointError(msg)
    missing = sorted(required - set(fields))
    if missing:
        msg = f"{source}: {', '.join(missing)} missing"
        raise CheckpointError(msg)
    try:
        return Config(**fields)
    except (ConfigError, TypeError) as error:
        msg = f"{source}: {error}"
        raise CheckpointError(msg) from error


def config_to_huggingface(config: Config, dtype: str = "float32") -> dict[str, Any]:
    """What Hugging Face's config.json holds for a model whose weights are stored as `dtype`."""
    with_qk_norm = config.qk_norm
    return {
        "architectures": ["Qwen3ForCausalLM" if with_qk_norm else "LlamaForCausalLM"],
        "model_type": "qwen3" if with_qk_norm else "llama",
        **{key: getattr(config, name) for key, name in _SIZES.items()},
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "attention_bias": False,
        **({} if with_qk_norm else {"mlp_bias": False}),
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "rope_scaling": None,
        "tie_word_embeddings": config.tied_classifier,
        "torch_dtype": dtype,
    }


def _from_huggingface(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    kind = values.get("model_type", "llama")
    if kind not in MODEL_TYPES:
        msg = f"{source}: model_type must be one of {', '.join(MODEL_TYPES)}, got {kind!r:.80}"
        raise CheckpointError(msg)
    for key, allowed in _ONLY.items():
        if key in values and values[key] not in allowed:
            msg = f"{source}: {key} must be {allowed[0]!r}, got {values[key]!r:.120}"
            raise CheckpointError(msg)
    fields = {name: values[key] for key, name in _SIZES.items() if values.get(key) is not None}
    if kind == "llama":
        fields.setdefault("n_kv_heads", values.get("num_attention_heads"))
    for key, name in _SIZES.items():
        if fields.get(name) is None:
            msg = f"{source}: {key} is missing"
            raise CheckpointError(msg)
    window, length = values.get("sliding_window"), fields["seq_len"]
    is_wide = type(window) is int and type(length) is int and window >= length
    if kind == "mistral" and window is not None and not is_wide:
        msg = (
            f"{source}: sliding_window must be null or at least max_position_embeddings = "
            f"{length!r:.80}, got {window!r:.80}; lower max_position_embeddings to use the model so far"
        )
        raise CheckpointError(msg)
    fields["head_dim"] = values.get("head_dim") or (128 if kind == "qwen3" else 0)
    fields["qk_norm"] = kind == "qwen3"
    fields["tied_classifier"] = values.get("tie_word_embeddings", False)
    fields["norm_eps"] = values.get("rms_norm_eps", 1e-6)
    fields["rope_theta"] = _rope_theta(values, source)
    for name in ("norm_eps", "rope_theta"):
        if type(fields[name]) not in (int, float):
            msg = f"{source}: {name} must be a number, got {fields[name]!r:.80}"
            raise CheckpointError(msg)
        fields[name] = float(fields[name])
    return fields


def _rope_theta(values: Mapping[str, Any], source: str) -> Any:
    """From `rope_theta`, or from the `rope_parameters` of transformers 5."""
    rope = values.get("rope_parameters")
    if rope is None:
        return values.get("rope_theta", 10000.0)
    kind = rope.get("rope_type", "default") if isinstance(rope, dict) else None
    if kind != "default" or set(rope) - _ROPE_KEYS:
        msg = f"{source}: rope_parameters must be of type 'default', got {rope!r:.120}"
        raise CheckpointError(msg)
    return rope.get("rope_theta", values.get("rope_theta", 10000.0))
