"""What a training step asks of engine and CPU, counted from the model's sizes."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Final

import numpy as np

from ..llama.classifier import classifier_shape
from ..llama.flops import training_flops
from ..llama.kernels import KernelShape
from ..llama.layer_kernels import Definitions, interfaces
from .program_reader import workload
from .program_work import Workload

if TYPE_CHECKING:
    from ..llama import Config, PipelineOptions
    from ..llama.kernels import Interface
    from ..mil import Program

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
        programs: What each asks for, and how often a step evaluates it.
        engine_flops: Of the device, a multiply-add counting two.
        cpu_flops: Of weight gradients and, unless it is on the device, the classifier.
        cpu_bytes: That the CPU's passes move.
        compiled: Of the programs, those that an update of the weights compiles again.
        accumulation: Steps per update.
        cls: Where the classifier runs, "cpu" or "ane"; of its weights' gradient it is always the CPU.
    """

    programs: tuple[tuple[Workload, int], ...]
    engine_flops: int
    cpu_flops: int
    cpu_bytes: float
    compiled: tuple[tuple[Workload, int], ...]
    accumulation: int
    cls: str

    @property
    def n_evaluations(self) -> int:
        """Of a step."""
        return sum(times for _, times in self.programs)

    @property
    def boundary_bytes(self) -> int:
        """Inputs and outputs of all evaluations."""
        return sum(times * work.boundary_bytes for work, times in self.programs)


@functools.lru_cache(maxsize=64)
def training_work(
    config: Config,
    options: PipelineOptions,
    batch: int,
    positions: int,
    accumulation: int,
    chip: str | None = None,
) -> TrainingWork:
    """Count a step.

    Args:
        config: The model's sizes.
        options: Pipeline, layout, and where the classifier runs.
        batch: Sequences in a micro-batch.
        positions: Tokens of a sequence.
        accumulation: Micro-batches in an update of the weights.
        chip: Its limits say into how many parts a classifier on the device is cut; None: the widest.
    """
    shape = KernelShape(config, batch, positions)
    sets = [(shape, Definitions.of_layers(config, options))]
    if options.cls == "ane":
        sets.append(classifier_shape(shape, options, chip))
    programs: list[tuple[Workload, int]] = []
    compiled: list[tuple[Workload, int]] = []
    weight_inputs = 0
    for part, definitions in sets:
        times = definitions.n_layers
        for interface in interfaces(part, definitions, options):
            programs.append((workload(str(_program(interface))), times))
            if interface.bakes_weights and interface.kernel.weights:
                compiled.append(programs[-1])
            else:
                dims = part.tensor_shapes()
                of_kernel = sum(math.prod(dims[name]) for name in interface.kernel.weights)
                weight_inputs += 2 * times * of_kernel
    tokens = batch * positions
    flops = training_flops(config, batch, positions, cls_on_ane=options.cls == "ane")
    boundary = sum(times * work.boundary_bytes for work, times in programs)
    return TrainingWork(
        programs=tuple(programs),
        engine_flops=flops.ane,
        cpu_flops=flops.total - flops.ane,
        # Activations at every evaluation, weights that are inputs once an update.
        cpu_bytes=_CONVERSION_BYTES * (boundary - weight_inputs + weight_inputs / accumulation)
        + 4
        * (
            _LOSS_PASSES * tokens * config.vocab_size
            + _STREAM_PASSES * tokens * config.dim * config.n_layers
            + _GRADIENT_PASSES * config.n_parameters
            + _OPTIMIZER_PASSES * config.n_parameters / accumulation
        ),
        compiled=tuple(compiled),
        accumulation=accumulation,
        cls=options.cls,
    )


def _program(interface: Interface) -> Program:
    if not interface.bakes_weights:
        return interface.program()
    dims = interface.shape.tensor_shapes()
    return interface.program(
        {
            name: np.zeros(
                dims[name][-1:] if name.startswith("rms") else dims[name][2:], np.float16
            )
            for name in interface.kernel.weights
        }
    )
