"""Write, compile and evaluate MIL programs on the Apple Neural Engine or its CPU emulator."""

from __future__ import annotations

from ._core import __version__
from .check import Diagnostic, check
from .device import Device, device
from .emulation import HardwareNumerics
from .errors import (
    AneError,
    AneUnavailableError,
    BlobError,
    CheckpointError,
    CompileBudgetError,
    CompileError,
    ConfigError,
    DataError,
    DivergenceError,
    Error,
    EvaluateError,
    MilSyntaxError,
    MilVerifyError,
    ModelError,
    ShapeError,
    UnsupportedOpError,
)
from .kernel import Kernel, Request, TensorSpec, evaluate
from .model import Model, load
from .surface import Surface
from .threads import num_threads, set_num_threads

__all__ = [
    "AneError",
    "AneUnavailableError",
    "BlobError",
    "CheckpointError",
    "CompileBudgetError",
    "CompileError",
    "ConfigError",
    "DataError",
    "Device",
    "Diagnostic",
    "DivergenceError",
    "Error",
    "EvaluateError",
    "HardwareNumerics",
    "Kernel",
    "MilSyntaxError",
    "MilVerifyError",
    "Model",
    "ModelError",
    "Request",
    "ShapeError",
    "Surface",
    "TensorSpec",
    "UnsupportedOpError",
    "__version__",
    "check",
    "device",
    "evaluate",
    "load",
    "num_threads",
    "set_num_threads",
]
