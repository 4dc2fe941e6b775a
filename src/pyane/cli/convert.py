"""`pyane convert`: a model in another format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..train.tokenizer import Tokenizer


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SRC",
            help="Run folder, llama2.c .bin, Hugging Face folder (safetensors), or tokenizer .model.",
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
    """Convert a model between llama2.c's format and Hugging Face's, or a tokenizer to llama2.c's.

    Nothing is lost with float32: there and back gives the same weights, bit for bit (llama2.c's unused
    rotary tables are worked out anew). The tokenizer beside a model goes along into a folder. Existing folders are not touched; an existing .bin is replaced whole or not at all.

    \b
    Examples:
      pyane convert stories260K.bin stories260k-hf
      pyane convert runs/stories260k-1 my-model --dtype bfloat16
      pyane convert runs/stories260k-1/tokenizer.model tokenizer.bin
    """  # noqa: D301  (\b keeps the lines of the example apart)
    from ..errors import ConfigError
    from ..llama import checkpoint
    from ..train.session import load_model
    from ..train.tokenizer import load_tokenizer

    if source.resolve() == target.resolve():
        msg = f"DST must not be SRC, got {target} for both"
        raise ConfigError(msg)
    if source.suffix == ".model":
        _convert_tokenizer(source, target)
        return
    config, parameters, beside = load_model(source)
    tokenizer = load_tokenizer(beside) if beside else None
    checkpoint.write(target, config, parameters, dtype)
    typer.echo(
        f"{target}: {config.n_parameters:,} parameters, {config.n_layers} layers, "
        f"vocabulary {config.vocab_size}, {dtype}"
    )
    _take_along(source, target, config.vocab_size, tokenizer)


def _take_along(source: Path, target: Path, vocab_size: int, tokenizer: Tokenizer | None) -> None:
    """What belongs to the model: its tokenizer, and the list of tokens that it was trained on."""
    from ..errors import ConfigError
    from ..train.tokenizer import check_vocabulary
    from ..train.vocabulary import read_vocabulary, write_ids

    ids = read_vocabulary(source if source.is_dir() else source.parent, vocab_size)
    if ids is not None:
        note = f"pyane: only {len(ids):,} of its {vocab_size:,} tokens took part in training; "
        if target.is_dir():
            write_ids(target, vocab_size, ids)
            note += f"pyane generate reads which in {target / 'vocabulary.json'}, others do not"
        else:
            note += f"{target.name} cannot say which"
        typer.echo(note, err=True)
    if tokenizer is None or not target.is_dir():
        return
    try:
        check_vocabulary(tokenizer, vocab_size, tokenizer.file_name)
    except ConfigError:
        typer.echo(
            f"pyane: {tokenizer.file_name} beside {source} has {tokenizer.vocab_size} tokens, the "
            f"model {vocab_size}: it is another model's, and was not copied",
            err=True,
        )
        return
    _save(tokenizer, target / tokenizer.file_name)


def _convert_tokenizer(source: Path, target: Path) -> None:
    from ..errors import ConfigError
    from ..train.sentencepiece_tokenizer import SentencePieceTokenizer
    from ..train.tokenizer import load_tokenizer

    if target.suffix != ".bin":
        msg = f"DST must end in .bin, llama2.c's format, for a tokenizer, got {target}"
        raise ConfigError(msg)
    tokenizer = load_tokenizer(source)
    assert isinstance(tokenizer, SentencePieceTokenizer)
    _save(tokenizer.to_llama2c(str(source)), target)


def _save(tokenizer: Tokenizer, path: Path) -> None:
    from ..errors import DataError

    try:
        tokenizer.save(path)
    except OSError as e:
        msg = f"{path}: could not be written ({e.strerror or e})"
        raise DataError(msg) from e
    typer.echo(f"{path}: tokenizer of {tokenizer.vocab_size} tokens")
