"""The nine MIL programs of a Llama 2 layer, named as in upstream's benchmark report.

Forward: sdpaFwd, ffnW13, ffnW2. Backward: ffnBwdW2t, ffnBwdW13t, wotBwd, sdpaBwd1, sdpaBwd2, qkvBwd.
They are compiled once and shared by all layers: weights are inputs. RMSNorm's backward pass, the
weights' gradients, embedding, classifier and loss are fp32 work of the CPU (../backward.py).
"""

from __future__ import annotations

from .definition import (
    BACKWARD,
    FORWARD,
    KernelDefinition,
    KernelShape,
    backward_kernels,
    forward_kernels,
)

__all__ = [
    "BACKWARD",
    "FORWARD",
    "KernelDefinition",
    "KernelShape",
    "backward_kernels",
    "forward_kernels",
]
