"""Facts about the Apple Neural Engine of this machine, and what this process has asked of it.

For people and reports: `pyane info` and `pyane doctor` print them. To run programs see
`pyane.device`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ._core import engine as _engine
from .device import Budget

__all__ = ["Budget", "DeviceInfo", "budget", "chip_profile", "device_info", "unavailable_reason"]

# The engine's generation is the number in its architecture string: h13 came with M1, h17 with M5.
_PROFILES = {"h13": "m1", "h14": "m2", "h15": "m3", "h16": "m4", "h17": "m5"}


@dataclass(frozen=True)
class DeviceInfo:
    """What AppleNeuralEngine.framework says of the machine.

    Facts that this version of the framework does not tell are empty, or -1.

    Attributes:
        framework_path: What was loaded; not Apple's when a stand-in is in use.
        has_ane: There is an engine.
        is_virtual_machine: This is one, and the engine refuses programs.
        n_engines: Engines.
        n_cores: Their cores.
        architecture: "h13g" (M1 Pro, Max), "h16g" (M4), ...
        sub_type: As the framework says.
        board_type: As the framework says.
        product_name: As the framework says.
        build_version: Of macOS.
    """

    framework_path: str
    has_ane: bool
    is_virtual_machine: bool
    n_engines: int
    n_cores: int
    architecture: str
    sub_type: str
    board_type: int
    product_name: str
    build_version: str

    @property
    def chip_profile(self) -> str | None:
        """Profile of this chip, "m1" to "m5"; None for an engine that is not known."""
        return chip_profile(self.architecture)

    def asdict(self) -> dict[str, object]:
        """For JSON."""
        return {**asdict(self), "chip_profile": self.chip_profile}


def unavailable_reason() -> str:
    """Empty when the engine can be reached; otherwise why not and what to do."""
    return str(_engine.ane_unavailable_reason())


def device_info() -> DeviceInfo | None:
    """Facts about the engine; None where the framework cannot be loaded."""
    facts = _engine.ane_device_info()
    return None if facts is None else DeviceInfo(**facts)


def budget() -> Budget:
    """What this process has used, and may use, of the engine.

    Beyond about 119 compilations and 128 loaded programs the framework starts to fail. Environment
    variables PYANE_ANE_COMPILE_LIMIT and PYANE_ANE_LOAD_LIMIT set other limits. Programs that the
    framework has kept compiled do not count.
    """
    return Budget(**_engine.ane_budget())


def chip_profile(architecture: str) -> str | None:
    """Name of the chip profile for an architecture string, e.g. "h16g" -> "m4"."""
    return _PROFILES.get(architecture[:3].lower())
