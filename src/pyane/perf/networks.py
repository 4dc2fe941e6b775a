"""Whole networks that somebody timed; of the weights only the sizes are right."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from .. import mil

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..mil import Var


def resnet18(side: int = 224) -> str:
    """ResNet-18 for 1000 classes, batch normalisation folded (He et al. 2015, arXiv:1512.03385)."""
    # Each its own: the builder keeps equal constants once.
    values = itertools.count(1)

    @mil.program(x=mil.fp16[1, 3, side, side])
    def network(x: Var) -> Var:
        x = mil.relu(x=_conv(values, x, 3, 64, 7, 2))
        x = mil.max_pool(
            x=x, kernel_sizes=[3, 3], strides=[2, 2], pad_type="custom", pad=[1, 1, 1, 1]
        )
        channels = 64
        for wide in (64, 128, 256, 512):
            for stride in (1 if wide == channels else 2, 1):
                y = mil.relu(x=_conv(values, x, channels, wide, 3, stride))
                y = _conv(values, y, wide, wide, 3, 1)
                kept = x if wide == channels else _conv(values, x, channels, wide, 1, stride)
                x = mil.relu(x=mil.add(x=y, y=kept))
                channels = wide
        x = mil.reduce_mean(x=x, axes=[2, 3], keep_dims=False)
        weight, bias = np.zeros((1000, 512), np.float16), np.zeros(1000, np.float16)
        return mil.linear(x=x, weight=weight, bias=bias, name="y")

    return str(network)


def _conv(values: Iterator[int], x: Var, channels: int, out: int, kernel: int, stride: int) -> Var:
    return mil.conv(
        x=x,
        weight=np.full((out, channels, kernel, kernel), next(values), np.float16),
        bias=np.full(out, next(values), np.float16),
        strides=[stride, stride],
        pad_type="custom",
        pad=[kernel // 2] * 4,
    )
