"""What follows the layers: last RMSNorm, classifier, loss. fp32 on the CPU, unless told otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core import train as cpu
from .aligned import aligned_zeros

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from .classifier import DeviceClassifier
    from .parameters import Float32Array, Parameters
    from .tensors import Float16Array
    from .timings import Timings


class Output:
    """Buffers for a fixed number of sequences and positions, kept from step to step."""

    def __init__(
        self,
        parameters: Parameters,
        batch: int,
        positions: int,
        timings: Timings,
        classifier: DeviceClassifier | None = None,
    ) -> None:
        """Takes the classifier's products to the device if one is given."""
        config = parameters.config
        self._parameters = parameters
        self._timings = timings
        self._classifier = classifier
        self._normalised = aligned_zeros((batch, config.dim, 1, positions))
        self._gradient = aligned_zeros(self._normalised.shape)
        self._dnormalised = aligned_zeros(self._normalised.shape)
        self.logits = aligned_zeros((batch, positions, config.vocab_size))

    def forward(self, x: Float16Array) -> Float32Array:
        """Logits [B, S, V] of the residual stream [B, C, 1, S]. Overwritten by the next call."""
        with self._timings.phase("t_rms"):
            cpu.rmsnorm_forward(
                self._normalised,
                x,
                self._parameters["rms_final_weight"],
                eps=self._parameters.config.norm_eps,
            )
        if self._classifier is not None:
            self._classifier.forward(self._normalised, self.logits, self._timings)
            return self.logits
        with self._timings.phase("t_cls"):
            cpu.classifier_forward(self.logits, self._normalised, self._parameters.classifier)
        return self.logits

    def loss(self, x: Float16Array, targets: npt.NDArray[np.int32]) -> float:
        """Mean negative log-likelihood of targets [B, S] over those >= 0."""
        logits = self.forward(x)
        with self._timings.phase("t_cls"):
            mean, _ = cpu.cross_entropy_forward(logits, targets)
        return float(mean)

    def loss_and_gradients(
        self,
        x: Float16Array,
        targets: npt.NDArray[np.int32],
        gradients: Parameters,
        queue: cpu.WeightGradientQueue,
        loss_scale: float,
    ) -> tuple[float, Float32Array]:
        """The loss, and its gradient by `x` times the loss scale, [B, C, 1, S] fp32.

        Adds the gradients of `rms_final_weight` and, through `queue`, of the classifier. The result
        and the buffers that the queue reads are overwritten by the next call: wait before it.
        """
        logits = self.forward(x)
        with self._timings.phase("t_cls"):
            mean, _ = cpu.cross_entropy_forward_backward(logits, targets, gradient_scale=loss_scale)
        unscale = 1.0 / loss_scale
        with self._timings.phase("t_cblas_wait"):
            queue.submit(
                gradients.classifier,
                self.logits,
                self._normalised,
                scale=unscale,
                positions_first_dy=True,
                hold_dy=True,
                hold_x=True,
            )
        if self._classifier is not None:
            self._classifier.backward(self.logits, self._dnormalised, self._timings)
        else:
            with self._timings.phase("t_cls"):
                cpu.classifier_backward(self._dnormalised, self.logits, self._parameters.classifier)
        with self._timings.phase("t_rms"):
            cpu.rmsnorm_backward(
                self._gradient,
                gradients["rms_final_weight"],
                self._dnormalised,
                x,
                self._parameters["rms_final_weight"],
                eps=self._parameters.config.norm_eps,
                dw_scale=unscale,
            )
        return float(mean), self._gradient
