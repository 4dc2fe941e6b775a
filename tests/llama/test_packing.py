"""Where tensors lie in packed surfaces."""

from __future__ import annotations

import math

import numpy as np
import pytest

import backend
from pyane import mil
from pyane.llama import PRESETS
from pyane.llama.kernels import (
    BACKWARD,
    FORWARD,
    Interface,
    KernelDefinition,
    KernelShape,
    backward_kernels,
    forward_kernels,
)
from pyane.llama.kernels.matrices import TransposedMatrix
from pyane.llama.kernels.packing import InputPacking, OutputPacking

KERNELS = {kernel.name: kernel for kernel in FORWARD + BACKWARD}
STORIES110M = KernelShape(PRESETS["stories110m"], 1, 256)


def packing_of(kernel: KernelDefinition, shape: KernelShape) -> InputPacking:
    packing = Interface(kernel, shape, packs_inputs=True).inputs
    assert packing is not None
    return packing


@pytest.mark.parametrize(
    ("name", "dims"),
    [
        # Activations, then matrices, each with its input channels along the rows, as upstream has it;
        # a norm's weight takes 64 bytes of a row.
        ("sdpaFwd", (1, 768, 1, 256 + 32 + 4 * 768)),
        ("ffnW13", (1, 768, 1, 256 + 32 + 2 * 2048)),
        ("ffnW2", (1, 2048, 1, 256 + 256 * 768 // 2048 + 768)),
        ("qkvBwd", (1, 768, 1, 3 * 256 + 3 * 768)),
        # No weights: 12 heads of 256 rows of probabilities, [768, 256] folded beside them.
        ("sdpaBwd1", (1, 12 * 256, 1, 3 * 64 + 256)),
    ],
)
def test_stories110m_wastes_no_memory(name: str, dims: tuple[int, ...]) -> None:
    packing = packing_of(KERNELS[name], STORIES110M)
    assert packing.dims == dims
    matrices = [b for n, b in packing.blocks.items() if n.startswith("w")]
    # The side that multiplies the widest activation lies along the rows.
    assert all(block.rows == dims[1] for block in matrices)
    assert all(block.start * 2 % 64 == 0 for block in packing.blocks.values())


@pytest.mark.parametrize("preset", PRESETS)
def test_blocks_hold_their_tensors_and_do_not_overlap(preset: str) -> None:
    config = PRESETS[preset]
    for batch, positions in ((1, 256), (3, 37)):
        shape = KernelShape(config, batch, positions)
        for kernel in forward_kernels(config) + backward_kernels(config, with_norms=True):
            interface = Interface(kernel, shape, packs_inputs=True)
            if interface.inputs is None:
                continue
            end = 0
            for name, block in interface.inputs.blocks.items():
                assert block.start >= end, (kernel.name, name)
                end = block.start + block.columns
                assert block.rows * block.columns == math.prod(block.dims)
                assert block.rows <= interface.inputs.dims[1]
            assert end <= interface.inputs.dims[3]


@pytest.mark.parametrize(
    ("activation", "matrix", "is_transposed"),
    [
        ((1, 5, 1, 7), (1, 1, 5, 3), False),  # natural
        ((1, 5, 1, 7), (1, 1, 3, 5), True),
        ((1, 6, 1, 7), (1, 1, 4, 3), False),  # folded: 12 = 6 * 2
        ((1, 5, 1, 7), (1, 1, 3, 4), False),  # padded with rows
        ((1, 5, 1, 7), (1, 1, 6, 3), True),  # only its other side fits
        ((2, 5, 1, 7), (1, 1, 1, 5), False),  # a norm's weight
        ((1, 5, 1, 7), (1, 1, 1, 8), False),  # longer than the rows: lies along one
    ],
)
def test_what_is_packed_comes_out(
    activation: tuple[int, int, int, int],
    matrix: tuple[int, int, int, int],
    is_transposed: bool,
    rng: np.random.Generator,
) -> None:
    packing = InputPacking.of({"x": activation}, {"w": matrix})
    assert packing.blocks["w"].is_transposed is is_transposed

    @mil.program(packed=mil.fp16[packing.dims])
    def program(packed: mil.Var) -> tuple[mil.Var, ...]:
        values = packing.unpack(packed)
        w = values["w"]
        w = mil.transpose(x=w.value, perm=[0, 1, 3, 2]) if isinstance(w, TransposedMatrix) else w
        return mil.identity(x=values["x"], name="x"), mil.identity(x=w, name="w")

    array = np.full(packing.dims, np.nan, np.float16)
    given = {
        name: rng.standard_normal(dims).astype(np.float16)
        for name, dims in (("x", activation), ("w", matrix))
    }
    for name, value in given.items():
        packing.pack(packing.view(array, name), name, value)
    found = backend.device().compile(program)(array)
    for name, value in given.items():
        np.testing.assert_array_equal(found[name], value)


def test_outputs_are_contiguous_parts() -> None:
    dims = {"probs": (4, 3, 5, 5), "key": (2, 8, 1, 5)}
    packing = OutputPacking.of(dims)
    assert packing.dims == (1, 4 * 3 * 5 + 2 * 8, 1, 5)
    assert packing.starts == {"probs": 0, "key": 4 * 3 * 5 * 5}


def test_a_single_tensor_is_not_packed() -> None:
    interface = Interface(KERNELS["wotBwd"], STORIES110M, bakes_weights=True, packs_inputs=True)
    assert interface.inputs is None
    interface = Interface(KERNELS["ffnW2"], STORIES110M, packs_outputs=True)
    assert interface.outputs is None
