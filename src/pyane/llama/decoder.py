"""Next-token logits with a cache of keys and values: what generation needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .. import Surface, evaluate
from .. import device as default_device
from .._core import train as cpu
from .._core.base import float_to_half
from ..errors import ShapeError
from .checkpoint import rope_tables
from .kernels.building_blocks import MASKED
from .kernels.decode import DecodeShape, rope_rows
from .layer_weights import layer_weight
from .tensors import allocation_bytes
from .token_ids import check_ids

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from .. import Device, Kernel, Request
    from .config import Config
    from .parameters import Float32Array, Parameters
    from .tensors import Float16Array

# The engine wants rows of 16 positions at least: there a single token comes with 15 idle ones.
_NARROW = 16
# Longer prompts are fed in pieces: scores grow with the square of a piece.
_LARGEST_CHUNK = 256
_SMALLEST_CACHE = 64


class Decoder:
    """Predicts the token after a text, and keeps what it computed for the next call.

    The layers run on the device in fp16, embedding, last norm and classifier on the CPU in fp32, as in
    `Model`. The keys and values of the tokens of the last call stay in surfaces. A call whose tokens
    begin like those of the last one computes the new ones only, so that the next token of a text costs
    one position, and several continuations of a prompt share its computation.

    Kernels are compiled when first needed: one for each power of two of new positions (16 to 256, and a
    single one on the emulator) with each of cached ones (from 64). Not thread-safe.

    Attributes:
        config: Sizes.
        parameters: fp32 weights. After changing them, call `upload_weights`.
        device: Where the layers run.
        context: Most tokens of a text.
        n_cached: Tokens whose keys and values are in the cache.
    """

    def __init__(
        self,
        config: Config,
        parameters: Parameters,
        device: Device | None = None,
        *,
        context: int | None = None,
        pad_single: bool | None = None,
    ) -> None:
        """Takes surfaces for weights and cache and uploads the weights.

        Args:
            config: Sizes.
            parameters: Weights, kept by reference.
            device: Where to run the layers; None takes `pyane.device()`.
            context: Most tokens of a text; None takes `config.seq_len`.
            pad_single: Compute a single token as 16 positions; None: where the engine wants it, or a
                strict emulator, not on any other, which is a third faster without.

        Raises:
            ShapeError: `parameters` belong to another config, or `context` is not in
                [1, `config.seq_len`].
        """
        context = config.seq_len if context is None else context
        if parameters.config != config:
            msg = f"Decoder: parameters must be of {config}, got those of {parameters.config}"
            raise ShapeError(msg)
        if not 1 <= context <= config.seq_len:
            msg = f"Decoder: context must be between 1 and {config.seq_len}, got {context}"
            raise ShapeError(msg)
        self.config = config
        self.parameters = parameters
        self.device = default_device() if device is None else device
        self.context = context
        emulation = self.device.emulation
        is_narrow_refused = emulation is None or emulation.strict
        self._pad_single = is_narrow_refused if pad_single is None else pad_single
        self._tokens: npt.NDArray[np.int32] = np.empty(0, np.int32)
        self._capacity = 0  # places T that the cache is laid out for
        self._kernels: dict[DecodeShape, tuple[Kernel, list[Request]]] = {}
        largest = self._shape(context, context)
        # The engine wants surfaces of one size in a request.
        self._n_bytes = max(
            allocation_bytes(dims)
            for shape in (largest, DecodeShape(config, largest.positions, 0))
            for dims in shape.tensor_shapes().values()
        )
        layers = range(config.n_layers)
        self._shared = self._surfaces("rope", "mask", "even", "odd")
        self._weights = [self._surfaces(*largest.weights) for _ in layers]
        self._layers = [self._surfaces("keys", "values", "key", "value") for _ in layers]
        longest = -(-context // _LARGEST_CHUNK) * _LARGEST_CHUNK
        cos, sin = rope_tables(longest, config.head_dim, config.rope_theta)
        self._rope = rope_rows(cos, sin)
        self._normalised = np.empty((1, config.dim, 1, 1), np.float32)
        self._logits = np.empty((1, 1, config.vocab_size), np.float32)
        self.upload_weights()

    @property
    def n_cached(self) -> int:
        """See the class."""
        return len(self._tokens)

    def upload_weights(self) -> None:
        """Rounds the layers' weights to fp16 for the device, and forgets what was cached."""
        shapes = DecodeShape(self.config, 1, 0).tensor_shapes()
        for layer, surfaces in enumerate(self._weights):
            for name, surface in surfaces.items():
                source = layer_weight(self.parameters, name, layer)
                with surface.lock():
                    float_to_half(source.reshape(shapes[name]), surface.array(shapes[name]))
        self.reset()

    def reset(self) -> None:
        """Forgets what was cached."""
        self._tokens = self._tokens[:0]
        self._capacity = 0

    def next_token_logits(self, tokens: npt.ArrayLike) -> Float32Array:
        """Logits [V] of the token after `tokens` [S], 1 <= S <= `context`.

        Not all finite when the layers left fp16's range.

        Raises:
            ShapeError: Not such an array, or an id is outside [0, V).
            CompileError: The device refuses a kernel.
            EvaluateError: The device failed.
        """
        ids = check_ids(tokens, "next_token_logits: tokens", 1, 0, self.config.vocab_size)
        if len(ids) > self.context:
            msg = f"next_token_logits: tokens may have up to {self.context}, got {len(ids)}"
            raise ShapeError(msg)
        n = min(len(ids) - 1, self.n_cached)  # one is computed anew: its stream is not cached
        different = np.flatnonzero(ids[:n] != self._tokens[:n])
        self._tokens = self._tokens[: int(different[0]) if len(different) else n]
        last = np.empty(0, np.float16)
        try:
            while self.n_cached < len(ids):
                last = self._feed(ids[self.n_cached : self.n_cached + _LARGEST_CHUNK])
        except BaseException:  # Ctrl-C too may leave half of the cache moved
            self.reset()
            raise
        config = self.config
        cpu.rmsnorm_forward(
            self._normalised, last, self.parameters["rms_final_weight"], eps=config.norm_eps
        )
        cpu.classifier_forward(self._logits, self._normalised, self.parameters.classifier)
        logits: Float32Array = self._logits[0, 0].copy()
        if not np.isfinite(logits).all():
            # Hidden or not, what is cached is multiplied, and infinity times zero is no number.
            self.reset()
        return logits

    def close(self) -> None:
        """Unloads the kernels; the decoder cannot be used afterwards. Idempotent."""
        for kernel, _ in self._kernels.values():
            kernel.unload()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _surfaces(self, *names: str) -> dict[str, Surface]:
        return {name: Surface(self._n_bytes) for name in names}

    def _shape(self, n_new: int, n_cached: int) -> DecodeShape:
        """The smallest kernel for so many positions."""
        positions = max(_NARROW, 1 << (min(n_new, _LARGEST_CHUNK) - 1).bit_length())
        if n_new == 1 and not self._pad_single:
            positions = 1
        return DecodeShape(self.config, positions, _capacity(n_cached) if n_cached else 0)

    def _feed(self, ids: npt.NDArray[np.int32]) -> Float16Array:
        """Runs the layers for tokens that follow the cached ones, and adds them to the cache.

        Returns:
            The stream of the last of them, [1, C, 1, 1].
        """
        n, start = len(ids), self.n_cached
        shape = self._shape(n, start)
        positions = shape.positions
        requests = self._requests(shape)
        if start > 0:
            self._lay_out(shape.cached)
        self._put_inputs(shape, ids)
        evaluate(requests)
        self._lay_out(_capacity(start + n))
        new = (1, self.config.kv_dim, 1, positions)
        cache = (1, self.config.kv_dim, 1, self._capacity)
        for surfaces in self._layers:
            for one, all_ in (("key", "keys"), ("value", "values")):
                with surfaces[one].lock(read_only=True), surfaces[all_].lock():
                    columns = surfaces[one].array(new)[:, :, :, :n]
                    surfaces[all_].array(cache)[:, :, :, start : start + n] = columns
        self._tokens = np.concatenate([self._tokens, ids])
        result = self._shared["odd" if self.config.n_layers % 2 else "even"]
        with result.lock(read_only=True):
            stream = result.array((1, self.config.dim, 1, positions))
            return np.ascontiguousarray(stream[:, :, :, n - 1 : n])

    def _put_inputs(self, shape: DecodeShape, ids: npt.NDArray[np.int32]) -> None:
        shapes = shape.tensor_shapes()
        start, n = self.n_cached, len(ids)
        padded = np.zeros((1, shape.positions), np.int32)  # later positions change nothing
        padded[0, :n] = ids
        with self._shared["even"].lock():
            cpu.embedding_forward(
                self._shared["even"].array(shapes["xin"]),
                self.parameters["token_embedding_table"],
                padded,
            )
        with self._shared["rope"].lock():
            rope = self._shared["rope"].array(shapes["rope"])
            rope[0, :, 0, :n] = self._rope[:, start : start + n]
        if shape.cached:
            with self._shared["mask"].lock():
                mask = self._shared["mask"].array(shapes["mask"])
                mask[..., :start] = 0
                mask[..., start:] = MASKED

    def _requests(self, shape: DecodeShape) -> list[Request]:
        if shape not in self._kernels:
            kernel = self.device.compile(shape.program())
            requests = []
            for layer, surfaces in enumerate(self._layers):
                ends = ("even", "odd") if layer % 2 == 0 else ("odd", "even")
                there = {**self._shared, **surfaces, **self._weights[layer]}
                there |= {"xin": self._shared[ends[0]], "xout": self._shared[ends[1]]}
                requests.append(
                    kernel.bind(
                        {name: there[name] for name in shape.inputs + shape.weights},
                        {name: there[name] for name in shape.outputs},
                    )
                )
            self._kernels[shape] = kernel, requests
        return self._kernels[shape][1]

    def _lay_out(self, capacity: int) -> None:
        """Moves what is cached to where it belongs in a cache of so many places."""
        if capacity == self._capacity:
            return
        old = (1, self.config.kv_dim, 1, self._capacity)
        new = (1, self.config.kv_dim, 1, capacity)
        for surfaces in self._layers:
            for name in ("keys", "values"):
                surface = surfaces[name]
                with surface.lock():
                    kept = surface.array(old)[..., : self.n_cached].copy()
                    # Hidden places must hold numbers: the engine multiplies them by zero.
                    surface.array(new)[...] = 0
                    surface.array(new)[..., : self.n_cached] = kept
        self._capacity = capacity


def _capacity(n_tokens: int) -> int:
    """Places of a cache for so many tokens."""
    return max(_SMALLEST_CACHE, 1 << (n_tokens - 1).bit_length())
