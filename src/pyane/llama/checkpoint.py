"""Checkpoints of any kind: llama2.c files, run folders, Hugging Face folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CheckpointError, ConfigError
from .huggingface import (
    is_huggingface,
    read_huggingface,
    read_safetensors,
    write_huggingface,
    write_safetensors_model,
)
from .llama2c import read_llama2c, rope_tables, what_llama2c_lacks, write_llama2c

if TYPE_CHECKING:
    import os

    from .config import Config
    from .parameters import Parameters

__all__ = [
    "read",
    "read_huggingface",
    "read_llama2c",
    "rope_tables",
    "suffix",
    "write",
    "write_huggingface",
    "write_llama2c",
]


def read(path: str | os.PathLike[str]) -> tuple[Config, Parameters]:
    """Reads a model, whatever its kind.

    Args:
        path: A llama2.c file; a folder with model.safetensors (or its index) and config.json, or that
            file in it; a file that `write` made; a run folder of `pyane train`, whose model.bin or
            model.safetensors is read.

    Raises:
        CheckpointError: It does not exist, cannot be read, or is none of these.
    """
    path = Path(path)
    try:
        if path.is_dir():
            if is_huggingface(path):
                return read_huggingface(path)
            if (path / "model.bin").is_file():
                return read_llama2c(path / "model.bin")
            msg = (
                f"{path}: must hold model.bin (a run folder) or model.safetensors (a Hugging Face "
                "folder), got neither"
            )
            raise CheckpointError(msg)
        if path.name == "model.safetensors.index.json":
            return read_huggingface(path.parent)
        if path.suffix == ".safetensors":
            return read_safetensors(path)
        return read_llama2c(path)
    except OSError as error:
        msg = f"{error.filename or path}: checkpoint cannot be read ({error.strerror or error})"
        raise CheckpointError(msg) from error


def write(
    path: str | os.PathLike[str], config: Config, parameters: Parameters, dtype: str = "float32"
) -> None:
    """Writes a model as what the name says.

    `.bin` is a llama2.c file, `.safetensors` a single file of that kind with the sizes in it, anything
    else a Hugging Face folder.

    Args:
        path: Where. A file is replaced; a folder must be new or empty.
        config: Sizes.
        parameters: Weights.
        dtype: What the weights of the latter two are rounded to: "float32", "float16" or "bfloat16".

    Raises:
        ConfigError: `dtype` is unknown, or not float32 for a llama2.c file.
        ShapeError: `parameters` belong to another config.
        CheckpointError: The format cannot hold the model, or writing failed; nothing was replaced.
    """
    if Path(path).suffix == ".safetensors":
        write_safetensors_model(path, config, parameters, dtype)
        return
    if Path(path).suffix != ".bin":
        write_huggingface(path, config, parameters, dtype)
        return
    if dtype != "float32":
        msg = f"--dtype must be float32 for a llama2.c file ({path}), got {dtype}"
        raise ConfigError(msg)
    write_llama2c(path, config, parameters)


def suffix(config: Config) -> str:
    """Of the single file that can hold a model: `.bin` where llama2.c's format can, else `.safetensors`."""
    return ".safetensors" if what_llama2c_lacks(config) else ".bin"
