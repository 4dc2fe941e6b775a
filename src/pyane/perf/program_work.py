"""What one evaluation of a program asks for: arithmetic, weights, boundary, live results."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Weight:
    """A constant tensor that an operation reads.

    Attributes:
        key: The same for constants with the same bytes in the same place.
        form: "dense", "int8", "lut", "sparse" or "blockwise".
        stored_bytes: As it lies in the weight file.
        dense_bytes: In fp16.
    """

    key: str
    form: str
    stored_bytes: int
    dense_bytes: int


@dataclass(frozen=True)
class Step:
    """One operation, with views left out.

    Attributes:
        op: Its type.
        name: Its name.
        flops: Floating-point operations, a multiply-add counting two.
        is_matrix: Work of the multiply-add array; else of the elementwise unit.
        is_winograd: A dense 3x3 convolution of stride 1, for which the compiler may take fewer
            multiplications (ane-guide ch. 13, 20).
        is_int8: Weights and activations are bytes: dequantized right before it.
        weights: Constants it reads, those of ten elements or fewer aside.
        row_extent: Longest extent that a reduction takes along the last axis; 0 for none.
        row_bytes: Bytes of the tensor that is reduced so.
        attention_bytes: Operands and result of a native attention, else 0.
        reads: Indices into `Workload.values`.
        writes: Likewise.
    """

    op: str
    name: str
    flops: float
    is_matrix: bool
    is_winograd: bool
    is_int8: bool
    weights: tuple[Weight, ...]
    row_extent: int
    row_bytes: int
    attention_bytes: int
    reads: tuple[int, ...]
    writes: tuple[int, ...]


@dataclass(frozen=True)
class Workload:
    """What one evaluation of a program asks for.

    Attributes:
        steps: Operations in order.
        values: Bytes of each intermediate result in fp16; 0 for inputs, outputs and results that
            the next operation takes on the fly.
        input_bytes, output_bytes: Of the program's boundary.
        matrix_input_bytes: Of the inputs, matrices that products read as they are: weights that are
            inputs.
    """

    steps: tuple[Step, ...]
    values: tuple[int, ...]
    input_bytes: int
    output_bytes: int
    matrix_input_bytes: int

    @property
    def flops(self) -> float:
        """Of all operations."""
        return sum(step.flops for step in self.steps)

    @property
    def matrix_flops(self) -> float:
        """Of matrix products and convolutions."""
        return sum(step.flops for step in self.steps if step.is_matrix)

    @property
    def boundary_bytes(self) -> int:
        """Inputs and outputs."""
        return self.input_bytes + self.output_bytes

    @property
    def attention_bytes(self) -> int:
        """Operands and results of scaled_dot_product_attention."""
        return sum(step.attention_bytes for step in self.steps)

    @property
    def weights(self) -> tuple[Weight, ...]:
        """Every constant once."""
        return tuple({w.key: w for step in self.steps for w in step.weights}.values())

    @property
    def weight_bytes(self) -> int:
        """Of all weights as stored, each once."""
        return sum(weight.stored_bytes for weight in self.weights)

    def spill_bytes(self, on_chip_bytes: int) -> int:
        """Traffic of intermediate results that do not fit beside each other on the chip.

        A result is kept from the operation that makes it to its last reader. When there is no room,
        what is needed last goes to memory: written once, read by every operation that is still to
        come, for which it takes its place on the chip again. What an operation reads stays until it
        is done. So a chain of results of 2 MB each goes through memory on a chip with 2 MB, as
        measured on M1 Max (ane-guide ch. 9, 33).
        """
        readers: dict[int, list[int]] = {}
        for index, step in enumerate(self.steps):
            for value in step.reads:
                readers.setdefault(value, []).append(index)
        resident: dict[int, int] = {}
        traffic = 0
        for index, step in enumerate(self.steps):
            for value in step.writes:
                size = self.values[value]
                if not size or not readers.get(value):
                    continue
                resident[value] = size
            staged = sum(self.values[value] for value in step.reads if value not in resident)
            while staged + sum(resident.values()) > on_chip_bytes:
                movable = [value for value in resident if value not in step.reads]
                if not movable:
                    break
                out = max(movable, key=lambda value: readers[value][-1])
                later = sum(reader > index for reader in readers[out])
                traffic += resident.pop(out) * (1 + later)
            for value in [v for v in resident if readers[v][-1] <= index]:
                del resident[value]
        return traffic
