"""Everything that a training step runs on, for one micro-batch shape."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from .backward import BackwardPass
from .classifier import DeviceClassifier, classifier_shape
from .dynamic_pipeline import DynamicKernels
from .forward import ForwardPass
from .inference import inference_shapes
from .kernels import KernelShape
from .layer_kernels import Definitions, surface_shapes
from .options import chip_of
from .output import Output
from .static_pipeline import StaticKernels
from .tensors import TensorPool

if TYPE_CHECKING:
    from .. import Device
    from .layer_kernels import LayerKernels
    from .layer_weights import LayerWeights
    from .options import PipelineOptions
    from .parameters import Parameters
    from .timings import Timings


class TrainingPass:
    """Kernels, activations and buffers; made when first used.

    Attributes:
        is_uploaded: `upload` has been called.
        overlaps_cpu: The CPU has time for weight gradients while the device evaluates.
    """

    def __init__(
        self,
        device: Device,
        parameters: Parameters,
        batch: int,
        seq_len: int,
        options: PipelineOptions,
        timings: Timings,
    ) -> None:
        """Compiles nothing yet."""
        self.is_uploaded = False
        # An emulator computes on the same cores: nothing is idle meanwhile.
        self.overlaps_cpu = device.name != "emulator"
        self._parameters = parameters
        self._shape = KernelShape(parameters.config, batch, seq_len)
        self._timings = timings
        definitions = Definitions.of_layers(parameters.config, options)
        shapes = surface_shapes(self._shape, definitions, options)
        if options.pipeline == "dynamic" and options.weights_as == "inputs":
            # Inference reads the same weights, and a request's surfaces must have one size.
            shapes += inference_shapes(parameters.config)
        self._pool = TensorPool(shapes)
        self._classifier_kernels: LayerKernels | None = None
        if options.cls == "ane":
            shape, of_classifier = classifier_shape(self._shape, options, chip_of(device))
            # A pool of its own: logits are larger than everything else.
            pool = TensorPool(surface_shapes(shape, of_classifier, options))
            self._classifier_kernels = _kernels(device, shape, of_classifier, options, pool)
        self._kernels = _kernels(device, self._shape, definitions, options, self._pool)

    @cached_property
    def forward(self) -> ForwardPass:
        """The layers, keeping what the backward pass needs."""
        return ForwardPass(self._kernels, keep_taps=True)

    @cached_property
    def backward(self) -> BackwardPass:
        """The layers back."""
        holds = not self.overlaps_cpu
        return BackwardPass(self._kernels, self.forward, holds_factors=holds)

    @cached_property
    def output(self) -> Output:
        """Classifier and loss."""
        kernels = self._classifier_kernels
        classifier = None if kernels is None else DeviceClassifier(kernels)
        shape = self._shape
        return Output(self._parameters, shape.batch, shape.positions, self._timings, classifier)

    @property
    def layer_weights(self) -> tuple[TensorPool, LayerWeights] | None:
        """Surfaces with one matrix each, if that is what the kernels read, and their pool."""
        weights = self._kernels.weights if isinstance(self._kernels, DynamicKernels) else None
        return None if weights is None else (self._pool, weights)

    @property
    def reads_layer_weights_only(self) -> bool:
        """`layer_weights` are all that `upload` changes."""
        return self.layer_weights is not None and self._classifier_kernels is None

    @property
    def n_compiles(self) -> int:
        """Compilations so far."""
        return sum(kernels.n_compiles for kernels in self._all())

    @property
    def n_compiles_needed(self) -> int:
        """Compilations that the next `upload` makes."""
        self._bind()
        return sum(kernels.n_compiles_needed for kernels in self._all())

    @property
    def n_steps(self) -> int:
        """Kernels evaluated by one forward and backward pass."""
        return sum(
            len(part) * kernels.definitions.n_layers
            for kernels in self._all()
            for part in (kernels.definitions.forward, kernels.definitions.backward)
        )

    def upload(self) -> None:
        """Gives the device the current weights."""
        self._bind()
        for kernels in self._all():
            kernels.upload(self._parameters)
        self.is_uploaded = True

    def close(self) -> None:
        """Unloads the kernels."""
        for kernels in self._all():
            kernels.close()

    def _bind(self) -> None:
        # Weights that are baked in or packed go to the kernels that are bound when they are uploaded.
        if not self.reads_layer_weights_only:
            _ = self.forward, self.backward, self.output

    def _all(self) -> list[LayerKernels]:
        more = self._classifier_kernels
        return [self._kernels] if more is None else [self._kernels, more]


def _kernels(
    device: Device,
    shape: KernelShape,
    definitions: Definitions,
    options: PipelineOptions,
    pool: TensorPool,
) -> LayerKernels:
    make = StaticKernels if options.pipeline == "static" else DynamicKernels
    return make(device, shape, definitions, options, pool)
