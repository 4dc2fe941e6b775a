"""`pyane convert`: a model in another format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SRC", help="Run folder, llama2.c .bin, or Hugging Face folder (safetensors)."
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="DST", help="A name ending in .bin: llama2.c. Else: a new Hugging Face folder."
        ),
    ],
    dtype: Annotated[
        str, typer.Option(help="Weights of a folder: float32, float16 or bfloat16.")
    ] = "float32",
) -> None:
    """Convert a model between llama2.c's format and Hugging Face's.

    Nothing is lost with float32: there and back gives the same bits. The tokenizer beside a model goes
    along into a folder. Existing folders are not touched; an existing .bin is replaced whole or not at all.

    \b
    Examples:
      pyane convert stories260K.bin stories260k-hf
      pyane convert runs/stories260k-1 my-model --dtype bfloat16
      pyane convert Qwen3-0.6B/ copy/
    """  # noqa: D301  (\b keeps the lines of the example apart)
    from ..errors import CheckpointError, ConfigError
    from ..llama import checkpoint
    from ..train.session import load_model
    from ..train.tokenizer import load_tokenizer

    if source.resolve() == target.resolve():
        msg = f"DST must not be SRC, got {target} for both"
        raise ConfigError(msg)
    config, parameters, beside = load_model(source)
    tokenizer = load_tokenizer(beside) if beside else None
    checkpoint.write(target, config, parameters, dtype)
    typer.echo(
        f"{target}: {config.n_parameters:,} parameters, {config.n_layers} layers, "
        f"vocabulary {config.vocab_size}, {dtype}"
    )
    if tokenizer is None or not target.is_dir():
        return
    try:
        tokenizer.save(target / tokenizer.file_name)
    except OSError as e:
        msg = f"{target / tokenizer.file_name}: could not be written ({e.strerror or e})"
        raise CheckpointError(msg) from e
    typer.echo(f"{target / tokenizer.file_name}: tokenizer of {tokenizer.vocab_size} tokens")
