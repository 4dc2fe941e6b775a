"""`pyane generate`: continue a text with a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer


def generate(
    source: Annotated[
        Path, typer.Argument(metavar="RUN_OR_CHECKPOINT", help="Run folder or llama2.c checkpoint.")
    ],
    prompt: Annotated[str, typer.Option(help="Text to continue.")] = "",
    tokenizer: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="SentencePiece .model or llama2.c .bin. Default: the one beside it."),
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=0, help="Most tokens to generate.")] = 256,
    temperature: Annotated[
        float, typer.Option(min=0.0, help="0: always the likeliest token; 1: as the model says.")
    ] = 0.8,
    seed: Annotated[int, typer.Option(min=0, help="Decides the samples.")] = 0,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Print the token ids as one JSON list, not the text.")
    ] = False,
    threads: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, max=1024, help="CPU threads. Default: all physical cores."),
    ] = None,
    device: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="ane or emulator. Default: ane where there is one."),
    ] = None,
) -> None:
    """Continue a text with a trained model.

    The model is a run of `pyane train` or a checkpoint in llama2.c's format. The text ends at the end of the story or after --max-tokens.

    \b
    Examples:
      pyane generate runs/stories260k-1
      pyane generate runs/stories260k-1 --prompt "One day, Tom" --temperature 0
      pyane generate stories260K.bin --tokenizer tok512.bin --tokens
    """  # noqa: D301  (\b keeps the lines of the example apart)
    import json

    import pyane

    from .. import llama
    from ..errors import ConfigError
    from ..train.generate import generate as generate_tokens
    from ..train.session import load_model
    from ..train.tokenizer import load_tokenizer

    config, parameters, beside = load_model(source)
    path = tokenizer or beside
    if path is None:
        msg = (
            f"{source}: no tokenizer beside it; name the one it was trained with: --tokenizer FILE"
        )
        raise ConfigError(msg)
    vocabulary = load_tokenizer(path)
    if vocabulary.vocab_size != config.vocab_size:
        msg = (
            f"{path}: tokenizer has {vocabulary.vocab_size} tokens, the model {config.vocab_size}; "
            "a model needs the tokenizer it was trained with (--tokenizer FILE)"
        )
        raise ConfigError(msg)
    try:
        prompt.encode()
    except UnicodeEncodeError as e:
        msg = "--prompt must be UTF-8 text; set a UTF-8 locale, e.g. LC_ALL=C.UTF-8"
        raise ConfigError(msg) from e
    ids = vocabulary.encode(prompt)
    if threads is not None:
        pyane.set_num_threads(threads)
    with llama.Model(config, parameters, pyane.device(device)) as model:
        continuation = generate_tokens(
            model,
            ids,
            max_tokens,
            context=config.seq_len,
            temperature=temperature,
            seed=seed,
            stop=frozenset({vocabulary.bos_id, vocabulary.eos_id}),
        )
        if tokens:
            typer.echo(json.dumps([*ids, *continuation]))
            return
        stream = vocabulary.stream()
        typer.echo("".join(map(stream.add, ids)), nl=False)
        for token in continuation:
            typer.echo(stream.add(token), nl=False)
        typer.echo(stream.finish())
