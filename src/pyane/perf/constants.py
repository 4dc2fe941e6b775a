"""The numbers that the model multiplies with, per chip: profiles, and what was fitted."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from .. import chips

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..chips import Chip

ANCHORS: Final = {1: "m1max", 2: "m2pro", 5: "m5pro"}
"""The products that single programs were timed on, by generation."""

# What an engine takes of its SoC's memory at most: 85 of 400 GB/s on M1 Max, 157 of 307 on M5 Pro;
# a base chip's whole memory is little more, and others use it too.
_MEMORY_SHARE: Final = 0.75
# How far the constants of a sibling may lie from those of the product that was measured.
_SIBLING: Final = 1.25


@dataclasses.dataclass(frozen=True)
class Constants:
    """Rates of one chip, SI units.

    Attributes:
        chip: Its name.
        peak: fp16 operations a second: 8192 a cycle times the highest clock.
        weight_rate: Bytes of weights a second, from memory.
        reuse_rate: Bytes of weights a second that were read before in the same evaluation.
        boundary_rate: Bytes of inputs and outputs a second, evaluated once at a time.
        memory_rate: Bytes a second of what does not fit on the chip; also of inputs and outputs in
            a loop over bound surfaces.
        dispatch: Seconds of one evaluate, whatever it computes.
        loop_dispatch: The same, evaluated back to back.
        row_rate: Bytes a second of a long reduction along the last axis.
        attention_rate: Bytes a second of the operands of the native attention.
        int8_speedup: Of operations on int8 weights and activations.
        winograd: By how much 3x3 convolutions exceed the peak.
        on_chip_bytes: Of intermediate results.
        transpose_from: Extent from which a reduction along the last axis takes the other route.
        streams: Forms of weights that stay compressed on the way to the engine.
        basis: "measured": the fit's points are of this very product; "sibling": of another of its
            generation; "between": of the generations around it.
    """

    chip: str
    peak: float
    weight_rate: float
    reuse_rate: float
    boundary_rate: float
    memory_rate: float
    dispatch: float
    loop_dispatch: float
    row_rate: float
    attention_rate: float
    int8_speedup: float
    winograd: float
    on_chip_bytes: int
    transpose_from: int
    streams: frozenset[str]
    basis: str


@dataclasses.dataclass(frozen=True)
class Range:
    """Constants as they are taken to be, and the slowest and fastest that they may be."""

    likely: Constants
    slowest: Constants
    fastest: Constants


@functools.cache
def fitted() -> Mapping[str, Any]:
    """fitted.json of the package: what tools/fit_performance_model.py wrote."""
    text = resources.files(__package__).joinpath("fitted.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def constants(name: str, fit: Mapping[str, Any] | None = None) -> Range:
    """The constants of a chip.

    Args:
        name: As in `pyane.chips.find`.
        fit: Take these for fitted.json.

    Raises:
        ConfigError: There is no such chip.
    """
    chip = chips.find(name)
    fit = fitted() if fit is None else fit
    known = {
        g: fit["single"][anchor] | {"dram_gbps": _rate(chips.find(anchor), "dram_gbps")}
        for g, anchor in ANCHORS.items()
    }
    generation = chip.generation
    if generation in known:
        likely = known[generation]
        if ANCHORS[generation] == chip.name:
            values = (likely, likely, likely)
            basis = "measured"
        else:
            slow = {
                k: v * (_SIBLING if k == "dispatch_us" else 1 / _SIBLING) for k, v in likely.items()
            }
            fast = {
                k: v / (_SIBLING if k == "dispatch_us" else 1 / _SIBLING) for k, v in likely.items()
            }
            values, basis = (likely, slow, fast), "sibling"
    else:
        before = max(g for g in known if g < generation)
        after = min(g for g in known if g > generation)
        share = (generation - before) / (after - before)
        likely = {
            key: math.exp(
                (1 - share) * math.log(known[before][key]) + share * math.log(known[after][key])
            )
            for key in known[before]
        }
        values, basis = (likely, known[before], known[after]), "between"
    return Range(*(_constants(chip, single, fit, basis) for single in values))


def _constants(
    chip: Chip, single: Mapping[str, float], fit: Mapping[str, Any], basis: str
) -> Constants:
    clock = _rate(chip, "clock_mhz") * 1e6
    share = _MEMORY_SHARE * _rate(chip, "memory_gbps") * 1e9
    weight = min(single["weight_gbps"] * 1e9, share)
    quirks = chip.quirks
    return Constants(
        chip=chip.name,
        peak=8192 * clock,
        weight_rate=weight,
        reuse_rate=fit["reuse_bytes_per_cycle"] * clock,
        boundary_rate=single["io_gbps"] * 1e9,
        memory_rate=min(single["dram_gbps"] * 1e9, share),
        dispatch=single["dispatch_us"] * 1e-6,
        loop_dispatch=fit["loop_factor"] * single["dispatch_us"] * 1e-6,
        row_rate=fit["row_bytes_per_cycle"] * clock,
        attention_rate=fit["attention_bytes_per_cycle"] * clock,
        int8_speedup=_rate(chip, "int8_speedup"),
        winograd=fit["winograd"],
        on_chip_bytes=int(_rate(chip, "on_chip_bytes")),
        transpose_from=int(_number(chip.numerics["reduction_by_transpose_from"].value)),
        streams=frozenset(
            form
            for form, name in (
                ("int8", "streams_int8"),
                ("lut", "streams_int4_lut"),
                ("sparse", "streams_sparse"),
                ("blockwise", "streams_blockwise"),
            )
            if quirks[name].value
        ),
        basis=basis,
    )


def _rate(chip: Chip, name: str) -> float:
    return _number(chip.rates[name].value)


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)
