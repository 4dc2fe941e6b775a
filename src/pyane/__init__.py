"""Write, compile and evaluate MIL programs on the Apple Neural Engine or its CPU emulator."""

from __future__ import annotations

from ._core import __version__
from .errors import Error

__all__ = ["Error", "__version__"]
