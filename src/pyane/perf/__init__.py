"""How fast a chip would run a program or a training step, predicted from published measurements.

    >>> from pyane import perf
    >>> step = perf.predict_training("stories110m", "m4max")
    >>> 50 < step.seconds * 1e3 < 80
    True
    >>> step.dominant.name
    'matrix products'

Nothing runs on an engine, nor on the emulator. docs/performance_model.md has the formulas, where every
constant comes from, and how far the model is from each published figure.
"""

from __future__ import annotations

from .model import predict_program
from .prediction import Prediction, Term
from .program_reader import workload
from .program_work import Workload
from .training import predict_training

__all__ = [
    "Prediction",
    "Term",
    "Workload",
    "predict_program",
    "predict_training",
    "workload",
]
