"""A model for training, laid out as suits the device."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .. import device as default_device
from .kernels import KernelShape
from .layer_kernels import Definitions, fits
from .model import Model
from .options import chip_of, choose_options

if TYPE_CHECKING:
    from .. import Device
    from .config import Config
    from .parameters import Parameters


def create_model(
    config: Config,
    parameters: Parameters,
    *,
    device: Device | str | None = None,
    batch: int = 1,
    seq_len: int | None = None,
    pipeline: str | None = None,
    weights_as: str | None = None,
    blobs: str | None = None,
    taps: str | None = None,
    cls: str | None = None,
    rmsnorm_backward: str | None = None,
) -> Model:
    """A model whose kernels are laid out as suits the device's chip, where nothing else is said.

    Args:
        config: Sizes.
        parameters: Weights, kept by reference.
        device: Where to run the layers, or its name; None takes `pyane.device()`.
        batch: Sequences of a training micro-batch.
        seq_len: Positions of a training sequence; None takes `config.seq_len`.
        pipeline: "dynamic" (default) or "static".
        weights_as: "inputs" or "packed".
        blobs: "per-matrix" or "single".
        taps: "outputs" or "concat".
        cls: "cpu" (default) or "ane".
        rmsnorm_backward: "cpu" (default) or "ane".

    The last six are explained in `PipelineOptions`. None of them changes what is computed; layouts
    and pipelines give the same bits on the emulator's plain arithmetic, while `cls` and
    `rmsnorm_backward` round to fp16 what the CPU keeps in fp32.

    Raises:
        ConfigError: An option is none of its choices.
        ShapeError: As `Model`.
    """
    if device is None or isinstance(device, str):
        device = default_device(device)
    options = choose_options(
        device,
        pipeline=pipeline,
        weights_as=weights_as,
        blobs=blobs,
        taps=taps,
        cls=cls,
        rmsnorm_backward=rmsnorm_backward,
    )
    if weights_as is None and taps is None and options.weights_as == "packed":
        shape = KernelShape(config, max(batch, 1), seq_len or config.seq_len)
        definitions = Definitions.of_layers(config, options)
        if not fits(shape, definitions, options, chip_of(device)):  # a large model
            options = replace(options, weights_as="inputs", taps="outputs")
    return Model(config, parameters, device, batch=batch, seq_len=seq_len, options=options)
