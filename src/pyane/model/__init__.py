"""Models as people have them: `.mil`, `.mlmodelc`, `.mlpackage`, with their weights and shapes."""

from __future__ import annotations

from ._model import Model, as_model, is_path
from .loading import load
from .shapes import FlexibleShape

__all__ = ["FlexibleShape", "Model", "as_model", "is_path", "load"]
