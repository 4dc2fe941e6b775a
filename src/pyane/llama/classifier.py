"""The classifier's products on the device: fp16 logits, in parts that the device's axes allow."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .. import chips
from .._core.base import float_to_half
from .layer_kernels import Definitions

if TYPE_CHECKING:
    from .kernels import KernelShape
    from .layer_kernels import LayerKernels
    from .parameters import Float32Array
    from .step import Step
    from .tensors import Tensor
    from .timings import Timings


def longest_part(chip: str | None) -> int:
    """Most rows of the classifier in one program: an axis of the logits, and what dx sums over.

    Of the most capable chip when none is named.
    """
    found = chips.all_chips() if chip is None else [chips.find(chip)]
    names = ("max_width", "max_channels", "max_matmul_inner")
    return max(min(int(c.limits[name].value or 0) for name in names) for c in found)


def classifier_shape(shape: KernelShape, longest: int) -> tuple[KernelShape, Definitions]:
    """Rows of the classifier per program, and its programs, with at most `longest` rows."""
    n_parts = -(-shape.config.vocab_size // longest)
    rows = -(-shape.config.vocab_size // n_parts)
    return replace(shape, classifier_rows=rows), Definitions.of_classifier(n_parts)


class DeviceClassifier:
    """Bound once; its weights are those last uploaded to `kernels`."""

    def __init__(self, kernels: LayerKernels) -> None:
        """Makes and binds the tensors."""
        (forward,), (backward,) = kernels.definitions.forward, kernels.definitions.backward
        self._x = kernels.new_tensor("xncls")
        self._forward: list[tuple[Step, Tensor]] = []
        self._backward: list[tuple[Step, Tensor, Tensor]] = []
        for part in range(kernels.definitions.n_layers):
            tensors = {"xncls": self._x, "dlogits": kernels.new_tensor("dlogits")}
            tensors |= kernels.new_outputs(forward) | kernels.new_outputs(backward)
            step = kernels.step(forward, part, tensors)
            self._forward.append((step, tensors["logits"]))
            step = kernels.step(backward, part, tensors)
            self._backward.append((step, tensors["dlogits"], tensors["dxncls"]))

    def forward(self, x: Float32Array, logits: Float32Array, timings: Timings) -> None:
        """Logits [B, S, V] of x [B, C, 1, S], both rounded to fp16 on the way."""
        with timings.phase("t_io"), self._x.surface.lock():
            float_to_half(x, self._x.array)
        for part, (step, result) in enumerate(self._forward):
            step.run(timings)
            with timings.phase("t_io"), result.surface.lock(read_only=True):
                columns = self._columns(logits, part)
                np.copyto(columns, result.array[:, 0, :, : columns.shape[2]])

    def backward(self, dlogits: Float32Array, dx: Float32Array, timings: Timings) -> None:
        """From dlogits [B, S, V] to dx [B, C, 1, S]; the parts' shares are added in fp32."""
        for part, (step, given, result) in enumerate(self._backward):
            columns = self._columns(dlogits, part)
            with timings.phase("t_io"), given.surface.lock(), np.errstate(over="ignore"):
                given.array[:, 0, :, columns.shape[2] :] = 0
                np.copyto(given.array[:, 0, :, : columns.shape[2]], columns, casting="same_kind")
            step.run(timings)
            with timings.phase("t_io"), result.surface.lock(read_only=True):
                if part == 0:
                    np.copyto(dx, result.array)
                else:
                    dx += result.array

    def _columns(self, logits: Float32Array, part: int) -> Float32Array:
        rows = self._forward[0][1].array.shape[3]
        return logits[:, :, part * rows : (part + 1) * rows]
