"""What the emulator imitates: which chip, whose arithmetic, how strictly."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Any

from ._core import chip as _chip
from ._core import engine as _engine
from .errors import ConfigError

#: Measured most, by others; the default where one is needed.
DEFAULT_CHIP = "m1"
NUMERICS = ("ieee", "hardware")


@dataclass(frozen=True)
class HardwareNumerics:
    """A chip's arithmetic with some of its choices changed, for studies. None: as the chip's.

    `docs/numerics.md` says which choices are measured and which are fits.

    Attributes:
        accumulator: How matrix products add up: "lanes4", "q15.16" or "exact".
        alignment: What becomes of bits that lanes4's adder shifts out: "truncate" (default),
            "floor" or "nearest-even". The published vectors fit all three.
        accumulator_bits: Significant bits of lanes4's register, truncating towards zero; 0: as many
            as needed. 14 to 16 make errors of long sums that resemble published ones.
        rounds_products: Round every product to fp16 before it is added.
        mac_ceiling: Magnitude from which sums of products are infinite; inf: none.
        flushes_mac_denormals: Products below 2**-14 are zero.
        rounds_ties_away: Ties of a product's final rounding go away from zero, not to even.
        reduces_by_lanes: reduce_sum and its relatives add up as matrix products do.
        int8_activation_ceiling: Magnitude beyond which activations that meet int8 weights are
            infinite; inf: none.
        width_slice_ceiling: Magnitude beyond which values are infinite in slices that begin inside
            the last axis; inf: none.
        uses_tables: Activations come from tables of 33 knots; else they are correctly rounded.
    """

    accumulator: str | None = None
    alignment: str | None = None
    accumulator_bits: int | None = None
    rounds_products: bool | None = None
    mac_ceiling: float | None = None
    flushes_mac_denormals: bool | None = None
    rounds_ties_away: bool | None = None
    reduces_by_lanes: bool | None = None
    int8_activation_ceiling: float | None = None
    width_slice_ceiling: float | None = None
    uses_tables: bool | None = None

    def __str__(self) -> str:
        changed = [
            f"{field.name}={getattr(self, field.name)}"
            for field in fields(self)
            if getattr(self, field.name) is not None
        ]
        return f"hardware({', '.join(changed)})" if changed else "hardware"

    def _native(self, chip: str) -> Any:
        numerics = _engine.Numerics(chip)
        if self.accumulator is not None:
            numerics.set_accumulator(self.accumulator)
        if self.alignment is not None:
            numerics.set_alignment(self.alignment)
        if self.accumulator_bits is not None and not 0 <= self.accumulator_bits <= 52:
            msg = f"numerics: accumulator_bits must be from 0 to 52, got {self.accumulator_bits}"
            raise ConfigError(msg)
        for field in fields(self)[2:]:
            value = getattr(self, field.name)
            if value is None:
                continue
            if field.name.endswith("_ceiling") and not value > 0:
                msg = f"numerics: {field.name} must be positive, got {value}"
                raise ConfigError(msg)
            setattr(numerics, field.name, value)
        return numerics


@dataclass(frozen=True)
class Emulation:
    """The options of an emulator, resolved.

    Attributes:
        chip: Name of the chip's profile; empty when no chip is imitated.
        numerics: The arithmetic; None: IEEE.
        strict: Refuses what the chip refuses.
        faithful: Reproduces the chip's silent errors.
    """

    chip: str = ""
    numerics: HardwareNumerics | None = None
    strict: bool = False
    faithful: bool = False

    @staticmethod
    def resolve(
        chip: str | None,
        numerics: str | HardwareNumerics | None,
        *,
        strict: bool,
        faithful: bool,
    ) -> Emulation:
        """Fill in environment variables and defaults.

        Raises:
            ConfigError: An unknown chip or kind of arithmetic.
        """
        source = "device"
        if numerics is None and os.environ.get("PYANE_NUMERICS"):
            numerics, source = os.environ["PYANE_NUMERICS"], "PYANE_NUMERICS"
        if isinstance(numerics, str):
            if numerics not in NUMERICS:
                msg = f"{source}: numerics must be 'ieee' or 'hardware', got '{numerics}'"
                raise ConfigError(msg)
            numerics = HardwareNumerics() if numerics == "hardware" else None
        chip = chip or os.environ.get("PYANE_CHIP")
        if chip is None and (numerics is not None or strict or faithful):
            chip = DEFAULT_CHIP
        name = _chip.find_profile(chip).name if chip else ""
        return Emulation(name, numerics, strict, faithful)

    def create(self) -> Any:
        """A native emulator."""
        numerics = None if self.numerics is None else self.numerics._native(self.chip)
        return _engine.create_emulator(
            chip=self.chip,
            numerics=numerics,
            is_faithful=self.faithful,
            is_strict=self.strict,
        )

    def __str__(self) -> str:
        """Empty for the emulator of no chip, else for people: "m1, hardware arithmetic"."""
        words = [self.chip] if self.chip else []
        if self.numerics is not None:
            words.append(f"numerics={self.numerics}")
        words += [word for word in ("strict", "faithful") if getattr(self, word)]
        return ", ".join(words)


def parse_device_name(name: str) -> tuple[str, dict[str, Any]]:
    """Take "emulator:m1:hardware:strict" apart.

    Returns:
        "emulator" (or whatever stands before the first colon), and keyword arguments of `device`.

    Raises:
        ConfigError: A part that is no chip, kind of arithmetic, "strict" or "faithful".
    """
    device, *parts = name.split(":")
    options: dict[str, Any] = {}
    for part in parts:
        if part in NUMERICS:
            options["numerics"] = part
        elif part in {"strict", "faithful"}:
            options[part] = True
        else:
            options["chip"] = _chip.find_profile(part).name
    return device, options
