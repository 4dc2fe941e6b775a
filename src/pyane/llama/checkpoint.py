"""Checkpoints of any kind: llama2.c files, run folders, Hugging Face folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CheckpointError, ConfigError
from .huggingface import is_huggingface, read_huggingface, write_huggingface
from .llama2c import read_llama2c, rope_tables, write_llama2c

if TYPE_CHECKING:
    import os

    from .config import Config
    from .parameters import Parameters

__all__ = [
    "read",
    "read_huggingface",
    "read_llama2c",
    "rope_tables",
    "write",
    "write_huggingface",
    "write_llama2c",
]


def read(path: str | os.PathLike[str]) -> tuple[Config, Parameters]:
    """Reads a model, whatever its kind.

    Args:
        path: A llama2.c file; a folder with model.safetensors (or its index) and config.json, or that
            file in it; a run folder of `pyane train`, whose model.bin is read.

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
        if path.name in ("model.safetensors", "model.safetensors.index.json"):
            return read_huggingface(path.parent)
        return read_llama2c(path)
    except OSError as error:
        msg = f"{error.filename or path}: checkpoint cannot be read ({error.strerror or error})"
        raise CheckpointError(msg) from error


def write(
    path: str | os.PathLike[str], config: Config, parameters: Parameters, dtype: str = "float32"
) -> None:
    """Writes a model: a llama2.c file when the name ends in `.bin`, else a Hugging Face folder.

    Args:
        path: Where. A file is replaced; a folder must be new or empty.
        config: Sizes.
        parameters: Weights.
        dtype: What a folder's weights are rounded to: "float32", "float16" or "bfloat16".

    Raises:
        ConfigError: `dtype` is unknown, or not float32 for a llama2.c file.
        ShapeError: `parameters` belong to another config.
        CheckpointError: The format cannot hold the model, or writing failed; nothing was replaced.
    """
    if Path(path).suffix != ".bin":
        write_huggingface(path, config, parameters, dtype)
        return
    if dtype != "float32":
        msg = f"--dtype must be float32 for a llama2.c file ({path}), got {dtype}"
        raise ConfigError(msg)
    write_llama2c(path, config, parameters)
