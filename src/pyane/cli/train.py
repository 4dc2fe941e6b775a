"""`pyane train`: train a Llama 2 from scratch, or go on with a run."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

if TYPE_CHECKING:
    from ..train.session import Session
    from ..train.trainer import StepReport
    from .progress import OnStep

# typer evaluates these annotations, and Python 3.10's typing wants Optional there.
_Text = Optional[str]  # noqa: UP045
_Int = Optional[int]  # noqa: UP045
_Float = Optional[float]  # noqa: UP045
_Path = Optional[Path]  # noqa: UP045


def train(
    preset: Annotated[
        _Text,
        typer.Option(help="stories260k, stories15m, stories42m or stories110m.  [stories260k]"),
    ] = None,
    data: Annotated[
        _Text,
        typer.Option(
            metavar="FILE",
            help="Text (UTF-8), or .bin of uint16 tokens. Default: built-in stories.",
        ),
    ] = None,
    tokenizer: Annotated[
        _Text,
        typer.Option(
            metavar="FILE",
            help="SentencePiece .model or llama2.c .bin. Default: trained on the text.",
        ),
    ] = None,
    init_from: Annotated[
        _Text,
        typer.Option(metavar="FILE", help="Start from the weights of a run or checkpoint."),
    ] = None,
    resume: Annotated[
        _Path, typer.Option(metavar="RUN", help="Go on with the run in this folder.")
    ] = None,
    run_dir: Annotated[
        _Path, typer.Option(metavar="DIR", help="New run folder. Default: runs/<preset>-<n>.")
    ] = None,
    steps: Annotated[_Int, typer.Option(help="Optimizer steps.  [1600]")] = None,
    batch_size: Annotated[_Int, typer.Option(help="Sequences per micro-batch.  [2]")] = None,
    accumulation: Annotated[_Int, typer.Option(help="Micro-batches per step.  [1]")] = None,
    seq_len: Annotated[_Int, typer.Option(help="Tokens per sequence.  [256]")] = None,
    learning_rate: Annotated[_Float, typer.Option(help="Highest learning rate.  [0.006]")] = None,
    min_learning_rate: Annotated[
        _Float, typer.Option(help="Fraction of it that the cosine ends at.  [0.1]")
    ] = None,
    warmup_steps: Annotated[_Int, typer.Option(help="Steps to reach it.  [60]")] = None,
    weight_decay: Annotated[_Float, typer.Option(help="AdamW's, on matrices.  [0.1]")] = None,
    beta1: Annotated[_Float, typer.Option(help="Adam's beta1.  [0.9]")] = None,
    beta2: Annotated[_Float, typer.Option(help="Adam's beta2.  [0.99]")] = None,
    epsilon: Annotated[_Float, typer.Option(help="Adam's epsilon.  [1e-8]")] = None,
    clip_norm: Annotated[_Float, typer.Option(help="Gradient norm limit, 0: none.  [1]")] = None,
    loss_scale: Annotated[_Float, typer.Option(help="First loss scale.  [16384]")] = None,
    held_out_fraction: Annotated[
        _Float, typer.Option(help="Part of the data to evaluate on.  [0.05]")
    ] = None,
    eval_every: Annotated[_Int, typer.Option(help="Steps between evaluations.  [200]")] = None,
    eval_sequences: Annotated[_Int, typer.Option(help="Sequences per evaluation.  [32]")] = None,
    save_every: Annotated[_Int, typer.Option(help="Steps between savings.  [200]")] = None,
    story_bytes: Annotated[
        _Int, typer.Option(help="Size of the built-in stories.  [2000000]")
    ] = None,
    seed: Annotated[_Int, typer.Option(help="Decides first weights, order of data.  [0]")] = None,
    threads: Annotated[_Int, typer.Option(help="CPU threads. Default: physical cores.")] = None,
    device: Annotated[
        _Text, typer.Option(help="ane or emulator. Default: ane where there is one.")
    ] = None,
) -> None:
    """Train a Llama 2 model.

    Without options: the stories260k model on stories that come with pyane, in about a minute on two
    cores. Everything goes to a run folder: settings, metrics, loss curve, weights (llama2.c
    format), tokenizer, and the state that --resume continues from. Ctrl-C finishes the step and
    saves.

    \b
    Examples:
      pyane train
      pyane train --data story.txt --steps 500 --learning-rate 0.002
      pyane train --data tokens.bin --tokenizer tokenizer.model --preset stories15m
      pyane train --init-from stories260K.bin --tokenizer tok512.bin --data story.txt
      pyane train --resume runs/stories260k-1
    """  # noqa: D301  (\b keeps the lines of the example apart)
    given = {k: v for k, v in locals().items() if v is not None}
    for name in ("resume", "run_dir"):
        given.pop(name, None)
    session = _open(resume, run_dir, given)
    try:
        raise typer.Exit(_run(session))
    finally:
        session.close()


def _open(resume: Path | None, run_dir: Path | None, given: dict[str, Any]) -> Session:
    from ..errors import ConfigError
    from ..train import session
    from ..train.config import TrainConfig

    if resume is None:
        preset = given.pop("preset", "stories260k")
        return session.start(TrainConfig.for_preset(preset, **given), run_dir, typer.echo)
    if run_dir is not None:
        msg = "--run-dir and --resume exclude each other: a resumed run stays in its folder"
        raise ConfigError(msg)
    return session.resume(resume, given, typer.echo)


def _run(session: Session) -> int:
    """Train to the end or to a signal; returns the exit code."""
    from .progress import show_progress

    config, run = session.trainer.config, session.run
    shape = session.model.config
    typer.echo(
        f"Model: {config.preset}, {shape.n_parameters:,} parameters, "
        f"vocabulary {shape.vocab_size}, on {session.device}"
    )
    typer.echo(f"Run folder: {run.path}")
    start, first_step = time.perf_counter(), session.trainer.step
    with (
        _stop_on_signal(session.trainer.request_stop) as received,
        show_progress(config.steps, first_step) as on_step,
    ):
        finished = session.trainer.train(_surviving_a_closed_pipe(session, on_step))
    seconds = time.perf_counter() - start
    n_tokens = (session.trainer.step - first_step) * config.tokens_per_step
    typer.echo(
        f"{session.trainer.step - first_step} steps, {n_tokens:,} tokens in {seconds:.1f} s "
        f"({n_tokens / seconds:,.0f} tokens/s)"
    )
    if not finished:
        typer.echo(
            f"Stopped and saved after step {session.trainer.step} of {config.steps}. "
            f"Go on with: pyane train --resume {run.path}"
        )
        _plot(session)  # last: a second, impatient Ctrl-C then costs the picture only
        return 128 + received[0] if received else 1
    _plot(session)
    typer.echo(f"Held-out loss: {session.trainer.held_out_loss:.4f} nats per token")
    _tell_story(session)
    _list_files(session)
    return 0


def _surviving_a_closed_pipe(session: Session, on_step: OnStep) -> OnStep:
    """`on_step`, but when the reader of our output has gone (head, tee), stop and save."""

    def report(step: StepReport) -> None:
        try:
            on_step(step)
        except BrokenPipeError:
            # Nothing more can be shown; the file stays open as long as the process.
            sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
            session.trainer.request_stop()

    return report


@contextlib.contextmanager
def _stop_on_signal(request_stop: Callable[[], None]) -> Iterator[list[int]]:
    """The first SIGINT, SIGTERM or SIGHUP asks for a stop, the next one acts as usual."""
    received: list[int] = []
    before: dict[signal.Signals, Any] = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, _: object) -> None:
        received.append(number)
        request_stop()
        restore()

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup wants it
                before[number] = signal.signal(number, handle)
    try:
        yield received
    finally:
        restore()


def _plot(session: Session) -> None:
    from ..train.plot import plot_loss

    run = session.run
    plot_loss(run.metrics, run.loss_plot, f"{session.trainer.config.preset} · {run.path.name}")


def _tell_story(session: Session) -> None:
    from ..train.generate import generate

    tokenizer, context = session.tokenizer, session.trainer.config.seq_len
    if tokenizer is None:
        typer.echo("No story: the token file came without a tokenizer (--tokenizer FILE).")
        return
    if tokenizer.bos_id < 0:
        typer.echo("No story: the tokenizer has no token to begin a text with.")
        return
    stop = frozenset({tokenizer.bos_id, tokenizer.eos_id})
    ids = generate(
        session.model,
        [tokenizer.bos_id],
        2 * context,
        context=context,
        temperature=0.5,
        seed=session.trainer.config.seed,
        stop=stop,
    )
    typer.echo("\nA story from the model:\n")
    stream = tokenizer.stream()
    for token in ids:
        typer.echo(stream.add(token), nl=False)
    typer.echo(stream.finish() + "\n")


def _list_files(session: Session) -> None:
    run = session.run
    about = {
        run.config.name: "settings",
        run.metrics.name: "loss and more, per step",
        run.timing.name: "times, per step",
        run.loss_plot.name: "loss curve",
        run.model.name: "weights, llama2.c format",
        run.state.name: "training state, for --resume",
        "tokenizer.model": "tokenizer",
        "tokenizer.bin": "tokenizer",
    }
    typer.echo(f"Files in {run.path}:")
    for name, what in about.items():
        path = run.path / name
        if path.is_file():
            typer.echo(f"  {name:<16} {path.stat().st_size:>12,} bytes  {what}")
    typer.echo(f'More stories: pyane generate {run.path} --prompt "Once upon a time"')
