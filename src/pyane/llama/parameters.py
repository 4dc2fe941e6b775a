"""Weights of a Llama 2 model, and anything else with one number per weight."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import ShapeError
from .aligned import aligned_zeros

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .config import Config

Float32Array: TypeAlias = npt.NDArray[np.float32]


class Parameters:
    """One flat fp32 buffer with a named view for every weight.

    Gradients and optimizer moments are `Parameters` too: the optimizer walks the flat buffers,
    the model the views. The order inside the buffer is `Config.parameter_shapes`.

    Attributes:
        config: The model's sizes.
        flat: [n_parameters] fp32, C-contiguous. The views share its memory.
    """

    def __init__(self, config: Config, flat: Float32Array | None = None) -> None:
        """Wraps `flat` without copying, or makes a new buffer of zeros.

        Raises:
            ShapeError: `flat` is not a contiguous fp32 array of `config.n_parameters` elements.
        """
        n = config.n_parameters
        if flat is None:
            flat = aligned_zeros((n,))
        elif flat.shape != (n,) or flat.dtype != np.float32 or not flat.flags.c_contiguous:
            msg = (
                f"Parameters: flat must be a contiguous float32 array of shape ({n},), "
                f"got {flat.dtype} {flat.shape}"
            )
            raise ShapeError(msg)
        self.config = config
        self.flat: Float32Array = flat
        slices: dict[str, slice] = {}
        views: dict[str, Float32Array] = {}
        start = 0
        for name, shape in config.parameter_shapes.items():
            stop = start + math.prod(shape)
            slices[name] = slice(start, stop)
            views[name] = flat[start:stop].reshape(shape)
            start = stop
        self._slices = MappingProxyType(slices)
        self._views = views

    def __getitem__(self, name: str) -> Float32Array:
        return self._views[name]

    def __contains__(self, name: object) -> bool:
        return name in self._views

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def items(self) -> Iterator[tuple[str, Float32Array]]:
        """Names and views, in the order of the flat buffer."""
        return iter(self._views.items())

    @property
    def slices(self) -> Mapping[str, slice]:
        """Where each weight lies in `flat`."""
        return self._slices

    @property
    def classifier(self) -> Float32Array:
        """[V, C]: `wcls`, or the embedding table when the classifier is tied."""
        return self._views["token_embedding_table" if self.config.tied_classifier else "wcls"]

    def init(self, rng: np.random.Generator) -> Parameters:
        """Fills in the weights a new model starts from; returns self.

        Normal with standard deviation 0.02, for `wo` and `w3` divided by sqrt(2 L); norm weights
        one. Source: karpathy/llama2.c model.py, which scales `w3` (not `w2`) like this.
        """
        for name, view in self.items():
            if name.startswith("rms_"):
                view[...] = 1.0
                continue
            scale = 0.02
            if name in ("wo", "w3"):
                scale /= math.sqrt(2 * self.config.n_layers)
            numbers = view.reshape(-1)
            rng.standard_normal(dtype=np.float32, out=numbers)
            numbers *= np.float32(scale)
        return self

    def zeros_like(self) -> Parameters:
        """New parameters of the same shapes, all zero."""
        return Parameters(self.config)

    def copy(self) -> Parameters:
        """The same numbers in a buffer of their own."""
        return Parameters(self.config, self.flat.copy())

    def __repr__(self) -> str:
        return f"Parameters({self.config!r})"
