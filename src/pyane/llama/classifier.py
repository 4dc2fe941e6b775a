"""The classifier's products on the device: fp16 logits, in parts that the device's axes allow."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .._core.base import float_to_half
from .layer_kernels import Definitions, fits
from .options import chip_limit

if TYPE_CHECKING:
    from .kernels import KernelShape
    from .layer_kernels import LayerKernels
    from .options import PipelineOptions
    from .parameters import Float32Array
    from .step import Step
    from .tensors import Tensor
    from .timings import Timings


def classifier_shape(
    shape: KernelShape, options: PipelineOptions, chip: str | None
) -> tuple[KernelShape, Definitions]:
    """Rows of the classifier per program, and its programs: as few as a chip's limits allow."""
    n_parts = -(-shape.config.vocab_size // _most_rows(chip))
    while True:
        rows = -(-shape.config.vocab_size // n_parts)
        part = replace(shape, classifier_rows=rows)
        definitions = Definitions.of_classifier(n_parts)
        if rows == 1 or fits(part, definitions, options, chip):
            return part, definitions
        n_parts += 1


def _most_rows(chip: str | None) -> int:
    """What an axis of the logits may have, and a product sum over."""
    return min(chip_limit(chip, name) for name in ("max_width", "max_channels", "max_matmul_inner"))


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
