"""`pyane generate`: continue a text with a trained model."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from .._core import base
from .device_options import ChipOption, DeviceOption, NumericsOption, open_device
from .model_options import read_stdin

if TYPE_CHECKING:
    from ..llama import Config, Parameters
    from ..train.tokenizer import Tokenizer

_MAX_PROMPT_BYTES = 16 << 20
# Models of today look back on 40960 tokens and more; their cache would take gigabytes.
_CONTEXT = 2048


def generate(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="Run folder, llama2.c checkpoint, or Hugging Face folder."
        ),
    ],
    prompt: Annotated[str, typer.Option(help="Text to continue.")] = "",
    prompt_file: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Text to continue; - reads it from standard input."),
    ] = None,
    tokenizer: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE",
            help="SentencePiece .model, llama2.c .bin or Hugging Face .json. Default: beside MODEL.",
        ),
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=0, help="Most tokens to generate.")] = 256,
    temperature: Annotated[
        float, typer.Option(min=0.0, help="0: always the likeliest token; 1: as the model says.")
    ] = 0.8,
    top_k: Annotated[
        int, typer.Option(min=0, help="Choose among so many likeliest tokens; 0: all.")
    ] = 0,
    top_p: Annotated[
        float, typer.Option(help="Choose among the likeliest that have this probability; 1: all.")
    ] = 1.0,
    context: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            min=1, help="Tokens that the model looks back on. Default: all it can, up to 2048."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides the samples.")] = 0,
    samples: Annotated[
        int, typer.Option(min=1, help="Texts to generate, with seeds from --seed on.")
    ] = 1,
    stop: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(metavar="TEXT", help="End before this text, if it comes; may be given again."),
    ] = None,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Print token ids, a JSON list per text.")
    ] = False,
    stats: Annotated[
        bool, typer.Option("--stats", help="Print times to standard error at the end.")
    ] = False,
    threads: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, max=base.MAX_THREADS, help="CPU threads. Default: all physical cores."),
    ] = None,
    device: DeviceOption = None,
    chip: ChipOption = None,
    numerics: NumericsOption = None,
) -> None:
    """Continue a text with a trained model.

    The text appears as it is generated and ends at the end of the story or after --max-tokens. A text longer than the model's context goes on with the last half of it in view.

    \b
    Examples:
      pyane generate runs/stories260k-1
      pyane generate runs/stories260k-1 --prompt "One day, Tom" --temperature 0
      pyane generate stories260K.bin --tokenizer tok512.bin --samples 3 --top-p 0.9
      pyane generate Qwen3-0.6B/ --prompt "The engine" --max-tokens 50 --stats
    """  # noqa: D301  (\b keeps the lines of the example apart)
    import json

    import pyane

    from .. import llama
    from ..errors import ConfigError
    from ..train.generate import generate as generate_tokens
    from ..train.sampling import Sampling
    from ..train.stop_text import StopText
    from ..train.vocabulary import read_vocabulary

    if tokens and stop:
        msg = "--tokens and --stop exclude each other: a text to stop at may be part of a token"
        raise ConfigError(msg)
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    text = _prompt(prompt, prompt_file)
    if threads is not None:
        pyane.set_num_threads(threads)
    on = open_device(device, chip, numerics)
    config, parameters, vocabulary = _open(source, tokenizer)
    allowed = read_vocabulary(source if source.is_dir() else source.parent, config.vocab_size)
    ids = vocabulary.encode(text)
    if not ids:
        ids = [max(vocabulary.eos_id, 0)]
    if context is None:
        context = min(config.seq_len, _CONTEXT)
    if context > config.seq_len:
        msg = f"--context must be at most {config.seq_len}, the model's, got {context}"
        raise ConfigError(msg)
    if len(ids) > context:
        typer.echo(
            f"pyane: the prompt has {len(ids)} tokens, of which the model sees the last {context}, "
            "its context",
            err=True,
        )
    with llama.Decoder(config, parameters, on, context=context) as decoder:
        watch = _Stopwatch(len(ids))
        for i in range(samples):
            continuation = watch.time(
                generate_tokens(
                    decoder,
                    ids,
                    max_tokens,
                    context=context,
                    **{**dataclasses.asdict(sampling), "seed": seed + i},
                    stop=frozenset({vocabulary.bos_id, vocabulary.eos_id}),
                    vocab_size=vocabulary.vocab_size,
                    allowed=allowed,
                )
            )
            if tokens:
                typer.echo(json.dumps([*ids, *continuation]))
                continue
            if samples > 1:
                typer.echo(f"{'' if i == 0 else chr(10)}[{i + 1} of {samples}, seed {seed + i}]")
            stream, until = vocabulary.stream(), StopText(stop or ())
            typer.echo("".join(map(stream.add, ids)), nl=False)
            try:
                for token in continuation:
                    typer.echo(until.add(stream.add(token)), nl=False)
                    if until.found:
                        break
            except KeyboardInterrupt:
                typer.echo()  # what interrupted says has a line of its own
                raise
            typer.echo(until.add(stream.finish()) + until.finish())
    if stats:
        typer.echo(f"pyane: {watch}, on {on.name}", err=True)


class _Stopwatch:
    """Times the first token, which computes the prompt, apart from the others."""

    def __init__(self, n_prompt: int) -> None:
        self._n_prompt = n_prompt
        self._first: list[float] = []
        self._n_others = 0
        self._others = 0.0

    def time(self, tokens: Iterator[int]) -> Iterator[int]:
        is_first = True
        while True:
            start = time.perf_counter()
            token = next(tokens, None)
            seconds = time.perf_counter() - start
            if is_first:
                self._first.append(seconds)
            else:
                self._others += seconds
                self._n_others += token is not None
            if token is None:
                return
            is_first = False
            yield token

    def __str__(self) -> str:
        rate = self._n_others / self._others if self._others else 0.0
        return (
            f"{self._n_prompt} token{'s' * (self._n_prompt != 1)} of prompt and the first in {self._first[0]:.3f} s (kernels "
            f"compiled), then {self._n_others} in {self._others:.3f} s ({rate:,.0f} tokens/s)"
        )


def _open(source: Path, tokenizer: Path | None) -> tuple[Config, Parameters, Tokenizer]:
    from ..errors import ConfigError
    from ..llama import checkpoint
    from ..train.tokenizer import check_vocabulary, load_tokenizer
    from ..train.tokenizer_beside import tokenizer_beside

    config, parameters = checkpoint.read(source)
    if tokenizer is not None:
        vocabulary = load_tokenizer(tokenizer)
        check_vocabulary(vocabulary, config.vocab_size, f"--tokenizer {tokenizer}")
        return config, parameters, vocabulary
    beside = tokenizer_beside(source, config.vocab_size)
    if beside is None:
        msg = (
            f"{source}: no tokenizer beside it; name the one it was trained with: --tokenizer FILE"
        )
        raise ConfigError(msg)
    return config, parameters, beside[1]


def _prompt(prompt: str, file: Path | None) -> str:
    from ..errors import ConfigError, DataError
    from ..train.files import read_bytes

    if file is None:
        try:
            prompt.encode()
        except UnicodeEncodeError as e:
            msg = "--prompt must be UTF-8 text; set a UTF-8 locale, e.g. LC_ALL=C.UTF-8"
            raise ConfigError(msg) from e
        return prompt
    if prompt:
        msg = "--prompt and --prompt-file exclude each other"
        raise ConfigError(msg)
    if str(file) == "-":
        raw = read_stdin("--prompt-file", _MAX_PROMPT_BYTES + 1)
        if len(raw) > _MAX_PROMPT_BYTES:
            msg = f"{file}: prompt must have at most {_MAX_PROMPT_BYTES} bytes, got more"
            raise DataError(msg)
    else:
        raw = read_bytes(file, "prompt", _MAX_PROMPT_BYTES)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        msg = f"{file}: prompt must be UTF-8, got byte 0x{raw[e.start]:02x} at offset {e.start}"
        raise DataError(msg) from e
