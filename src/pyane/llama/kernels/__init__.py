"""The nine MIL programs of a Llama 2 layer, named as in upstream's benchmark report.

Forward: sdpaFwd, ffnW13, ffnW2. Backward: ffnBwdW2t, ffnBwdW13t, wotBwd, sdpaBwd1, sdpaBwd2, qkvBwd.
In the dynamic pipeline they are compiled once and shared by all layers: weights are inputs. The static
pipeline bakes the weights in, and fuses the nine to six (layer.py). RMSNorm's backward pass, the
weights' gradients, embedding, classifier and loss are fp32 work of the CPU (../backward.py), unless
the options say otherwise.
"""

from __future__ import annotations

from .classifier import CLASSIFIER_BACKWARD, CLASSIFIER_FORWARD
from .definition import KernelDefinition, KernelShape
from .interface import Interface
from .layer import (
    BACKWARD,
    FORWARD,
    backward_kernels,
    forward_kernels,
    static_backward_kernels,
    static_forward_kernels,
)

__all__ = [
    "BACKWARD",
    "CLASSIFIER_BACKWARD",
    "CLASSIFIER_FORWARD",
    "FORWARD",
    "Interface",
    "KernelDefinition",
    "KernelShape",
    "backward_kernels",
    "forward_kernels",
    "static_backward_kernels",
    "static_forward_kernels",
]
