"""The training loop: gradients, Adam, evaluation, and a state that survives any interruption."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any, NoReturn, Protocol

import numpy as np
import numpy.typing as npt

from .._core import train as core
from ..errors import CheckpointError, DivergenceError
from ..llama import Config, Parameters
from ..llama.checkpoint import write_llama2c
from .config import TrainConfig
from .data import Dataset, Sampler
from .metrics import JsonLines
from .run_folder import RunFolder
from .schedule import LossScale, learning_rate
from .state import TrainingState, save_state


class TrainableModel(Protocol):
    """What the trainer needs of `pyane.llama.Model`; described there."""

    config: Config
    parameters: Parameters
    overflowed: bool

    @property
    def gradients(self) -> Parameters: ...  # noqa: D102

    def zero_gradients(self) -> None: ...  # noqa: D102

    def upload_weights(self) -> None: ...  # noqa: D102

    def loss(self, tokens: npt.ArrayLike, targets: npt.ArrayLike) -> float: ...  # noqa: D102

    def loss_and_gradients(  # noqa: D102
        self, tokens: npt.ArrayLike, targets: npt.ArrayLike, *, loss_scale: float
    ) -> float: ...


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


class Trainer:
    """Trains a model in a run folder.

    Args:
        config: Settings.
        model: Model to train; its parameters are changed.
        dataset: Tokens.
        run: Folder for metrics, state and weights; must be locked by this process.
        state: Where to go on; its moments are taken over, not copied. None begins with the
            model's parameters.

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
    ) -> None:
        self.config = config
        self.run = run
        self.step = 0
        self.skipped = 0
        self.held_out_loss: float | None = None
        self._model = model
        self._dataset = dataset
        self._sampler = Sampler(dataset, config.batch_size, config.seed)
        self._loss_scale = LossScale(config.loss_scale)
        self._decayed = decayed_ranges(model.parameters)
        self._stop = False
        self._saved_step = -1
        if state is None:
            self._m = np.zeros_like(model.parameters.flat)
            self._v = np.zeros_like(model.parameters.flat)
        else:
            self._restore(state)
            self._saved_step = self.step
        model.upload_weights()
        keep = -1 if state is None else self.step
        self._metrics = JsonLines(run.metrics, keep)
        self._timing = JsonLines(run.timing, keep)

    def request_stop(self) -> None:
        """Make `train` save and return after the step it is in. Safe in a signal handler."""
        self._stop = True

    def train(self, on_step: Callable[[StepReport], None] | None = None) -> bool:
        """Train up to `config.steps`, evaluating and saving on the way and at the end.

        Args:
            on_step: Called after every step, and for the evaluation before the first.

        Returns:
            True when all steps are done, False after `request_stop`; the state is saved in both
            cases.

        Raises:
            DivergenceError: The loss or the weights are not finite, or gradients overflow at any
                loss scale. The last state that was saved is kept.
            CheckpointError: A file could not be written; the last state that was saved is kept.
        """
        try:
            if self._saved_step < 0:
                self._begin(on_step)
            while self.step < self.config.steps and not self._stop:
                report = self._timed_step()
                if on_step is not None:
                    on_step(report)
            self.save()
        finally:
            self.close()
        return self.step >= self.config.steps

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
        if self._saved_step == self.step:
            return
        if core.has_nonfinite(self._model.parameters.flat):
            self._diverge("the weights are no longer finite")
        # First what the state's step refers to: metrics up to it are on the disk when it is.
        self._metrics.sync()
        self._timing.sync()
        save_state(self.run.state, self._state())
        write_llama2c(self.run.model, self._model.config, self._model.parameters)
        self._saved_step = self.step

    def evaluate(self) -> float:
        """Mean loss over the held-out sequences, nats per token."""
        total, n_targets = 0.0, 0
        batches = self._dataset.held_out_batches(self.config.batch_size, self.config.eval_sequences)
        for tokens, targets in batches:
            total += self._model.loss(tokens, targets) * targets.size
            n_targets += targets.size
        return total / n_targets

    def _begin(self, on_step: Callable[[StepReport], None] | None) -> None:
        start = time.perf_counter()
        self.held_out_loss = self.evaluate()
        self._metrics.write({"step": 0, "tokens": 0, "held_out_loss": self.held_out_loss})
        self.save()
        if on_step is not None:
            scale, seconds = self._loss_scale.value, time.perf_counter() - start
            nan = math.nan
            on_step(StepReport(0, nan, self.held_out_loss, 0.0, nan, scale, 0, 0, seconds))

    def _timed_step(self) -> StepReport:
        start = time.perf_counter()
        rate = learning_rate(self.config, self.step)
        scale = self._loss_scale.value
        loss, norm = self._optimize(rate)
        self.step += 1
        trained = time.perf_counter()
        done = self.step == self.config.steps
        every = self.config.eval_every
        held_out = self.evaluate() if done or (every and self.step % every == 0) else None
        evaluated = time.perf_counter()
        tokens = self.step * self.config.tokens_per_step
        record: dict[str, Any] = {
            "step": self.step,
            "tokens": tokens,
            "loss": loss,
            "learning_rate": rate,
            "gradient_norm": norm,
            "loss_scale": scale,
            "skipped": self.skipped,
        }
        if held_out is not None:
            self.held_out_loss = held_out
            record["held_out_loss"] = held_out
        self._metrics.write(record)
        self._metrics.flush()
        every = self.config.save_every
        if every and self.step % every == 0:
            self.save()
        end = time.perf_counter()
        self._timing.write(
            {
                "step": self.step,
                "train_ms": round((trained - start) * 1e3, 3),
                "evaluate_ms": round((evaluated - trained) * 1e3, 3),
                "save_ms": round((end - evaluated) * 1e3, 3),
            }
        )
        skipped = self.skipped
        return StepReport(
            self.step, loss, held_out, rate, norm, scale, skipped, tokens, end - start
        )

    def _optimize(self, rate: float) -> tuple[float, float]:
        """One optimizer step; returns loss and gradient norm."""
        config, model = self.config, self._model
        model.zero_gradients()
        total = 0.0
        overflowed = False
        for i in range(config.accumulation):
            tokens, targets = self._sampler.batch(self.step * config.accumulation + i)
            loss = model.loss_and_gradients(tokens, targets, loss_scale=self._loss_scale.value)
            if not math.isfinite(loss):
                self._diverge(f"the loss became {loss}")
            total += loss
            overflowed = overflowed or model.overflowed
        gradients = model.gradients.flat
        norm = core.global_norm(gradients) / config.accumulation
        overflowed = overflowed or not math.isfinite(norm)
        if overflowed:
            norm = math.inf
            self.skipped += 1
        else:
            clip = min(1.0, config.clip_norm / norm) if config.clip_norm and norm else 1.0
            core.adam_update(
                model.parameters.flat,
                gradients,
                self._m,
                self._v,
                step=self.step + 1 - self.skipped,
                learning_rate=rate,
                beta1=config.beta1,
                beta2=config.beta2,
                eps=config.epsilon,
                weight_decay=config.weight_decay,
                decayed=self._decayed,
                grad_scale=clip / config.accumulation,
            )
            model.upload_weights()
        self._loss_scale.update(overflowed)
        if self._loss_scale.value < 1:
            self._diverge("gradients overflow even at loss scale 1")
        return total / config.accumulation, norm

    def _diverge(self, what: str) -> NoReturn:
        msg = (
            f"training diverged at step {self.step + 1}: {what}. The state of step "
            f"{max(self._saved_step, 0)} is kept in {self.run.path}; "
            "start again with a lower --learning-rate"
        )
        raise DivergenceError(msg)

    def _state(self) -> TrainingState:
        return TrainingState(
            parameters=self._model.parameters.flat,
            m=self._m,
            v=self._v,
            step=self.step,
            skipped=self.skipped,
            loss_scale=self._loss_scale.value,
            good_steps=self._loss_scale.good_steps,
            data_hash=self._dataset.hash,
            config=self.config.to_dict(),
            model=dataclasses.asdict(self._model.config),
        )

    def _restore(self, state: TrainingState) -> None:
        flat = self._model.parameters.flat
        if state.parameters.shape != flat.shape:
            msg = (
                f"{self.run.state}: training state is of a model with {state.parameters.size} "
                f"parameters, the model has {flat.size}"
            )
            raise CheckpointError(msg)
        if flat is not state.parameters:
            flat[...] = state.parameters
        self._m = state.m
        self._v = state.v
        self.step = state.step
        self.skipped = state.skipped
        self._loss_scale = LossScale(state.loss_scale, state.good_steps)


def decayed_ranges(parameters: Parameters) -> list[tuple[int, int]]:
    """Element ranges of the flat buffer that weight decay applies to: all but the norm weights."""
    ranges: list[tuple[int, int]] = []
    for name, where in parameters.slices.items():
        if name.startswith("rms_"):
            continue
        if ranges and ranges[-1][1] == where.start:
            ranges[-1] = (ranges[-1][0], where.stop)
        else:
            ranges.append((where.start, where.stop))
    return ranges
