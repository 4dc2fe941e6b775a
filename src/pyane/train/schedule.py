"""What changes from step to step: learning rate and loss scale."""

from __future__ import annotations

import dataclasses
import math

from .config import TrainConfig

# Steps without overflow after which the loss scale is doubled (as in PyTorch's GradScaler, shorter).
_GROWTH_INTERVAL = 1000
# Four times llama.model.DEFAULT_LOSS_SCALE; its comment tells how far gradients are from the end.
_MAX_LOSS_SCALE = 2.0**16


def learning_rate(config: TrainConfig, step: int) -> float:
    """Learning rate of a step, counted from 0: linear warm-up, then `config.schedule`.

    The warm-up takes at most half the run: a short one would otherwise end at its highest rate.
    The last step has the minimum, `config.min_learning_rate * config.learning_rate`, unless the
    schedule is constant.
    """
    warmup = min(config.warmup_steps, (config.steps + 1) // 2)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    if config.schedule == "constant":
        return config.learning_rate
    progress = min(1.0, (step - warmup + 1) / max(1, config.steps - warmup))
    low = config.min_learning_rate
    if config.schedule == "linear":
        left = 1.0 - progress
    else:
        left = 0.5 * (1.0 + math.cos(math.pi * progress))
    return config.learning_rate * (low + (1.0 - low) * left)


@dataclasses.dataclass
class LossScale:
    """Dynamic loss scale: halved when gradients overflow, doubled after a long time without.

    Attributes:
        value: Factor on the loss of the next step, a power of two.
        good_steps: Steps without overflow since the last change.
    """

    value: float
    good_steps: int = 0

    def update(self, overflowed: bool) -> None:
        """Take note of a step."""
        if overflowed:
            self.value /= 2
            self.good_steps = 0
            return
        self.good_steps += 1
        if self.good_steps >= _GROWTH_INTERVAL and self.value < _MAX_LOSS_SCALE:
            self.value *= 2
            self.good_steps = 0
