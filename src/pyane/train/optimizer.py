"""One optimizer step: micro-batches, clipping, AdamW, and the loss scale that keeps fp16 alive."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Protocol

import numpy.typing as npt

from .._core import train as core
from ..errors import DivergenceError
from ..llama import Config, Parameters
from .config import TrainConfig
from .data import Sampler
from .schedule import LossScale, learning_rate
from .state import TrainingState


class TrainableModel(Protocol):
    """What training needs of `pyane.llama.Model`; described there.

    It may also have `half_weights`, and tell `timings` (seconds by phase of its last call),
    `n_compiles` (so far) and `flops_per_step` (of one micro-batch: on the device, and in all).
    """

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
class MicroBatch:
    """What one forward and backward pass did.

    Attributes:
        loss: Mean loss, nats per token.
        seconds: Wall time.
        timings: Seconds by phase, as far as the model tells: t_ane, t_io, t_cls, ...
    """

    loss: float
    seconds: float
    timings: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Update:
    """What one optimizer step did.

    Attributes:
        micro_batches: Its passes.
        learning_rate: Learning rate used.
        gradient_norm: Global norm before clipping; infinite when gradients overflowed.
        loss_scale: Loss scale used.
        skipped: Nothing was changed, because gradients overflowed.
        uploaded: The device has the new weights already.
    """

    micro_batches: tuple[MicroBatch, ...]
    learning_rate: float
    gradient_norm: float
    loss_scale: float
    skipped: bool
    uploaded: bool = False

    @property
    def loss(self) -> float:
        """Mean loss over the micro-batches, nats per token."""
        return sum(b.loss for b in self.micro_batches) / len(self.micro_batches)


class Optimizer:
    """AdamW on the model's parameters.

    Args:
        config: Settings.
        model: Model whose parameters are changed. Its weights must be uploaded before `step`.
        sampler: Gives the micro-batches.
        state: Where to go on; its moments are taken over, not copied.

    Attributes:
        skipped: Steps so far that changed nothing.
        loss_scale: Of the next step.
    """

    def __init__(
        self,
        config: TrainConfig,
        model: TrainableModel,
        sampler: Sampler,
        state: TrainingState | None,
    ) -> None:
        self._config = config
        self._model = model
        self._sampler = sampler
        self._decayed = decayed_ranges(model.parameters)
        self._gradients_are_zero = False
        if state is None:
            self.m = model.parameters.zeros_like().flat
            self.v = model.parameters.zeros_like().flat
            self.skipped = 0
            self.loss_scale = LossScale(config.loss_scale)
        else:
            self.m = state.m
            self.v = state.v
            self.skipped = state.skipped
            self.loss_scale = LossScale(state.loss_scale, state.good_steps)

    def step(self, index: int) -> Update:
        """Make the step with this index, from 0. Whether weights are uploaded, `Update` tells.

        Raises:
            DivergenceError: The loss is not finite, or gradients overflow at any loss scale. Says
                only what happened.
        """
        config, model = self._config, self._model
        rate, scale = learning_rate(config, index), self.loss_scale.value
        batches, overflowed = self._add_gradients(index)
        gradients = model.gradients.flat
        norm = core.global_norm(gradients) / config.accumulation
        overflowed = overflowed or not math.isfinite(norm)
        uploaded = False
        if overflowed:
            norm = math.inf
            self.skipped += 1
        else:
            clip = min(1.0, config.clip_norm / norm) if config.clip_norm and norm else 1.0
            with getattr(model, "half_weights", nullcontext)() as halves:
                core.adam_update(
                    model.parameters.flat,
                    gradients,
                    self.m,
                    self.v,
                    step=index + 1 - self.skipped,
                    learning_rate=rate,
                    beta1=config.beta1,
                    beta2=config.beta2,
                    eps=config.epsilon,
                    weight_decay=config.weight_decay,
                    decayed=self._decayed,
                    grad_scale=clip / config.accumulation,
                    zero_grads=True,
                    halves=halves or [],
                )
            uploaded = halves is not None
            self._gradients_are_zero = True
        self.loss_scale.update(overflowed)
        if self.loss_scale.value < 1:
            msg = "gradients overflow even at loss scale 1"
            raise DivergenceError(msg)
        return Update(tuple(batches), rate, norm, scale, overflowed, uploaded)

    def _add_gradients(self, index: int) -> tuple[list[MicroBatch], bool]:
        """Passes of a step, and whether one of them overflowed."""
        model, n = self._model, self._config.accumulation
        if not self._gradients_are_zero:
            model.zero_gradients()
        self._gradients_are_zero = False
        batches: list[MicroBatch] = []
        overflowed = False
        for i in range(n):
            tokens, targets = self._sampler.batch(index * n + i)
            start = time.perf_counter()
            loss = model.loss_and_gradients(tokens, targets, loss_scale=self.loss_scale.value)
            seconds = time.perf_counter() - start
            if not math.isfinite(loss):
                msg = f"the loss became {loss}"
                raise DivergenceError(msg)
            timings = dict(getattr(model, "timings", {}))
            timings.pop("t_compile", None)  # of uploads, not of passes
            batches.append(MicroBatch(loss, seconds, timings))
            overflowed = overflowed or model.overflowed
        return batches, overflowed


def decayed_ranges(parameters: Parameters) -> list[tuple[int, int]]:
    """Element ranges of the flat buffer that weight decay applies to: the matrices.

    Norm weights are vectors, stacked over the layers; they are left alone.
    """
    ranges: list[tuple[int, int]] = []
    for name, where in parameters.slices.items():
        if parameters[name].ndim < 3 and name not in ("token_embedding_table", "wcls"):
            continue
        if ranges and ranges[-1][1] == where.start:
            ranges[-1] = (ranges[-1][0], where.stop)
        else:
            ranges.append((where.start, where.stop))
    return ranges
