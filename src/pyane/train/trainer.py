"""The training loop: optimizer steps, evaluation, and a state that survives any interruption."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from .._core import train as core
from ..errors import CheckpointError, CompileBudgetError, DivergenceError
from ..llama import checkpoint
from .config import TrainConfig
from .data import Dataset, Sampler
from .efficiency import PARTS
from .metrics import JsonLines, read_jsonl
from .optimizer import MicroBatch, Optimizer, TrainableModel
from .run_folder import RunFolder
from .state import TrainingState, save_state
from .stopwatch import Stopwatch
from .vocabulary import Vocabulary


@dataclasses.dataclass(frozen=True)
class StepReport:
    """What one step did.

    Attributes:
        step: Steps done, this one included; 0 for the evaluation before the first.
        loss: Mean training loss of the step, nats per token; NaN for step 0.
        held_out_loss: Held-out loss after the step, when it was evaluated.
        learning_rate: Learning rate used.
        gradient_norm: Global norm before clipping; infinite when gradients overflowed.
        loss_scale: Loss scale used.
        skipped: Steps so far that changed nothing because gradients overflowed.
        tokens: Tokens trained on since the run began.
        seconds: Wall time of the step, evaluation and saving included.
        best_loss: Lowest held-out loss so far.
        micro_batches: Loss and times of every pass, also where another process made them; empty
            for step 0.
        compile_seconds: Part of `seconds` that went into compiling kernels.
        n_compiles: Compilations of this process so far.
        ane_flops: Floating-point operations of the step on the device, 0 when not known.
        total_flops: The same, those on the CPU included.
    """

    step: int
    loss: float
    held_out_loss: float | None
    learning_rate: float
    gradient_norm: float
    loss_scale: float
    skipped: int
    tokens: int
    seconds: float
    best_loss: float | None = None
    micro_batches: tuple[MicroBatch, ...] = ()
    compile_seconds: float = 0.0
    n_compiles: int = 0
    ane_flops: float = 0.0
    total_flops: float = 0.0


OnStep = Callable[[StepReport], None]


@dataclasses.dataclass
class _Best:
    """The lowest held-out loss of a run, and how long ago it was."""

    loss: float | None = None
    step: int = 0
    evaluations_since: int = 0


class Trainer:
    """Trains a model in a run folder.

    Args:
        config: Settings.
        model: Model to train; its parameters are changed.
        dataset: Tokens.
        run: Folder for metrics, state and weights; must be locked by this process.
        state: Where to go on; its moments are taken over, not copied. None begins with the
            model's parameters.
        vocabulary: Makes the whole model of one that was built for the tokens that occur.

    Attributes:
        step: Steps done.
        held_out_loss: As measured last, perhaps by another process; None before the first time.
        stopped_early: `config.patience` ran out.

    Raises:
        CheckpointError: `state` is of another model, or the run folder cannot be written.
    """

    def __init__(
        self,
        config: TrainConfig,
        model: TrainableModel,
        dataset: Dataset,
        run: RunFolder,
        state: TrainingState | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self.config = config
        self.run = run
        self.step = 0 if state is None else state.step
        self._model = model
        self._dataset = dataset
        self._vocabulary = vocabulary
        self._best = _Best()
        if state is not None:
            self._restore(state)
        self._pending: dict[str, Any] | None = None if state is None else state.pending
        sampler = Sampler(dataset, config.batch_size, config.seed)
        self._optimizer = Optimizer(config, model, sampler, state)
        self._stop = False
        self._uploaded = False
        self._watch = Stopwatch()
        self._upload_seconds = 0.0  # since the last step
        self._saved_step = -1 if state is None else self.step
        self._changed = state is None  # since the state was saved
        # A step that is not finished will be logged when it is.
        keep = self._saved_step if self._pending is None else self._saved_step - 1
        self._metrics = JsonLines(run.metrics, keep)
        self._timing = JsonLines(run.timing, keep)
        self.held_out_loss = _last_held_out(run.metrics)

    @property
    def skipped(self) -> int:
        """Steps that changed nothing because gradients overflowed."""
        return self._optimizer.skipped

    @property
    def best(self) -> tuple[float | None, int]:
        """Lowest held-out loss, and after which step it was measured."""
        return self._best.loss, self._best.step

    @property
    def stopped_early(self) -> bool:
        """Whether `config.patience` has run out."""
        return 0 < self.config.patience <= self._best.evaluations_since

    @property
    def has_saved(self) -> bool:
        """Whether there is a state to go on from."""
        return self._saved_step >= 0

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        done = self.step >= self.config.steps or self.stopped_early
        return done and self._pending is None

    def request_stop(self) -> None:
        """Make `train` save and return after the step it is in. Safe in a signal handler."""
        self._stop = True

    def train(self, on_step: OnStep | None = None) -> bool:
        """Train up to `config.steps`, evaluating and saving on the way and at the end.

        Args:
            on_step: Called after every step, and for the evaluation before the first.

        Returns:
            True when all steps are done or `config.patience` has run out, False after
            `request_stop`; the state is saved in both cases.

        Raises:
            DivergenceError: The loss or the weights are not finite, or gradients overflow at any
                loss scale. The last state that was saved is kept.
            CompileBudgetError: The process may not compile any more kernels. The state is saved: a
                new process can go on with it.
            CheckpointError: A file could not be written; the last state that was saved is kept.
        """
        report = on_step or (lambda _: None)
        try:
            if self._saved_step < 0:
                report(self._begin())
            if self._pending is not None:
                report(self._finish(self._pending))
            while not self.finished and not self._stop:
                report(self._whole_step())
            self.save()
            if self.config.pipeline == "dynamic":
                self._upload()  # for who uses the model next; cheap here
        except CompileBudgetError:
            if self._saved_step >= 0:
                self.save()
            raise
        finally:
            self.close()
        return self.finished

    def close(self) -> None:
        """Close the metrics; `train` does it too. Idempotent."""
        self._metrics.close()
        self._timing.close()

    def save(self) -> None:
        """Write training state and weights of the current step.

        Raises:
            DivergenceError: The weights are not finite; nothing is overwritten.
            CheckpointError: A file could not be written; the old ones are kept.
        """
        if not self._changed:
            return
        self._check_weights()
        # The state comes last: when it is on the disk, so is all that goes with its step. Whatever
        # else is newer than the state is made again by the run that resumes from it.
        self._metrics.sync()
        self._timing.sync()
        self._write_weights(self.run.model)
        save_state(self.run.state, self._state())
        self._saved_step = self.step
        self._changed = False

    def evaluate(self) -> float:
        """Mean loss over the held-out sequences, nats per token.

        Raises:
            DivergenceError: It is not finite.
        """
        self._upload()
        total, n_targets = 0.0, 0
        batches = self._dataset.held_out_batches(self.config.batch_size, self.config.eval_sequences)
        for tokens, targets in batches:
            total += self._model.loss(tokens, targets) * targets.size
            n_targets += targets.size
        loss = total / n_targets
        if not math.isfinite(loss):
            self._diverge(f"the held-out loss became {loss}", self.step)
        return loss

    def _begin(self) -> StepReport:
        start = time.perf_counter()
        with self._watch.part("evaluate"):
            self._evaluate_and_compare()
        loss = self.held_out_loss
        self._metrics.write({"step": 0, "tokens": 0, "held_out_loss": loss})
        with self._watch.part("save"):
            self.save()
        seconds = self._watch.take()
        self._log_times(seconds)
        nan, scale = math.nan, self._optimizer.loss_scale.value
        took = time.perf_counter() - start
        compiling = seconds.get("compile", 0.0)
        return StepReport(
            0, nan, loss, 0.0, nan, scale, 0, 0, took, best_loss=loss, compile_seconds=compiling
        )

    def _whole_step(self) -> StepReport:
        with self._watch.part("train"):
            self._upload()
            try:
                update = self._optimizer.step(self.step)
            except DivergenceError as e:
                self._diverge(str(e), self.step + 1)
        self._uploaded = update.skipped or update.uploaded
        self.step += 1
        record = {
            "step": self.step,
            "tokens": self.step * self.config.tokens_per_step,
            "loss": update.loss,
            "learning_rate": update.learning_rate,
            "gradient_norm": update.gradient_norm,
            "loss_scale": update.loss_scale,
            "skipped": self.skipped,
        }
        uploading, self._upload_seconds = self._upload_seconds, 0.0
        batches = _with_upload(update.micro_batches, uploading)
        seconds = self._watch.take()
        for batch in batches:
            for phase, value in batch.timings.items():
                seconds[phase] = seconds.get(phase, 0.0) + value
        # JSON, for the state of a step that another process finishes.
        passes = [dataclasses.asdict(batch) for batch in batches]
        return self._finish({"record": record, "seconds": seconds, "micro_batches": passes})

    def _finish(self, pending: dict[str, Any]) -> StepReport:
        """Evaluate, log and save a step whose update has been made, perhaps by another process."""
        self._pending, self._changed = pending, True
        record, seconds, every = pending["record"], pending["seconds"], self.config.eval_every
        if self.step == self.config.steps or (every and self.step % every == 0):
            with self._watch.part("evaluate"):
                self._evaluate_and_compare()
            record = {**record, "held_out_loss": self.held_out_loss}
        self._pending = None
        self._metrics.write(record)
        self._metrics.flush()
        every = self.config.save_every
        if every and self.step % every == 0:
            with self._watch.part("save"):
                self.save()
        for part, value in self._watch.take().items():
            seconds[part] = seconds.get(part, 0.0) + value
        self._log_times(seconds)
        ane_flops, total_flops = getattr(self._model, "flops_per_step", (0.0, 0.0))
        return StepReport(
            self.step,
            record["loss"],
            record.get("held_out_loss"),
            record["learning_rate"],
            record["gradient_norm"],
            record["loss_scale"],
            self.skipped,
            record["tokens"],
            sum(seconds.get(part, 0.0) for part in PARTS),
            best_loss=self._best.loss,
            micro_batches=tuple(MicroBatch(**fields) for fields in pending["micro_batches"]),
            compile_seconds=seconds.get("compile", 0.0),
            n_compiles=self._n_compiles(),
            ane_flops=ane_flops * self.config.accumulation,
            total_flops=total_flops * self.config.accumulation,
        )

    def _log_times(self, seconds: dict[str, float]) -> None:
        seconds = {**dict.fromkeys(PARTS, 0.0), **seconds}
        times = {f"{name}_ms": round(value * 1e3, 3) for name, value in seconds.items()}
        self._timing.write({"step": self.step, **times})

    def _upload(self) -> None:
        """Give the device the current weights, if it does not have them yet."""
        if self._uploaded:
            return
        n_compiles, start = self._n_compiles(), time.perf_counter()
        self._model.upload_weights()
        self._uploaded = True
        seconds = time.perf_counter() - start
        if self._n_compiles() > n_compiles:
            self._watch.move("compile", seconds)
        else:
            self._upload_seconds += seconds

    def _n_compiles(self) -> int:
        return int(getattr(self._model, "n_compiles", 0))

    def _evaluate_and_compare(self) -> None:
        self.held_out_loss = self.evaluate()
        best = self._best
        if best.loss is not None and self.held_out_loss >= best.loss:
            best.evaluations_since += 1
            return
        self._check_weights()
        if self.step:  # what training began with is no merit of its own
            self._write_weights(self.run.best)
        self._best = _Best(self.held_out_loss, self.step)

    def _write_weights(self, path: Path) -> None:
        parameters = self._model.parameters
        if self._vocabulary is not None:
            parameters = self._vocabulary.expand(parameters)
        config = parameters.config
        checkpoint.write(path.with_suffix(checkpoint.suffix(config)), config, parameters)

    def _check_weights(self) -> None:
        if core.has_nonfinite(self._model.parameters.flat):
            self._diverge("the weights are no longer finite", self.step)

    def _diverge(self, what: str, step: int) -> NoReturn:
        kept = f"The state of step {max(self._saved_step, 0)} is kept in {self.run.path}; "
        if self._saved_step < 0:
            kept = ""
        msg = (
            f"training diverged at step {step}: {what}. {kept}"
            "start again with a lower --learning-rate"
        )
        raise DivergenceError(msg)

    def _state(self) -> TrainingState:
        optimizer = self._optimizer
        state = TrainingState(
            parameters=self._model.parameters.flat,
            m=optimizer.m,
            v=optimizer.v,
            step=self.step,
            skipped=optimizer.skipped,
            loss_scale=optimizer.loss_scale.value,
            good_steps=optimizer.loss_scale.good_steps,
            data_hash=self._dataset.hash,
            config=self.config.to_dict(),
            model=dataclasses.asdict(self._model.config),
            best_loss=self._best.loss,
            best_step=self._best.step,
            evaluations_since_best=self._best.evaluations_since,
            pending=self._pending,
        )
        if self._vocabulary is not None:
            state.unused_rows = self._vocabulary.unused_rows
        return state

    def _restore(self, state: TrainingState) -> None:
        flat = self._model.parameters.flat
        if state.parameters.shape != flat.shape:
            msg = (
                f"{self.run.state}: training state is of a model with {state.parameters.size} "
                f"parameters, the model has {flat.size}"
            )
            raise CheckpointError(msg)
        if flat is not state.parameters:
            np.copyto(flat, state.parameters)
        self._best = _Best(state.best_loss, state.best_step, state.evaluations_since_best)


def _last_held_out(metrics: Path) -> float | None:
    losses = [r["held_out_loss"] for r in read_jsonl(metrics) if "held_out_loss" in r]
    return losses[-1] if losses else None


def _with_upload(batches: tuple[MicroBatch, ...], seconds: float) -> tuple[MicroBatch, ...]:
    """The passes of a step, the first one with the time of uploading weights among its copies."""
    first = batches[0]
    if not first.timings:
        return batches
    timings = {**first.timings, "t_io": first.timings.get("t_io", 0.0) + seconds}
    return dataclasses.replace(first, timings=timings), *batches[1:]
