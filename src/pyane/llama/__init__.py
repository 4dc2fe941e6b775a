"""Llama-like models on the engine: configuration, weights, layer kernels, forward and backward."""

from __future__ import annotations

from . import checkpoint
from .config import PRESETS, Config
from .model import Model
from .parameters import Parameters

__all__ = ["PRESETS", "Config", "Model", "Parameters", "checkpoint"]
