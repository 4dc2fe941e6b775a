"""Programs that benchmarks compile, with what they should give."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import mil
from .check import chain_bound, check_norm, check_products

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ..kernel import Kernel
    from .measure import Bench

    Array = npt.NDArray[Any]

# A type of constant, "fp16": the hand-made record of the community's programs.
_FP16_RECORD = 1


def random_matrix(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """fp16 [rows, columns], magnitudes from 1/4 to 1 over sqrt(columns). Dense, and quickly made.

    Bits are drawn, not numbers: weights of 100 MB in a tenth of a second.
    """
    bits = rng.integers(0, 1 << 16, (rows, columns), np.uint16)
    exponent = 14 - int(
        np.ceil(np.log2(columns) / 2)
    )  # 2 ** (exponent - 15) is the least magnitude
    bits &= np.uint16(0x83FF)
    bits |= np.uint16(max(exponent, 1) << 10)
    return bits.view(np.float16)


@lru_cache(maxsize=8)
def _cosines(n: int) -> tuple[Array, float]:
    """The orthogonal matrix of the discrete cosine transform in fp16, and a bound on its norm."""
    k = np.arange(n)
    exact = np.sqrt(2 / n) * np.cos(np.pi * np.outer(k, 2 * k + 1) / (2 * n))
    exact[0] /= np.sqrt(2)
    rounded = exact.astype(np.float16)
    # |Q|^2 = |Q'Q| <= 1 + |E|, and |E| is at most the 8th root of |E^8| in the Frobenius norm, which
    # is close and, unlike singular values, takes no seconds.
    wide = rounded.astype(np.float64)
    power = wide.T @ wide - np.eye(n)
    for _ in range(3):
        power = power @ power
    return rounded, float(np.sqrt(1 + np.linalg.norm(power) ** (1 / 8)))


@dataclass(frozen=True)
class Chain:
    """`depth` 1x1 convolutions, one after the other, of [1, C, 1, S] by dense orthogonal matrices.

    Orthogonal, so that numbers neither grow nor vanish, however many layers there are; all
    different, so that every weight is read.

    Attributes:
        program: Input x, output y.
        weights: Weight files.
        matrices: fp16 [C, C] each, in order.
        x: fp16 input.
        norm: Bound on the norm of each matrix.
    """

    program: mil.Program
    weights: dict[str, Any]
    matrices: Sequence[Array]
    x: Array
    norm: float

    @property
    def flops(self) -> int:
        """Of one evaluation; a multiply-add counts two."""
        channels, spatial = int(self.x.shape[1]), int(self.x.shape[3])
        return 2 * channels * channels * spatial * len(self.matrices)

    @property
    def weight_bytes(self) -> int:
        """Of all the matrices."""
        return sum(matrix.nbytes for matrix in self.matrices)

    def check(self, kernel: Kernel, numerics: str) -> None:
        """Evaluate, and compare some columns with fp64.

        Raises:
            WrongResult: They differ by more than they may.
        """
        kernel.inputs["x"][...] = self.x
        kernel.outputs["y"][...] = 0
        kernel.evaluate()
        spatial, channels = self.x.shape[3], self.x.shape[1]
        columns = np.unique(np.linspace(0, spatial - 1, 4).astype(int))
        y = self.x[0, :, 0, columns].T.astype(np.float64)
        for matrix in self.matrices:
            y = matrix.astype(np.float64) @ y
        bound = chain_bound(channels, len(self.matrices), self.norm, numerics)
        check_norm(kernel.outputs["y"][0, :, 0, columns].T, y, bound, "y")


def conv_chain(bench: Bench, name: str, channels: int, spatial: int, depth: int) -> Chain:
    """A chain whose numbers follow from the case's name.

    Raises:
        Skip: It would take too long (`Bench.expect`).
    """
    bench.expect(2.0 * channels**2 * spatial * depth)
    rng = bench.rng(name)
    base, norm = _cosines(channels)
    signs = np.array([-1, 1], np.float16)
    matrices = [
        base[rng.permutation(channels)] * rng.choice(signs, (channels, 1)) for _ in range(depth)
    ]
    x = rng.uniform(-1, 1, (1, channels, 1, spatial)).astype(np.float16)

    def body(x: mil.Var) -> mil.Var:
        for i, matrix in enumerate(matrices):
            weight = mil.const(val=matrix.reshape(channels, channels, 1, 1), name=f"w{i}")
            x = mil.conv(x=x, weight=weight, name="y" if i == depth - 1 else f"y{i}")
        return x

    program = mil.build(body, {"x": mil.fp16[1, channels, 1, spatial]})
    weights = weight_files(program, bench.settings.weight_records)
    return Chain(program, weights, matrices, x, norm)


def weight_files(program: mil.Program, records: str) -> dict[str, Any]:
    """The program's weight files; with hand-made records if so asked.

    The community's benchmark programs write a record by hand: sentinel, type, and 0x08 in byte 10,
    so that the size reads 524288 and the data's offset 0 (docs/ane_constraints.md, ANE091, ANE092).
    """
    files = dict(program.weights)
    if records == "official":
        return files
    made = struct.pack("<II2xB53x", 0xDEADBEEF, _FP16_RECORD, 0x08)
    for path, data in files.items():
        changed = bytearray(data)
        for record in mil.list_blobs(data):
            changed[record.offset : record.offset + len(made)] = made
        files[path] = bytes(changed)
    return files


@dataclass(frozen=True)
class Product:
    """One product y = w x of a [N, K] weight and x [1, K, 1, S].

    Attributes:
        w: fp16.
        x: fp16.
    """

    w: Array
    x: Array

    @property
    def flops(self) -> int:
        """A multiply-add counts two."""
        return 2 * self.w.size * int(self.x.shape[3])

    def check(self, got: Array, numerics: str) -> None:
        """Compare some rows and columns of y [N, S] with fp64.

        Raises:
            WrongResult: They differ by more than they may.
        """
        n, k = self.w.shape
        rows = np.unique(np.linspace(0, n - 1, 16).astype(int))
        columns = np.unique(np.linspace(0, self.x.shape[3] - 1, 16).astype(int))
        w = self.w[rows].astype(np.float64)
        x = self.x[0, :, 0, columns].T.astype(np.float64)
        check_products(got[np.ix_(rows, columns)], w @ x, np.abs(w) @ np.abs(x), k, numerics, "y")


def random_product(bench: Bench, name: str, n: int, k: int, spatial: int) -> Product:
    """A product whose numbers follow from the case's name.

    Raises:
        Skip: It would take too long (`Bench.expect`).
    """
    bench.expect(2.0 * n * k * spatial)
    rng = bench.rng(name)
    x = rng.uniform(-1, 1, (1, k, 1, spatial)).astype(np.float16)
    return Product(random_matrix(rng, n, k), x)
