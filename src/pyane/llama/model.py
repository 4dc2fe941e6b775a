"""A Llama 2 model on a device: forward, loss, gradients."""

from __future__ import annotations

import math
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .. import device as default_device
from .._core import train as cpu
from .._core.train import WeightGradientQueue
from ..errors import CompileBudgetError, ShapeError
from .flops import training_flops
from .inference import Inference
from .options import PipelineOptions
from .output import Output
from .timings import Timings
from .token_ids import check_ids
from .training_pass import TrainingPass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from typing_extensions import Self

    from .. import Device
    from .config import Config
    from .parameters import Float32Array, Parameters
    from .tensors import Float16Array

# Gradients of a mean over some thousand tokens are near 1e-6 in a new model, most of them subnormal
# or nothing in fp16. Times this, stories260k's largest are 40 (new) and 400 (trained): far from
# 32768, where some engines' matrix products end.
DEFAULT_LOSS_SCALE = 2.0**14


class Model:
    """The layers run on the device in fp16; embedding, last norm, classifier and loss in fp32.

    Kernels are compiled when first needed: three for `loss` and six more for `loss_and_gradients`
    (in the static pipeline 5 L + 1 at once, and 5 L by every `upload_weights`), and three for each
    power of two of positions that `logits` or `next_token_logits` meets. Not thread-safe: the
    activations are the model's own.

    Attributes:
        config: Sizes.
        parameters: fp32 master weights. After changing them, call `upload_weights`.
        device: Where the layers run.
        batch: Sequences B of a training micro-batch.
        seq_len: Positions S of a training sequence.
        options: How the layers are put on the device.
        overflowed: The last `loss_and_gradients` left fp16's range (or met a NaN): what it added
            to `gradients` is of no use, and `loss_scale` should be halved.
    """

    def __init__(
        self,
        config: Config,
        parameters: Parameters,
        device: Device | None = None,
        *,
        batch: int = 1,
        seq_len: int | None = None,
        options: PipelineOptions | None = None,
    ) -> None:
        """Compiles nothing yet. The weights are uploaded at first use at the latest.

        Args:
            config: Sizes.
            parameters: Weights, kept by reference.
            device: Where to run the layers; None takes `pyane.device()`.
            batch: Sequences of a training micro-batch.
            seq_len: Positions of a training sequence; None takes `config.seq_len`.
            options: How the layers are put on the device; None: the dynamic pipeline, a surface
                for every tensor. `create_model` chooses by the device's chip.

        Raises:
            ShapeError: `parameters` belong to another config, `batch` or `seq_len` is not positive,
                or `seq_len` is above `config.seq_len`.
        """
        seq_len = config.seq_len if seq_len is None else seq_len
        if parameters.config != config:
            msg = f"Model: parameters must be of {config}, got those of {parameters.config}"
            raise ShapeError(msg)
        if batch < 1:
            msg = f"Model: batch must be at least 1, got {batch}"
            raise ShapeError(msg)
        if not 1 <= seq_len <= config.seq_len:
            msg = f"Model: seq_len must be between 1 and {config.seq_len}, got {seq_len}"
            raise ShapeError(msg)
        self.config = config
        self.parameters = parameters
        self.device = default_device() if device is None else device
        self.batch = batch
        self.seq_len = seq_len
        self.options = options or PipelineOptions()
        self.overflowed = False
        self._timings = Timings()
        self._queue: WeightGradientQueue | None = None
        self._gradients: Parameters | None = None
        self._inference: Inference | None = None
        self._training = TrainingPass(
            self.device, parameters, batch, seq_len, self.options, self._timings
        )

    @property
    def gradients(self) -> Parameters:
        """What `loss_and_gradients` has added up since `zero_gradients`."""
        if self._gradients is None:
            self._gradients = self.parameters.zeros_like()
        return self._gradients

    def zero_gradients(self) -> None:
        """Sets all gradients to zero."""
        self.gradients.flat.fill(0.0)

    @property
    def timings(self) -> dict[str, float]:
        """Seconds per phase of the last `loss_and_gradients` and what came after it.

        t_ane: evaluating; t_io: copies from and to the device's surfaces; t_cls: classifier and loss
        on the CPU; t_elem: embedding, conversions; t_rms: RMSNorm on the CPU; t_cblas_wait: handing
        over and waiting for weight gradients, most of which are computed meanwhile (an emulator, which
        needs the same cores, computes them here); t_compile: compiling in `upload_weights`.
        """
        return self._timings.as_dict()

    @property
    def n_compiles(self) -> int:
        """Programs compiled so far."""
        inference = 0 if self._inference is None else self._inference.n_compiles
        return self._training.n_compiles + inference

    @property
    def kernels_per_step(self) -> int:
        """Evaluations of one forward and backward pass; 72 for 12 layers in the static pipeline."""
        return self._training.n_steps

    @property
    def flops_per_step(self) -> tuple[int, int]:
        """Floating-point operations of `loss_and_gradients`: on the device, and altogether.

        Matrix products only, a multiply-add counts two; formulas in flops.py.
        """
        on_ane = self.options.cls == "ane"
        flops = training_flops(self.config, self.batch, self.seq_len, cls_on_ane=on_ane)
        return flops.ane, flops.total

    def upload_weights(self) -> None:
        """Rounds the weights to fp16 and gives them to the device.

        In the static pipeline that means compiling.

        Raises:
            CompileBudgetError: More programs than this process may still compile. Nothing has been
                changed: save, and go on in a new process.
            CompileError: The device refuses a kernel.
        """
        needed = self._training.n_compiles_needed
        budget = self.device.budget() if needed else None
        if budget is not None and needed > budget.compile_limit - budget.compiles:
            msg = (
                f"the static pipeline must compile {needed} programs for new weights, but of "
                f"{budget.compile_limit} that this process may compile {budget.compiles} are used "
                "up; save and go on in a new process, or take the dynamic pipeline"
            )
            raise CompileBudgetError(msg)
        phase = "t_compile" if needed else "t_io"
        with self._timings.phase(phase):
            self._training.upload()
        if self._inference is not None:
            self._inference.upload()

    @contextmanager
    def half_weights(self) -> Iterator[list[tuple[int, Float16Array]] | None]:
        """Inside, `adam_update(..., halves=)` can upload the weights that it changes.

        Yields:
            Where the device reads weights, as pairs of the first element in `parameters.flat` and an
            fp16 array. All must be filled: that stands for `upload_weights`. None where it cannot: before
            the first upload, and where weights are baked in or packed.
        """
        training = self._training
        if not (training.is_uploaded and training.reads_layer_weights_only):
            yield None
            return
        assert training.layer_weights is not None
        _, weights = training.layer_weights
        with ExitStack() as locked:
            places = weights.places(self.parameters)
            for _, tensor in places:
                locked.enter_context(tensor.surface.lock())
            yield [(begin, tensor.array) for begin, tensor in places]

    def logits(self, tokens: npt.ArrayLike) -> Float32Array:
        """Logits of every position.

        Args:
            tokens: [B, S] ids; any B, S up to `config.seq_len`.

        Returns:
            [B, S, V]; position s predicts token s + 1.

        Raises:
            ShapeError: Not such an array, or an id is outside [0, V).
            CompileError: The device refuses a kernel.
            EvaluateError: The device failed.
        """
        ids = self._check_tokens(tokens, "logits: tokens", 2, self.config.seq_len)
        result = np.empty((*ids.shape, self.config.vocab_size), np.float32)
        output = Output(self.parameters, 1, ids.shape[1], Timings())
        for row, sequence in zip(result, ids, strict=True):
            row[...] = output.forward(self._infer(sequence))[0]
        return result

    def next_token_logits(self, tokens: npt.ArrayLike) -> Float32Array:
        """Logits [V] of the token after `tokens` [S], 1 <= S <= `config.seq_len`.

        Cheaper than the last row of `logits`: the classifier sees one position.

        Raises:
            ShapeError: As for `logits`.
            CompileError: The device refuses a kernel.
            EvaluateError: The device failed.
        """
        ids = self._check_tokens(tokens, "next_token_logits: tokens", 1, self.config.seq_len)
        last = np.ascontiguousarray(self._infer(ids)[:, :, :, -1:])
        logits: Float32Array = Output(self.parameters, 1, 1, Timings()).forward(last)[0, 0]
        return logits

    def loss(self, tokens: npt.ArrayLike, targets: npt.ArrayLike) -> float:
        """Mean negative log-likelihood in nats, over targets >= 0; 0 when there are none.

        NaN when the layers left fp16's range.

        Args:
            tokens: [B, S] ids, B up to `batch`, S up to `seq_len`.
            targets: [B, S] ids of the tokens that follow; a negative one is ignored.

        Raises:
            ShapeError: Shapes differ or are too large, or an id is out of range.
            CompileError: The device refuses a kernel.
            EvaluateError: The device failed.
        """
        ids, wanted = self._check_batch("loss", tokens, targets)
        training = self._ready()
        result = training.forward.result
        training.forward.run(self.parameters["token_embedding_table"], ids, self._timings)
        with result.surface.lock(read_only=True):
            return training.output.loss(result.array, wanted)

    def loss_and_gradients(
        self,
        tokens: npt.ArrayLike,
        targets: npt.ArrayLike,
        *,
        loss_scale: float = DEFAULT_LOSS_SCALE,
    ) -> float:
        """`loss`, and adds its gradient by every weight to `gradients`.

        Args:
            tokens: As for `loss`.
            targets: As for `loss`.
            loss_scale: Power of two that lifts the backward pass into fp16's range. Undone before
                anything is added to `gradients`. See `overflowed`.

        Raises:
            ShapeError: As for `loss`, or `loss_scale` is not a positive finite number.
            CompileError: The device refuses a kernel.
            EvaluateError: The device failed; what `gradients` hold then is of no use.
        """
        if not 0.0 < loss_scale < float("inf"):
            msg = f"loss_and_gradients: loss_scale must be positive and finite, got {loss_scale}"
            raise ShapeError(msg)
        ids, wanted = self._check_batch("loss_and_gradients", tokens, targets)
        training, timings = self._ready(), self._timings
        timings.reset()
        if self._queue is None:
            self._queue = WeightGradientQueue(1 if training.overlaps_cpu else 0)
        queue, result = self._queue, training.forward.result
        try:
            training.forward.run(self.parameters["token_embedding_table"], ids, timings)
            with result.surface.lock(read_only=True):
                loss, dx = training.output.loss_and_gradients(
                    result.array, wanted, self.gradients, queue, loss_scale
                )
            training.backward.run(dx, self.parameters, self.gradients, queue, loss_scale, timings)
            with timings.phase("t_cblas_wait"):
                queue.wait()
        except BaseException:
            queue.cancel()  # nothing may write to the gradients once this call is over
            raise
        embedding = self.gradients["token_embedding_table"]
        with timings.phase("t_elem"):
            cpu.embedding_backward(embedding, dx, ids, scale=1.0 / loss_scale)
        # What overflows anywhere in the layers reaches the stream, and stays in its fp32 sums.
        self.overflowed = cpu.has_nonfinite(dx) or not math.isfinite(loss)
        return loss

    def close(self) -> None:
        """Unloads the kernels; the model cannot be used afterwards. Idempotent."""
        self._training.close()
        if self._inference is not None:
            self._inference.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _ready(self) -> TrainingPass:
        if not self._training.is_uploaded:
            self.upload_weights()
        return self._training

    def _infer(self, ids: npt.NDArray[np.int32]) -> Float16Array:
        if self._inference is None:
            shared = self._training.layer_weights
            if shared is not None:
                self._ready()
            self._inference = Inference(self.device, self.parameters, shared)
        return self._inference.run(ids, self._timings)

    def _check_tokens(
        self, tokens: npt.ArrayLike, name: str, n_dims: int, longest: int
    ) -> npt.NDArray[np.int32]:
        ids = check_ids(tokens, name, n_dims, 0, self.config.vocab_size)
        if ids.shape[-1] > longest:
            msg = f"{name} may have up to {longest} positions, got {ids.shape[-1]}"
            raise ShapeError(msg)
        return ids

    def _check_batch(
        self, where: str, tokens: npt.ArrayLike, targets: npt.ArrayLike
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Tokens and targets, filled up to [batch, seq_len] with positions that do not count."""
        ids = self._check_tokens(tokens, f"{where}: tokens", 2, self.seq_len)
        wanted = check_ids(targets, f"{where}: targets", 2, None, self.config.vocab_size)
        if wanted.shape != ids.shape:
            msg = f"{where}: targets must have the shape of tokens, {ids.shape}, got {wanted.shape}"
            raise ShapeError(msg)
        rows, positions = ids.shape
        if rows > self.batch:
            msg = f"{where}: tokens may have up to batch = {self.batch} rows, got {rows}"
            raise ShapeError(msg)
        if (rows, positions) == (self.batch, self.seq_len):
            return ids, wanted
        filled_ids = np.zeros((self.batch, self.seq_len), np.int32)
        filled_targets = np.full_like(filled_ids, -1)
        filled_ids[:rows, :positions] = ids
        filled_targets[:rows, :positions] = wanted
        return filled_ids, filled_targets
