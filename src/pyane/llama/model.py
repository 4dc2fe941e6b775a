"""A Llama 2 model on a device: forward, loss, gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import ShapeError
from .parameters import Float32Array, Parameters

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from .config import Config


class Model:
    """The layers run on the device in fp16; embedding, last norm, classifier and loss in fp32.

    Attributes:
        config: Sizes.
        parameters: fp32 master weights. After changing them, call `upload_weights`.
        batch: Sequences B of a training micro-batch.
        seq_len: Positions S of a training sequence.
        overflowed: The last `loss_and_gradients` left fp16's range (or met a NaN): what it added
            to `gradients` is of no use, and `loss_scale` should be halved.
    """

    def __init__(
        self,
        config: Config,
        parameters: Parameters,
        device: Any = None,
        *,
        batch: int = 1,
        seq_len: int | None = None,
    ) -> None:
        """Compiles the forward kernels and uploads the weights.

        Args:
            config: Sizes.
            parameters: Weights, kept by reference.
            device: From `pyane.device`; None takes its default.
            batch: Sequences of a training micro-batch.
            seq_len: Positions of a training sequence; None takes `config.seq_len`.

        Raises:
            ShapeError: `parameters` belong to another config, or `batch` or `seq_len` is not
                positive, or `seq_len` is above `config.seq_len`.
            CompileError: The device refuses a kernel.
        """
        raise NotImplementedError

    @property
    def gradients(self) -> Parameters:
        """What `loss_and_gradients` has added up since `zero_gradients`."""
        raise NotImplementedError

    def zero_gradients(self) -> None:
        """Sets all gradients to zero."""
        raise NotImplementedError

    def upload_weights(self) -> None:
        """Rounds the layers' weights to fp16 and puts them where the device reads them."""
        raise NotImplementedError

    def logits(self, tokens: npt.ArrayLike) -> Float32Array:
        """Logits of every position.

        Args:
            tokens: [B, S] ids; any B, S up to `config.seq_len`.

        Returns:
            [B, S, V]; position s predicts token s + 1.

        Raises:
            ShapeError: Not such an array, or an id is outside [0, V).
        """
        raise NotImplementedError

    def next_token_logits(self, tokens: npt.ArrayLike) -> Float32Array:
        """Logits [V] of the token after `tokens` [S], 1 <= S <= `config.seq_len`.

        Cheaper than the last row of `logits`: the classifier sees one position.

        Raises:
            ShapeError: As for `logits`.
        """
        raise NotImplementedError

    def loss(self, tokens: npt.ArrayLike, targets: npt.ArrayLike) -> float:
        """Mean negative log-likelihood in nats, over targets >= 0; 0 when there are none.

        Args:
            tokens: [B, S] ids, B up to `batch`, S up to `seq_len`.
            targets: [B, S] ids of the tokens that follow; a negative one is ignored.

        Raises:
            ShapeError: Shapes differ or are too large, or an id is out of range.
        """
        raise NotImplementedError

    def loss_and_gradients(
        self, tokens: npt.ArrayLike, targets: npt.ArrayLike, *, loss_scale: float = 1024.0
    ) -> float:
        """`loss`, and adds its gradient by every weight to `gradients`.

        Args:
            tokens: As for `loss`.
            targets: As for `loss`.
            loss_scale: Power of two that lifts the backward pass into fp16's range. Undone before
                anything is added to `gradients`. See `overflowed`.

        Raises:
            ShapeError: As for `loss`, or `loss_scale` is not a positive finite number.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Unloads the kernels; the model cannot be used afterwards. Idempotent."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def check_tokens(
    tokens: npt.ArrayLike, name: str, n_dims: int, low: int, high: int
) -> npt.NDArray[np.int32]:
    """`tokens` as int32.

    Raises:
        ShapeError: Not integers, not `n_dims`-dimensional, empty, or one is outside [low, high).
    """
    array = np.asarray(tokens)
    if array.dtype.kind not in "iu" or array.ndim != n_dims or array.size == 0:
        axes = ["[S]", "[B, S]"][n_dims - 1]
        msg = f"{name} must be a non-empty integer array {axes}, got {array.dtype} {array.shape}"
        raise ShapeError(msg)
    outside = (array < low) | (array >= high)
    if outside.any():
        index = [int(i) for i in np.argwhere(outside)[0]]
        msg = f"{name}: {array[tuple(index)]} at {index} is outside [{low}, {high})"
        raise ShapeError(msg)
    return np.ascontiguousarray(array, np.int32)
