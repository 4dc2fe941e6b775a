"""Options of commands that choose a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from ..device import Device

DeviceOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        help="ane or emulator, the latter also with what it imitates: emulator:m1:hardware. "
        "Default: ane where there is one."
    ),
]
ChipOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Chip that the emulator imitates, e.g. m1; see pyane chips."),
]
NumericsOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Emulator's arithmetic: ieee, or hardware as --chip's. Default: ieee."),
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="The emulator refuses what --chip refuses.")
]
FaithfulOption = Annotated[
    bool, typer.Option("--faithful", help="The emulator makes --chip's silent errors.")
]


def open_device(
    name: str | None,
    chip: str | None,
    numerics: str | None,
    *,
    strict: bool = False,
    faithful: bool = False,
) -> Device:
    """The device that the options ask for. Raises as `pyane.device`."""
    import pyane

    return pyane.device(name, chip=chip, numerics=numerics, strict=strict, faithful=faithful)
