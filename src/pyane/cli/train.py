"""`pyane train`: train a Llama 2 from scratch, or go on with a run."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

if TYPE_CHECKING:
    from ..train.session import Note, Session
    from .watch import Watching

# typer evaluates these annotations, and Python 3.10's typing wants Optional there.
_Text = Optional[str]  # noqa: UP045
_Int = Optional[int]  # noqa: UP045
_Float = Optional[float]  # noqa: UP045
_Flag = Optional[bool]  # noqa: UP045
_Path = Optional[Path]  # noqa: UP045

_WATCHING = ("jsonl", "tensorboard", "dashboard")


def train(
    preset: Annotated[
        _Text,
        typer.Option(
            help="stories260k, stories15m, stories42m, stories110m, qwen3-0.6b, or a .json file of "
            "sizes (Hugging Face's config.json, or fields of pyane.llama.Config). --init-from brings "
            "its own sizes.  [stories260k; --init-from: the nearest one's settings]"
        ),
    ] = None,
    data: Annotated[
        _Text,
        typer.Option(
            metavar="FILE",
            help="Text (UTF-8), or .bin of tokens (pyane data prepare). Default: built-in stories.",
        ),
    ] = None,
    tokenizer: Annotated[
        _Text,
        typer.Option(
            metavar="FILE",
            help="SentencePiece .model, llama2.c .bin or Hugging Face .json. Default: trained on the text.",
        ),
    ] = None,
    init_from: Annotated[
        _Text,
        typer.Option(
            metavar="FILE",
            help="Start from the weights of a run or checkpoint (llama2.c, Hugging Face).",
        ),
    ] = None,
    config: Annotated[
        _Path,
        typer.Option(metavar="FILE", help="Settings, TOML or JSON. Flags take precedence."),
    ] = None,
    resume: Annotated[
        _Path, typer.Option(metavar="RUN", help="Go on with the run in this folder.")
    ] = None,
    run_dir: Annotated[
        _Path, typer.Option(metavar="DIR", help="New run folder. Default: runs/<preset>-<n>.")
    ] = None,
    steps: Annotated[_Int, typer.Option(help="Optimizer steps.  [1600]")] = None,
    batch_size: Annotated[_Int, typer.Option(help="Sequences per micro-batch.  [2]")] = None,
    accumulation: Annotated[
        _Int, typer.Option(help="Micro-batches per step.  [1; static pipeline: 10]")
    ] = None,
    seq_len: Annotated[_Int, typer.Option(help="Tokens per sequence.  [256]")] = None,
    learning_rate: Annotated[
        _Float, typer.Option(help="Highest learning rate.  [0.006; --init-from: a tenth]")
    ] = None,
    schedule: Annotated[
        _Text, typer.Option(help="After the warm-up: cosine, linear or constant.  [cosine]")
    ] = None,
    min_learning_rate: Annotated[
        _Float, typer.Option(help="Fraction of it that the schedule ends at.  [0.1]")
    ] = None,
    warmup_steps: Annotated[_Int, typer.Option(help="Steps to reach it.  [100]")] = None,
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
    patience: Annotated[
        _Int,
        typer.Option(help="Stop after so many evaluations without a new best, 0: never.  [0]"),
    ] = None,
    save_every: Annotated[_Int, typer.Option(help="Steps between savings.  [200]")] = None,
    story_bytes: Annotated[
        _Int, typer.Option(help="Size of the built-in stories.  [2000000]")
    ] = None,
    compact_vocabulary: Annotated[
        _Flag,
        typer.Option(
            "--compact-vocabulary/--whole-vocabulary",
            help="Train only the tokens that occur in the data.  [whole]",
        ),
    ] = None,
    seed: Annotated[_Int, typer.Option(help="Decides first weights, order of data.  [0]")] = None,
    threads: Annotated[_Int, typer.Option(help="CPU threads. Default: physical cores.")] = None,
    device: Annotated[
        _Text, typer.Option(help="ane or emulator. Default: ane where there is one.")
    ] = None,
    chip: Annotated[
        _Text, typer.Option(help="Measure against (emulator: imitate) m1 to m5, m1max, ...")
    ] = None,
    numerics: Annotated[
        _Text, typer.Option(help="Emulator's arithmetic: ieee, or hardware as --chip's.  [ieee]")
    ] = None,
    pipeline: Annotated[
        _Text,
        typer.Option(
            help="dynamic: weights are inputs; static: constants, compiled anew every step.  "
            "[dynamic]"
        ),
    ] = None,
    weights_as: Annotated[
        _Text, typer.Option(help="Inputs of a kernel: inputs or packed. Default: by chip.")
    ] = None,
    blobs: Annotated[
        _Text, typer.Option(help="Weight files: per-matrix or single.  [per-matrix]")
    ] = None,
    taps: Annotated[
        _Text, typer.Option(help="Results of a kernel: outputs or concat. Default: by chip.")
    ] = None,
    cls: Annotated[_Text, typer.Option(help="Classifier on: cpu or ane.  [cpu]")] = None,
    rmsnorm_backward: Annotated[
        _Text, typer.Option(help="RMSNorm's backward pass on: cpu or ane.  [cpu]")
    ] = None,
    jsonl: Annotated[
        _Path,
        typer.Option(metavar="FILE", help="Append step, batch and perf records as JSON lines."),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write curves for TensorBoard to the run folder.")
    ] = False,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Show loss curve, times and samples live.")
    ] = False,
) -> None:
    """Train a Llama 2 model.

    Without options: the stories260k model on stories that come with pyane, in about a minute on two
    cores. Everything goes to a run folder: settings, metrics, loss curve, weights (llama2.c
    format), tokenizer, and the state that --resume continues from. Ctrl-C finishes the step and
    saves; a second one stops at once.

    \b
    Examples:
      pyane train
      pyane train --data story.txt --steps 500 --learning-rate 0.002
      pyane train --data tokens.bin --tokenizer tokenizer.model --preset stories15m
      pyane train --init-from stories260K.bin --tokenizer tok512.bin --data story.txt
      pyane train --config run.toml --seed 1
      pyane train --resume runs/stories260k-1
    """  # noqa: D301  (\b keeps the lines of the example apart)
    given = {k: v for k, v in locals().items() if v is not None}
    for name in ("resume", "run_dir", "config", *_WATCHING):
        given.pop(name, None)
    from .watch import Watching

    watching = Watching(jsonl, tensorboard, dashboard)
    watching.check()
    continued = resume is not None and _is_continued(resume)
    note = typer.echo if not continued else _say_nothing
    session = _open(config, resume, run_dir, given, note)
    from .train_run import NEW_PROCESS, run

    try:
        code = run(session, watching, continued)
        if code != NEW_PROCESS:
            raise typer.Exit(code)
        _continue_in_new_process(session, watching)
    finally:
        session.close()


def _open(
    config: Path | None,
    resume: Path | None,
    run_dir: Path | None,
    given: dict[str, Any],
    note: Note,
) -> Session:
    from ..errors import ConfigError
    from ..train import session
    from ..train.config import TrainConfig
    from ..train.config_file import read_settings
    from ..train.run_folder import is_drawn

    if resume is None:
        settings = {**(read_settings(config) if config else {}), **given}
        weights = settings.get("init_from")
        suitable = session.preset_for(Path(weights)) if isinstance(weights, str) else "stories260k"
        preset = settings.pop("preset", suitable)
        return session.start(TrainConfig.for_preset(preset, **settings), run_dir, note)
    for flag, value in (("--run-dir", run_dir), ("--config", config)):
        if value is not None:
            msg = f"{flag} and --resume exclude each other: a resumed run keeps its "
            msg += "folder" if flag == "--run-dir" else "settings"
            raise ConfigError(msg)
    # A run that was killed after its last state has yet to draw its curve and to tell its story.
    return session.resume(resume, given, note, accept_finished=not is_drawn(resume))


def _say_nothing(_: object) -> None:
    pass


def _is_continued(run: Path) -> bool:
    from ..train.run_folder import inherited_lock

    return inherited_lock(run) is not None


def _continue_in_new_process(session: Session, watching: Watching) -> None:
    """Replace this process by one that goes on with the run. The folder stays locked."""
    session.trainer.close()
    sys.stdout.flush()
    sys.stderr.flush()
    session.run.bequeath_lock()
    arguments = ["train", "--resume", str(session.run.path), *watching.flags()]
    os.execv(sys.executable, [sys.executable, *_command(), *arguments])


def _command() -> list[str]:
    """What follows the interpreter in a command that is like ours: its options, and the program.

    The program is the script that was called, where one was: `-m` would put the working directory,
    and whatever json.py lies there, before Python's own modules.
    """
    n_arguments = len(sys.argv) - 1
    whole = sys.orig_argv
    # Not so where a program calls `pyane.cli.main` with arguments of its own.
    ours = "train" in sys.argv and whole[-n_arguments:] == sys.argv[1:]
    return whole[1:-n_arguments] if ours else ["-m", "pyane"]
