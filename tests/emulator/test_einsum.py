from __future__ import annotations

import numpy as np
import pytest

import mil_text
import pyane
from tolerance import assert_within, sum_bound

CASES = [
    ("nchw,nwhu->nchu", (2, 3, 5, 7), (2, 7, 5, 4)),  # The two that coremltools makes.
    ("chw,whr->chr", (3, 5, 7), (7, 5, 4)),
    ("nchw,nwhu->nchu", (1, 3, 5, 33), (2, 33, 1, 17)),  # Broadcast.
    ("bkhc,bchq->bkhq", (1, 16, 3, 8), (1, 8, 3, 16)),
    ("ij,jk->ik", (5, 7), (7, 3)),
    ("ij,jk->ki", (5, 7), (7, 3)),
    ("ij,kj->ik", (5, 7), (3, 7)),
    ("bij,bij->b", (2, 3, 5), (2, 3, 5)),  # Two letters summed.
    ("abij,jic->cab", (2, 3, 4, 5), (5, 4, 6)),
    ("a,b->ab", (3,), (5,)),
    ("a,a->", (7,), (7,)),
    ("ab,ab->ab", (3, 5), (3, 5)),
    ("xyz,w->wyxz", (2, 3, 4), (5,)),
]


def evaluated(device, equation, arrays, shape):
    dtype = arrays[0].dtype
    inputs = {f"x{i}": mil_text.tensor_type(dtype, a.shape) for i, a in enumerate(arrays)}
    given = {"values": tuple(f"%{name}" for name in inputs), "equation": equation}
    line = mil_text.operation("einsum", "y", mil_text.tensor_type(dtype, shape), given)
    return device.compile(mil_text.program(inputs, [line], ["y"]))(
        **dict(zip(inputs, arrays, strict=True))
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(("equation", "x_shape", "y_shape"), CASES, ids=str)
def test_einsum(emulator, rng, equation, x_shape, y_shape, dtype):
    x, y = (rng.normal(size=shape).astype(dtype) for shape in (x_shape, y_shape))
    wide = [a.astype(np.float64) for a in (x, y)]
    value = np.asarray(np.einsum(equation, *wide))
    magnitude = np.asarray(np.einsum(equation, *map(np.abs, wide)))
    result = evaluated(emulator, equation, (x, y), value.shape)
    n_terms = x.size * y.size // max(value.size, 1)
    assert_within(result, value, sum_bound(value, magnitude, n_terms, dtype))


@pytest.mark.parametrize(
    ("equation", "x_shape", "y_shape", "message"),
    [
        ("ii,ij->j", (3, 3), (3, 2), "a letter of its own"),
        ("ij,jk->i", (2, 3), (3, 4), "'k' in one value only"),
        ("ij,jk->il", (2, 3), (3, 4), "'k' in one value only"),
        ("ij,jk->ikl", (2, 3), (3, 4), "'l' on its right side only"),
        ("ij,jk->ik", (2, 3), (4, 5), "disagree in 'j': 3 != 4"),
        ("ij,jk", (2, 3), (3, 4), "must read"),
        ("...j,jk->k", (3,), (3, 4), "one letter per dimension"),
    ],
)
def test_other_equations_are_refused(emulator, equation, x_shape, y_shape, message):
    arrays = (np.zeros(x_shape, np.float16), np.zeros(y_shape, np.float16))
    with pytest.raises(pyane.MilVerifyError, match=message):
        evaluated(emulator, equation, arrays, (2, 4))
