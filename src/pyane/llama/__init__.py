"""Llama-like models on the engine: configuration, weights, layer kernels, forward and backward."""

from __future__ import annotations

from . import checkpoint
from .config import PRESETS, Config
from .create import create_model
from .decoder import Decoder
from .model import Model
from .options import PipelineOptions
from .parameters import Parameters

__all__ = [
    "PRESETS",
    "Config",
    "Decoder",
    "Model",
    "Parameters",
    "PipelineOptions",
    "checkpoint",
    "create_model",
]
