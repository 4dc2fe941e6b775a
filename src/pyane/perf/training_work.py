"""What a training step asks of engine and CPU, counted from the model's sizes."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Final

import numpy as np

from ..llama.flops import training_flops
from ..llama.kernels import KernelShape
from ..llama.layer_kernels import Definitions, interfaces
from .program_reader import workload
from .program_work import Workload

if TYPE_CHECKING:
    from ..llama import Config, PipelineOptions

# Passes of the CPU over fp32 numbers: each tensor read or written once.
_LOSS_PASSES: Final = 4  # logits written and read, their gradient written and read
_STREAM_PASSES: Final = 12  # of a layer: two norms and two residuals, forward and backward
_GRADIENT_PASSES: Final = 2  # read and written by a product that is added to it
_OPTIMIZER_PASSES: Final = 7  # reads weight, gradient, two moments; writes three
_CONVERSION_BYTES: Final = 3  # per byte of fp16: itself, and fp32 on the other side


@dataclasses.dataclass(frozen=True)
class TrainingWork:
    """One step over a micro-batch, and its share of an update.

    Attributes:
        programs: Of one layer, in order.
        n_layers: How often each is evaluated.
        engine_flops: Of the device, a multiply-add counting two.
        cpu_flops: Of weight gradients and classifier.
        boundary_bytes: Inputs and outputs of all evaluations.
        cpu_bytes: That the CPU's passes move.
        compiled: Programs that an update of the weights compiles again.
        accumulation: Steps per update.
    """

    programs: tuple[Workload, ...]
    n_layers: int
    engine_flops: int
    cpu_flops: int
    boundary_bytes: int
    cpu_bytes: float
    compiled: int
    accumulation: int

    @property
    def n_evaluations(self) -> int:
        """Of a step."""
        return len(self.programs) * self.n_layers


@functools.lru_cache(maxsize=32)
def training_work(
    config: Config, options: PipelineOptions, batch: int, positions: int, accumulation: int
) -> TrainingWork:
    """Count a step.

    Args:
        config: The model's sizes.
        options: Pipeline and layout; the classifier is taken to be on the CPU.
        batch: Sequences in a micro-batch.
        positions: Tokens of a sequence.
        accumulation: Micro-batches in an update of the weights.
    """
    shape = KernelShape(config, batch, positions)
    definitions = Definitions.of_layers(config, options)
    programs = []
    compiled = 0
    for interface in interfaces(shape, definitions, options):
        constants = None
        if interface.bakes_weights:
            dims = shape.tensor_shapes()
            constants = {
                name: np.zeros(
                    dims[name][-1:] if name.startswith("rms") else dims[name][2:], np.float16
                )
                for name in interface.kernel.weights
            }
            compiled += config.n_layers if interface.kernel.weights else 0
        programs.append(workload(str(interface.program(constants))))
    tokens = batch * positions
    flops = training_flops(config, batch, positions, cls_on_ane=False)
    boundary = config.n_layers * sum(work.boundary_bytes for work in programs)
    return TrainingWork(
        programs=tuple(programs),
        n_layers=config.n_layers,
        engine_flops=flops.ane,
        cpu_flops=flops.total - flops.ane,
        boundary_bytes=boundary,
        cpu_bytes=_CONVERSION_BYTES * _activation_bytes(config, options, shape, programs)
        + 4
        * (
            _LOSS_PASSES * tokens * config.vocab_size
            + _STREAM_PASSES * tokens * config.dim * config.n_layers
            + _GRADIENT_PASSES * config.n_parameters
            + _OPTIMIZER_PASSES * config.n_parameters / accumulation
        ),
        compiled=compiled,
        accumulation=accumulation,
    )


def _activation_bytes(
    config: Config, options: PipelineOptions, shape: KernelShape, programs: list[Workload]
) -> float:
    """Inputs and outputs of all evaluations without weights, which change once an update."""
    total = sum(work.boundary_bytes for work in programs)
    if options.pipeline == "dynamic":
        dims = shape.tensor_shapes()
        for kernel in (
            Definitions.of_layers(config, options).forward
            + Definitions.of_layers(config, options).backward
        ):
            total -= 2 * sum(int(np.prod(dims[name])) for name in kernel.weights)
    return float(config.n_layers * total)
