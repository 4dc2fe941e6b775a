"""How a model's layers are put on the device: pipeline, layout, what runs where."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from .. import chips
from ..ane import device_info
from ..errors import ConfigError

if TYPE_CHECKING:
    from .. import Device

_CHOICES = {
    "pipeline": ("dynamic", "static"),
    "weights_as": ("inputs", "packed"),
    "blobs": ("per-matrix", "single"),
    "taps": ("outputs", "concat"),
    "cls": ("cpu", "ane"),
    "rmsnorm_backward": ("cpu", "ane"),
}


@dataclass(frozen=True, kw_only=True)
class PipelineOptions:
    """Choices that change where and how a model is computed, not what.

    docs/training_kernels.md explains and measures them.

    Attributes:
        pipeline: "dynamic": nine kernels compiled once, weights are inputs. "static": six kernels a
            layer with the weights baked in, compiled again by every `upload_weights`.
        weights_as: How a kernel's inputs reach it. "inputs": a surface each, all of one size.
            "packed": one surface, inputs side by side along its last axis. (In the static pipeline
            that is activations only.)
        blobs: Constants of a program in a weight file each ("per-matrix"), or all in one
            ("single").
        taps: Results of a kernel in a surface each ("outputs"), or in one, concatenated along the
            channels ("concat").
        cls: Where the classifier runs, forward and backward by its input. On the device its logits
            are fp16.
        rmsnorm_backward: Where RMSNorm's backward pass runs.

    Raises:
        ConfigError: A value is none of the choices.
    """

    pipeline: str = "dynamic"
    weights_as: str = "inputs"
    blobs: str = "per-matrix"
    taps: str = "outputs"
    cls: str = "cpu"
    rmsnorm_backward: str = "cpu"

    def __post_init__(self) -> None:
        for field in fields(self):
            value, choices = getattr(self, field.name), _CHOICES[field.name]
            if value not in choices:
                msg = f"{field.name} must be one of {', '.join(choices)}, got {value!r}"
                raise ConfigError(msg)


def choose_options(device: Device, **given: str | None) -> PipelineOptions:
    """The given options, and for those that are None what suits the device's chip.

    Raises:
        ConfigError: As PipelineOptions, or an option that does not exist.
    """
    unknown = sorted(set(given) - set(_CHOICES))
    if unknown:
        msg = f"no pipeline option '{unknown[0]}'; options are {', '.join(_CHOICES)}"
        raise ConfigError(msg)
    suited = for_chip(chip_of(device))
    return replace(suited, **{k: v for k, v in given.items() if v is not None})


def chip_of(device: Device) -> str | None:
    """Name of the chip profile of a device; None for an emulator of no chip in particular."""
    if device.name == "ane":
        info = device_info()
        return None if info is None else info.chip_profile
    return getattr(getattr(device, "emulation", None), "chip", "") or None


def chip_limit(chip: str | None, name: str) -> int:
    """A limit of a chip, or of the most capable one when none is named."""
    found = chips.all_chips() if chip is None else [chips.find(chip)]
    return max(int(c.limits[name].value or 0) for c in found)


def for_chip(name: str | None) -> PipelineOptions:
    """Layouts that are known to work on a chip; for None those that cost least.

    One surface in and one out is what upstream's dynamic pipeline trained with on M3 Ultra, M4 and
    M5, where several inputs were reported to fail with 0x1d (maderix/ANE README) unless all surfaces
    have one size (Orion, M4 Max). On M1 and M2 slices from inside the last axis, which unpacking
    consists of, turn magnitudes above 4094 into infinities (ane-guide ch. 19), and scaled gradients
    are such: surfaces of one size each are the choice there.
    """
    if name is None:
        return PipelineOptions()
    chip = chips.find(name)
    if (
        chip.numerics["width_slice_saturates"].value
        or not chip.quirks["wants_uniform_surfaces"].value
    ):
        return PipelineOptions()
    taps = "outputs" if chip.quirks["refuses_concat"].value else "concat"
    return PipelineOptions(weights_as="packed", taps=taps)
