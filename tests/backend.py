"""The device that tests of programs run on, when they do not care which."""

from __future__ import annotations

import os

import pyane


def device() -> pyane.Device:
    """The emulator, unless PYANE_DEVICE says otherwise (.ci/ane runs the suite with "ane")."""
    return pyane.device(os.environ.get("PYANE_DEVICE") or "emulator")
