"""Whether a step can fit into this machine at all: before the data are made, not in the first step."""

from __future__ import annotations

import math

from .. import llama
from .._core import base
from ..errors import ConfigError
from ..llama.kernels import KernelShape
from ..llama.layer_kernels import Definitions
from .config import TrainConfig

_HALF_BYTES = 2


def activation_bytes(config: TrainConfig, shape: llama.Config) -> int:
    """What the layers keep of a micro-batch for the backward pass, in fp16. A step takes more."""
    options = llama.PipelineOptions(pipeline=config.pipeline)
    sizes = KernelShape(shape, config.batch_size, config.seq_len).tensor_shapes()
    kernels = Definitions.of_layers(shape, options).forward
    n_kept = sum(math.prod(sizes[name]) for kernel in kernels for name in kernel.outputs)
    return _HALF_BYTES * shape.n_layers * n_kept


def check_memory(config: TrainConfig, shape: llama.Config) -> None:
    """Refuse a micro-batch that cannot fit.

    Raises:
        ConfigError: Its activations alone are more than the machine has.
    """
    memory, needed = base.memory_of_machine(), activation_bytes(config, shape)
    if memory is None or needed <= memory:
        return
    flag, way_out = (
        "--batch-size",
        f"{memory * config.batch_size // needed} sequences would fill it; --accumulation",
    )
    way_out += " makes large steps of small micro-batches"
    value = config.batch_size
    if config.batch_size == 1:
        flag, value, way_out = "--seq-len", config.seq_len, "a shorter one takes less"
    msg = (
        f"{flag} {value}: the activations alone take {needed / 1e9:,.0f} GB, the machine "
        f"has {memory / 1e9:,.0f} GB; {way_out}"
    )
    raise ConfigError(msg)
