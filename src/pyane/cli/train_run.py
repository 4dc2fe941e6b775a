"""A training run on the command line: signals, output, and what is shown at the end."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from ..errors import CompileBudgetError
from ..train.efficiency import Device, measure, report
from .closed_pipe import silence

if TYPE_CHECKING:
    from ..train.session import Session
    from ..train.trainer import OnStep, StepReport
    from .watch import Watching

NEW_PROCESS: Final = -1
"""Instead of an exit code: go on in a process with a fresh compile budget."""


def run(session: Session, watching: Watching, continued: bool) -> int:
    """Train to the end or to a signal.

    Args:
        session: Ready to train.
        watching: Who looks on.
        continued: Another process of the same command has begun; its output goes on.

    Returns:
        The exit code, or `NEW_PROCESS`.

    Raises:
        CompileBudgetError: The budget does not suffice for a single step.
    """
    config, folder = session.trainer.config, session.run
    if not continued:
        shape = session.model.config
        name = Path(config.init_from).name if config.init_from else config.model_name
        typer.echo(
            f"Model: {name}, {shape.size_text}, vocabulary {shape.vocab_size}, on {session.device}"
        )
        typer.echo(f"Run folder: {folder.path}")
    device = _device(session)
    n_reports, first_step = 0, session.trainer.step
    new_process = False

    def count(on_step: OnStep) -> OnStep:
        def counting(step: StepReport) -> None:
            nonlocal n_reports
            n_reports += 1
            on_step(step)

        return counting

    with (
        _stop_on_signal(session.trainer.request_stop) as received,
        watching.open(session, device) as on_step,
    ):
        try:
            finished = session.trainer.train(_surviving_a_closed_pipe(session, count(on_step)))
        except CompileBudgetError as e:
            # A step that only its evaluation keeps from being reported is progress too.
            progress = n_reports > 0 or session.trainer.step > first_step
            if not session.trainer.has_saved or not progress:
                msg = f"one step needs more compilations than a process may make: {e}"
                raise CompileBudgetError(msg) from e
            finished, new_process = False, True
    if new_process and not received:  # signals were heard until now
        return NEW_PROCESS
    if not finished:
        typer.echo(
            f"Stopped and saved after step {session.trainer.step} of {config.steps}. "
            f"Go on with: pyane train --resume {folder.path}"
        )
        _plot(session)  # last: a second, impatient Ctrl-C then costs the picture only
        return 128 + received[0] if received else 0  # without a signal: the reader has gone
    _plot(session)
    _show_results(session, device)
    return 0


def _device(session: Session) -> Device:
    """What the run is measured against: the chip that was asked for, or the machine's own."""
    from .. import ane, chips

    name = session.trainer.config.chip
    if name is None and session.device == "ane":
        facts = ane.device_info()
        name = facts.chip_profile if facts else None
    if name is None:
        return Device(session.device)
    chip = chips.find(name)
    peak = chip.rates["peak_fp16_tflops"].value
    return Device(session.device, chip.product, None if peak is None else float(peak))


def _show_results(session: Session, device: Device) -> None:
    trainer = session.trainer
    config = trainer.config
    if trainer.stopped_early:
        typer.echo(
            f"Stopped early after step {trainer.step}: {config.patience} evaluations without a "
            "lower held-out loss"
        )
    if trainer.held_out_loss is not None:  # not where somebody has removed metrics.jsonl
        typer.echo(f"Held-out loss: {trainer.held_out_loss:.4f} nats per token")
    best, step = trainer.best
    if best is not None and step < trainer.step:
        where = f"after step {step}, kept in {session.run.best.name}" if step else "before training"
        typer.echo(f"Lowest: {best:.4f}, {where}")
    if trainer.skipped:
        typer.echo(f"Skipped steps, because gradients overflowed: {trainer.skipped}")
    flops = getattr(session.model, "flops_per_step", (0.0, 0.0))
    ane, total = (n * config.accumulation for n in flops)
    typer.echo("\n" + report(measure(session.run.timing, ane, total), device))
    try:
        _tell_story(session)
    except CompileBudgetError:
        typer.echo(f"No story: no compilations are left. pyane generate {session.run.path}")
    _list_files(session)


def _surviving_a_closed_pipe(session: Session, on_step: OnStep) -> OnStep:
    """`on_step`, but when the reader of our output has gone (head, tee), stop and save."""

    def report(step: StepReport) -> None:
        try:
            on_step(step)
        except BrokenPipeError:
            silence()
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
    plot_loss(run.metrics, run.loss_plot, f"{session.trainer.config.model_name} · {run.path.name}")


def _tell_story(session: Session) -> None:
    from ..llama import Decoder
    from ..train.sample import sample, why_no_sample

    reason = why_no_sample(session)
    if reason:
        typer.echo(f"No story: {reason}.")
        return
    typer.echo("\nA story from the model:\n")
    model, context = session.model, session.trainer.config.seq_len
    with Decoder(model.config, model.parameters, model.device, context=context) as decoder:
        for text in sample(session, decoder, 2 * context):
            typer.echo(text, nl=False)
    typer.echo("\n")


def _list_files(session: Session) -> None:
    run = session.run
    about = {
        run.config.name: "settings",
        run.metrics.name: "loss and more, per step",
        run.timing.name: "times, per step",
        run.loss_plot.name: "loss curve",
        run.model.name: "weights",
        run.best.name: "weights with the lowest held-out loss",
        run.state.name: "training state, for --resume",
        "vocabulary.json": "tokens that take part",
        "tokenizer.model": "tokenizer",
        "tokenizer.bin": "tokenizer",
        "tokenizer.json": "tokenizer",
    }
    typer.echo(f"Files in {run.path}:")
    for name, what in about.items():
        path = run.path / name
        if path.is_file():
            typer.echo(f"  {name:<16} {path.stat().st_size:>12,} bytes  {what}")
    tokenizer = "" if session.tokenizer else " --tokenizer FILE"
    typer.echo(f'More stories: pyane generate {run.path}{tokenizer} --prompt "Once upon a time"')
