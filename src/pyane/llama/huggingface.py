"""Model folders as Hugging Face has them: config.json and safetensors.

Weights have other names there, one tensor per layer, and another order of a head's channels: RoPE turns
channel i with channel i + D/2 of a head, where llama2.c (and we) turn neighbours, 2i with 2i + 1.
`wq`, `wk` and the weights of their norms are permuted accordingly, which changes no bit.

Source: huggingface/transformers, convert_llama_weights_to_hf.py (permute), modeling_llama.py (rotate_half).
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from ..atomic_file import atomic_write
from ..errors import CheckpointError, ConfigError, ShapeError
from .config_json import config_from_json, config_to_huggingface, read_config
from .json_file import parse_json, read_json
from .parameters import Parameters
from .safetensors_file import DTYPES, SafetensorsFile, write_safetensors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .config import Config
    from .parameters import Float32Array

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_CONFIG_KEY = "pyane.config"
_TOP = {
    "token_embedding_table": "model.embed_tokens.weight",
    "rms_final_weight": "model.norm.weight",
    "wcls": "lm_head.weight",
}
_LAYER = {
    "rms_att_weight": "input_layernorm.weight",
    "wq": "self_attn.q_proj.weight",
    "wk": "self_attn.k_proj.weight",
    "wv": "self_attn.v_proj.weight",
    "wo": "self_attn.o_proj.weight",
    "rms_q_weight": "self_attn.q_norm.weight",
    "rms_k_weight": "self_attn.k_norm.weight",
    "rms_ffn_weight": "post_attention_layernorm.weight",
    "w1": "mlp.gate_proj.weight",
    "w2": "mlp.down_proj.weight",
    "w3": "mlp.up_proj.weight",
}
_TURNED = ("wq", "wk", "rms_q_weight", "rms_k_weight")


def is_huggingface(folder: Path) -> bool:
    """Whether a folder holds weights as Hugging Face stores them."""
    return any((folder / name).is_file() for name in (_SINGLE, _INDEX))


def read_huggingface(folder: str | os.PathLike[str]) -> tuple[Config, Parameters]:
    """Reads the model in a folder with config.json and model.safetensors (or its shards).

    float16 and bfloat16 are widened exactly. No code in the folder is run.

    Raises:
        CheckpointError: A file is missing or lies about its contents, a tensor is missing, superfluous
            or of another shape, a weight is not finite, or the model is not Llama-like.
        OSError: A file cannot be read.
    """
    folder = Path(folder)
    files = _open_files(folder)
    single = files.get(_TOP["rms_final_weight"])
    if single is not None and _CONFIG_KEY in single.metadata:
        return read_safetensors(single.path)
    return _read(folder, read_config(folder / "config.json"), files)


def read_safetensors(path: str | os.PathLike[str]) -> tuple[Config, Parameters]:
    """Reads a single file of `write_safetensors_model`, or one with config.json beside it.

    Raises:
        CheckpointError: As `read_huggingface`.
        OSError: A file cannot be read.
    """
    path = Path(path)
    file = SafetensorsFile(path)
    text = file.metadata.get(_CONFIG_KEY)
    if text is None:
        config = read_config(path.parent / "config.json")
    else:
        where = f"{path}: metadata {_CONFIG_KEY}"
        config = config_from_json(parse_json(text.encode(errors="replace"), where), where)
    return _read(path, config, dict.fromkeys(file.entries, file))


def _read(
    folder: Path, config: Config, files: Mapping[str, SafetensorsFile]
) -> tuple[Config, Parameters]:
    _check_tensors(folder, config, files)
    parameters = Parameters(config)
    for name, (weight, view) in _tensors(config, parameters).items():
        files[name].read(name, view)
        if weight in _TURNED:
            view[...] = _to_neighbours(view, config.head_dim)
    _check_tied_head(config, parameters, files)
    return config, parameters


def write_huggingface(
    folder: str | os.PathLike[str], config: Config, parameters: Parameters, dtype: str = "float32"
) -> None:
    """Writes a folder that Hugging Face's transformers load, whole or not at all.

    With float32, reading it back gives the same weights bit for bit.

    Args:
        folder: New or empty.
        config: Sizes.
        parameters: Weights.
        dtype: "float32", "float16" or "bfloat16", what the weights are rounded to.

    Raises:
        ConfigError: An unknown `dtype`.
        ShapeError: `parameters` belong to another config.
        CheckpointError: The folder holds something already, a weight does not fit into `dtype`, or the
            folder could not be written.
    """
    folder = Path(os.path.realpath(folder))
    _check_model("write_huggingface", config, parameters, dtype)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        msg = f"{folder}: must be new or an empty folder, so that nothing is overwritten"
        raise CheckpointError(msg)
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}.tmp")
    try:
        temporary.mkdir()
        with atomic_write(temporary / "config.json") as file:
            file.write(json.dumps(config_to_huggingface(config, dtype), indent=2).encode() + b"\n")
        _write(temporary / _SINGLE, config, parameters, dtype, {})
        temporary.rename(folder)
    except OSError as error:
        msg = f"{folder}: could not be written: {error.strerror or error}"
        raise CheckpointError(msg) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_safetensors_model(
    path: str | os.PathLike[str], config: Config, parameters: Parameters, dtype: str = "float32"
) -> None:
    """Writes a single file with the weights, and the sizes in its metadata, replacing `path` whole.

    The weights are as in a folder of `write_huggingface`; only the sizes are where others do not look.

    Raises:
        ConfigError: An unknown `dtype`.
        ShapeError: `parameters` belong to another config.
        CheckpointError: A weight does not fit into `dtype`, or writing failed; the old file is untouched.
    """
    _check_model("write_safetensors_model", config, parameters, dtype)
    sizes = json.dumps(config_to_huggingface(config, dtype))
    try:
        _write(Path(path), config, parameters, dtype, {_CONFIG_KEY: sizes})
    except OSError as error:
        msg = f"{path}: could not be written: {error.strerror or error}"
        raise CheckpointError(msg) from error


def _check_model(where: str, config: Config, parameters: Parameters, dtype: str) -> None:
    if dtype not in DTYPES:
        msg = f"--dtype must be one of {', '.join(DTYPES)}, got {dtype}"
        raise ConfigError(msg)
    if parameters.config.parameter_shapes != config.parameter_shapes:
        msg = f"{where}: parameters must be of {config}, got those of {parameters.config}"
        raise ShapeError(msg)


def _write(
    path: Path, config: Config, parameters: Parameters, dtype: str, metadata: Mapping[str, str]
) -> None:
    tensors = _tensors(config, parameters)
    shapes = {name: view.shape for name, (_, view) in tensors.items()}
    with atomic_write(path) as file:
        write_safetensors(file, shapes, _values(config, tensors), dtype, metadata)


def _tensors(config: Config, parameters: Parameters) -> dict[str, tuple[str, Float32Array]]:
    """Our weight and its view, one layer's, by Hugging Face's name."""
    found: dict[str, tuple[str, Float32Array]] = {}
    for weight, view in parameters.items():
        if weight in _TOP:
            found[_TOP[weight]] = (weight, view)
            continue
        for layer in range(config.n_layers):
            found[f"model.layers.{layer}.{_LAYER[weight]}"] = (weight, view[layer])
    return found


def _values(
    config: Config, tensors: Mapping[str, tuple[str, Float32Array]]
) -> Iterator[Float32Array]:
    for weight, view in tensors.values():
        yield _to_halves(view, config.head_dim) if weight in _TURNED else view


def _to_halves(rows: Float32Array, head_dim: int) -> Float32Array:
    """Channels of each head, in rows [heads * D, ...]: neighbours to halves."""
    pairs = rows.reshape(-1, head_dim // 2, 2, *rows.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(rows.shape)


def _to_neighbours(rows: Float32Array, head_dim: int) -> Float32Array:
    """The inverse of `_to_halves`."""
    halves = rows.reshape(-1, 2, head_dim // 2, *rows.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(rows.shape)


def _open_files(folder: Path) -> dict[str, SafetensorsFile]:
    """The file of each tensor."""
    if (folder / _SINGLE).is_file():
        file = SafetensorsFile(folder / _SINGLE)
        return dict.fromkeys(file.entries, file)
    index = folder / _INDEX
    if not index.is_file():
        msg = f"{folder}: must hold {_SINGLE} or {_INDEX}; other formats of weights are not read"
        raise CheckpointError(msg)
    where = read_json(index).get("weight_map")
    if not isinstance(where, dict) or not all(isinstance(name, str) for name in where.values()):
        msg = f"{index}: weight_map must be an object of file names"
        raise CheckpointError(msg)
    for name in where.values():
        if PurePosixPath(name).name != name or not name.endswith(".safetensors"):
            msg = f"{index}: files must be *.safetensors of this folder, got {name!r:.120}"
            raise CheckpointError(msg)
    shards = {name: SafetensorsFile(folder / name) for name in sorted(set(where.values()))}
    for tensor, name in where.items():
        if tensor not in shards[name].entries:
            msg = f"{folder / name}: tensor {tensor:.120} is missing, which {_INDEX} promises"
            raise CheckpointError(msg)
    return {tensor: shards[name] for tensor, name in where.items()}


def _check_tensors(folder: Path, config: Config, files: Mapping[str, SafetensorsFile]) -> None:
    """All are there, none else, and of the shapes of `config`: before memory is taken for them."""
    if config.n_layers > len(files):  # before so many names are made
        msg = f"{folder}: must hold {config.n_layers} layers, got {len(files)} tensors"
        raise CheckpointError(msg)
    shapes = dict(_shapes(config))
    missing = sorted(set(shapes) - set(files))
    if missing:
        hint = " (tie_word_embeddings is false)" if missing[0] == _TOP["wcls"] else ""
        msg = f"{folder}: {len(missing)} tensors are missing, {missing[0]} the first{hint}"
        raise CheckpointError(msg)
    # Old files carry the rotary frequencies, and some tied models their classifier as well.
    unknown = sorted(
        name
        for name in set(files) - set(shapes) - {_TOP["wcls"]}
        if not name.endswith("rotary_emb.inv_freq")
    )
    if unknown:
        msg = (
            f"{folder}: {len(unknown)} tensors have no place in this model, {unknown[0]:.120} the "
            "first: it is more than a Llama"
        )
        raise CheckpointError(msg)
    for name, shape in shapes.items():
        files[name].check_shape(name, shape)


def _shapes(config: Config) -> Iterator[tuple[str, tuple[int, ...]]]:
    for weight, shape in config.parameter_shapes.items():
        if weight in _TOP:
            yield _TOP[weight], shape
        else:
            for layer in range(config.n_layers):
                yield f"model.layers.{layer}.{_LAYER[weight]}", shape[1:]


def _check_tied_head(
    config: Config, parameters: Parameters, files: Mapping[str, SafetensorsFile]
) -> None:
    name = _TOP["wcls"]
    if not config.tied_classifier or name not in files:
        return
    table = parameters["token_embedding_table"]
    files[name].check_shape(name, table.shape)
    head = np.empty_like(table)
    files[name].read(name, head)
    if not np.array_equal(head, table):
        msg = (
            f"{files[name].path}: {name} must equal {_TOP['token_embedding_table']}, because "
            "tie_word_embeddings is true"
        )
        raise CheckpointError(msg)
