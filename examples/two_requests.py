"""One kernel, many requests: the same compiled program over different surfaces."""

from __future__ import annotations

import numpy as np

import pyane
from pyane import mil


@mil.program(w=mil.fp16[1, 1, 32, 64], x=mil.fp16[1, 1, 64, 32])
def product(w, x):
    """W @ x with the weights as an input, so that changing them needs no compilation."""
    return mil.matmul(x=w, y=x, name="y")


rng = np.random.default_rng(0)
kernel = pyane.device().compile(product)
x = pyane.Surface(kernel.surface_bytes)
x.array((1, 1, 64, 32))[...] = rng.normal(size=(1, 1, 64, 32))

requests = []
for _ in range(3):  # three sets of weights, one shared input
    w, y = pyane.Surface(kernel.surface_bytes), pyane.Surface(kernel.surface_bytes)
    w.array((1, 1, 32, 64))[...] = rng.normal(scale=0.1, size=(1, 1, 32, 64))
    requests.append((kernel.bind(inputs={"w": w, "x": x}, outputs={"y": y}), y))

for i, (request, y) in enumerate(requests):
    request.evaluate()
    print(f"request {i}: |y| = {np.abs(y.array((1, 1, 32, 32))).mean():.3f}")
