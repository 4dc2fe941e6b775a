"""Llama-like models on the engine: configuration, weights, layer kernels, forward and backward."""

from __future__ import annotations

from . import checkpoint
from .config import PRESETS, Config
from .decoder import Decoder
from .model import Model
from .parameters import Parameters

__all__ = ["PRESETS", "Config", "Decoder", "Model", "Parameters", "checkpoint"]
