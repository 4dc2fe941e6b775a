"""Build, compile and evaluate one convolution with an activation; no engine needed."""

from __future__ import annotations

import numpy as np

import pyane
from pyane import mil

rng = np.random.default_rng(0)
weight = rng.normal(scale=0.05, size=(256, 512, 1, 1)).astype(np.float16)


@mil.program(x=mil.fp16[1, 512, 1, 64])
def block(x):
    """silu(conv(x)), a pointwise layer in the engine's [1, C, 1, S] layout."""
    y = mil.conv(x=x, weight=weight)
    return mil.silu(x=y, name="y")


device = pyane.device()  # the engine on Apple silicon, else the emulator
kernel = device.compile(block)
x = rng.normal(size=(1, 512, 1, 64)).astype(np.float16)

y = kernel(x)  # arrays in, arrays out
print(f"{device.name}: y {y.dtype} {y.shape}, mean {y.astype(np.float32).mean():+.5f}")

# The same without copies: surfaces are NumPy arrays.
kernel.inputs["x"][...] = x
kernel.evaluate()
np.testing.assert_array_equal(kernel.outputs["y"], y)
