"""Chains of operations in one step, reductions among them: the bits of the operations one by one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bit_patterns import bits
from pyane import mil
from pyane._core import base
from pyane.llama.kernels import building_blocks

pytestmark = pytest.mark.usefixtures("one_thread_after")


def halves(*shape: int, scale: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(shape)
    return (scale * rng.standard_normal(shape)).astype(np.float16)


def written_softmax(x: mil.Var, axis: int) -> mil.Var:
    largest = mil.reduce_max(x=x, axes=[axis], keep_dims=True)
    powers = mil.exp(x=mil.sub(x=x, y=largest))
    return mil.real_div(x=powers, y=mil.reduce_sum(x=powers, axes=[axis], keep_dims=True))


def variance(x: mil.Var, axis: int) -> mil.Var:
    """Two reductions one after the other, and one that is wanted for itself."""
    mean = mil.reduce_mean(x=x, axes=[axis], keep_dims=True, name="mean")
    centered = mil.sub(x=x, y=mean)
    spread = mil.reduce_mean(x=mil.square(x=centered), axes=[axis], keep_dims=True)
    return mil.mul(x=centered, y=mil.rsqrt(x=spread, epsilon=1e-3))


def several(x: mil.Var, axis: int) -> mil.Var:
    norm = mil.reduce_l2_norm(x=x, axes=[axis], keep_dims=True)
    squares = mil.reduce_sum_square(x=x, axes=[axis], keep_dims=True)
    return mil.add(x=mil.tanh(x=mil.mul(x=x, y=norm)), y=mil.mul(x=squares, y=np.float16(0.125)))


BODIES: dict[str, Callable[[mil.Var, int], mil.Var]] = {
    "softmax": lambda x, axis: mil.softmax(x=x, axis=axis),
    "softmax of a sum": lambda x, axis: mil.softmax(x=mil.add(x=x, y=mil.silu(x=x)), axis=axis),
    "softmax, written out": written_softmax,
    "variance": variance,
    "several": several,
}

# Axis innermost and not, one tile and several, bands that are not whole, positions fewer than lanes.
SHAPES = [
    ((1, 7, 1, 5), 1),
    ((1, 768, 1, 64), 1),
    ((2, 100, 1, 300), 1),
    ((1, 33, 17, 3), 1),
    ((3, 257, 1, 1), 1),
    ((5, 64), -1),
    ((70, 31), -1),
    ((3, 2049), -1),
    ((2, 3, 5000), -1),
    ((4, 6, 5, 7), 2),
    ((2, 8192, 1, 17), 1),
    ((1, 70000), 1),  # More than a block holds: not fused.
]


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize(("shape", "axis"), SHAPES)
def test_along_an_axis(compare, name, shape, axis):
    axis %= len(shape)

    @mil.program(x=mil.fp16[shape])
    def program(x):
        return mil.mul(x=BODIES[name](x, axis), y=np.float16(3.0), name="y")

    compare(program, x=halves(*shape))


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("axis", [0, 1])
def test_fp32(compare, name, axis):
    @mil.program(x=mil.fp32[50, 40])
    def program(x):
        wide = BODIES["softmax"](x, axis) if name.startswith("softmax") else mil.exp(x=x)
        total = mil.reduce_sum(x=wide, axes=[axis], keep_dims=True)
        return mil.sub(x=wide, y=total, name="y")

    compare(program, x=halves(50, 40).astype(np.float32))


@pytest.mark.parametrize("axis", [1, 3])
def test_softmax_is_right(emulator, axis):
    shape = (2, 96, 1, 80)

    @mil.program(x=mil.fp16[shape])
    def program(x):
        return mil.softmax(x=x, axis=axis, name="y")

    x = halves(*shape, scale=4.0)
    powers = np.exp(x.astype(np.float64) - x.astype(np.float64).max(axis, keepdims=True))
    exact = powers / powers.sum(axis, keepdims=True)
    # One rounding to fp16; exp, the sum and the quotient are good to 1e-6 in fp32.
    tolerance = exact * (2.0**-11 + 1e-5) + 2.0**-25
    assert (np.abs(emulator.compile(program)(x) - exact) <= tolerance).all()


@pytest.mark.parametrize(("channels", "positions"), [(64, 48), (768, 256), (131, 19)])
def test_rmsnorm_of_the_layers(compare, channels, positions):
    shape = (2, channels, 1, positions)

    @mil.program(x=mil.fp16[shape], w=mil.fp16[1, 1, 1, channels], residual=mil.fp16[shape])
    def program(x, w, residual):
        middle = mil.add(x=x, y=residual, name="middle")
        return mil.identity(x=building_blocks.rmsnorm(middle, w, 1e-5), name="y"), middle

    inputs = {"x": halves(*shape, scale=30), "residual": halves(*shape)}
    results = compare(program, **inputs, w=halves(1, 1, 1, channels))
    middle = (inputs["x"] + inputs["residual"]).astype(np.float64)
    w = halves(1, 1, 1, channels).astype(np.float64).reshape(1, channels, 1, 1)
    exact = w * middle / np.sqrt((middle**2).mean(1, keepdims=True) + 1e-5)
    # Ten roundings to fp16 at most.
    assert (np.abs(results["y"] - exact) <= 10 * 2.0**-11 * np.abs(exact) + 2.0**-14).all()


def test_operands_of_every_shape(compare):
    """Scalars, vectors along each dimension, strided and transposed operands."""

    @mil.program(x=mil.fp16[6, 40, 30], t=mil.fp16[30, 40, 6], c=mil.fp16[40, 1], s=mil.fp16[1, 30])
    def program(x, t, c, s):
        turned = mil.transpose(x=t, perm=[2, 1, 0])
        some = mil.slice_by_index(x=x, begin=[0, 0, 0], end=[6, 40, 30], stride=[2, 1, 1])
        y = mil.mul(x=mil.add(x=x, y=turned), y=mil.sub(x=c, y=s))
        y = mil.maximum(x=y, y=np.float16(-2.0))
        total = mil.reduce_sum(x=y, axes=[1], keep_dims=True)
        y = mil.add(x=mil.mul(x=y, y=s), y=mil.mul(x=total, y=c), name="y")
        return y, mil.softmax(x=some, axis=1, name="z"), mil.identity(x=total, name="total")

    compare(program, x=halves(6, 40, 30), t=halves(30, 40, 6), c=halves(40, 1), s=halves(1, 30))


@pytest.mark.parametrize(("shape", "axis"), [((3, 2), 0), ((5, 40), 1), ((2, 33, 17), 1)])
def test_what_is_not_reduced_but_as_small_comes_first(compare, shape, axis):
    """The chain has the dimensions of what it reduces, not those of its first operation."""
    small = tuple(1 if i == axis else n for i, n in enumerate(shape))

    @mil.program(x=mil.fp16[shape], y=mil.fp16[small])
    def program(x: mil.Var, y: mil.Var) -> mil.Var:
        gate = mil.silu(x=y)
        mean = mil.reduce_mean(x=mil.sub(x=x, y=y), axes=[axis], keep_dims=True)
        return mil.sub(x=mil.add(x=mean, y=gate), y=mil.relu(x=mean), name="z")

    compare(program, x=halves(*shape), y=halves(*small))


def test_results_of_other_types(compare):
    @mil.program(x=mil.fp16[20, 100], n=mil.int32[20, 1])
    def program(x, n):
        largest = mil.reduce_max(x=x, axes=[1], keep_dims=True)
        is_largest = mil.equal(x=x, y=largest)
        count = mil.cast(x=n, dtype="fp16")
        y = mil.select(cond=is_largest, a=mil.mul(x=x, y=count), b=mil.exp(x=x))
        whole = mil.cast(x=mil.mul(x=y, y=np.float16(8.0)), dtype="int32", name="whole")
        return mil.cast(x=y, dtype="fp32", name="y"), whole

    compare(program, x=halves(20, 100), n=np.arange(20, dtype=np.int32).reshape(20, 1))


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize(("shape", "axis"), [((40, 48), 1), ((48, 40), 0)])
def test_special_values(compare, name, shape, axis):
    x = halves(*shape)
    flat = x.reshape(-1)
    flat[::97] = np.inf
    flat[5::203] = -np.inf
    flat[7::301] = np.nan
    flat[11::3] = 0.0
    flat[12::3] = -0.0
    flat[13::51] = 65504
    flat[14::57] = 2.0**-24

    @mil.program(x=mil.fp16[shape])
    def program(x):
        return mil.identity(x=BODIES[name](x, axis), name="y")

    compare(program, x=x)


@pytest.mark.parametrize("op", ["reduce_max", "reduce_min"])
@pytest.mark.parametrize("sign", [0.0, -0.0])
def test_zero_as_an_extreme_is_positive(emulator, op, sign):
    """Whichever zero comes first: that would depend on the layout."""
    x = np.full((4, 40), 0.0, np.float16)
    x[:, ::2] = sign
    for axis in (0, 1):

        @mil.program(x=mil.fp16[4, 40])
        def program(x, axis=axis):
            return getattr(mil, op)(x=x, axes=[axis], keep_dims=False, name="y")

        assert not np.signbit(emulator.compile(program)(x)).any()


def test_same_bits_on_every_instruction_set(emulator):
    shape = (1, 96, 1, 40)

    @mil.program(x=mil.fp16[shape], w=mil.fp16[1, 1, 1, 96])
    def program(x, w):
        normed = building_blocks.rmsnorm(x, w, 1e-5)
        gate = mil.mul(x=mil.silu(x=normed), y=mil.sigmoid(x=x))
        powers = mil.exp(x=mil.mul(x=normed, y=np.float16(4.0)), name="powers")
        return mil.softmax(x=gate, axis=1, name="y"), powers, mil.gelu(x=x, name="gelu")

    inputs = {"x": halves(*shape, scale=6), "w": halves(1, 1, 1, 96)}
    before = base.isa()
    results = []
    try:
        for isa in base.available_isas():
            base.set_isa(isa)
            kernel = emulator.compile(program)
            kernel(**inputs)
            results.append({name: bits(array).copy() for name, array in kernel.outputs.items()})
    finally:
        base.set_isa(before)
    for other in results[1:]:
        for name, expected in results[0].items():
            np.testing.assert_array_equal(other[name], expected, err_msg=name)


def test_every_half_through_exp_sigmoid_silu(emulator):
    """The AVX-512 exponential of its own against the one that the other instruction sets have."""
    x = np.arange(65536, dtype=np.uint16).view(np.float16).reshape(256, 256)

    @mil.program(x=mil.fp16[256, 256])
    def program(x):
        return mil.exp(x=x, name="a"), mil.sigmoid(x=x, name="b"), mil.silu(x=x, name="c")

    before = base.isa()
    results = []
    try:
        for isa in base.available_isas():
            base.set_isa(isa)
            kernel = emulator.compile(program)
            kernel(x)
            results.append({name: array.copy() for name, array in kernel.outputs.items()})
    finally:
        base.set_isa(before)
    for other in results[1:]:
        for name, expected in results[0].items():
            is_nan = np.isnan(expected)
            np.testing.assert_array_equal(np.isnan(other[name]), is_nan, err_msg=name)
            np.testing.assert_array_equal(
                bits(other[name])[~is_nan], bits(expected)[~is_nan], err_msg=name
            )


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("n", [1, 15, 16, 17, 131])
@pytest.mark.parametrize("dtype", [mil.fp16, mil.fp32], ids=["fp16", "fp32"])
def test_rows_that_begin_anywhere(emulator, n, dtype):
    """Tiles in the tensors themselves, at any alignment, with nothing touched beside them."""

    @mil.program(x=dtype[1, 3, 1, n + 3], y=dtype[1, 3, 1, n + 1])
    def program(x: mil.Var, y: mil.Var) -> mil.Var:
        a = mil.slice_by_size(x=x, begin=[0, 0, 0, 3], size=[1, 3, 1, n])
        b = mil.slice_by_size(x=y, begin=[0, 0, 0, 1], size=[1, 3, 1, n])
        product = mil.mul(x=a, y=mil.relu(x=b))
        return mil.concat(values=[y, product, y], axis=3, interleave=False, name="z")

    rng = np.random.default_rng(n)
    numpy_type = np.float16 if dtype is mil.fp16 else np.float32
    x = rng.standard_normal((1, 3, 1, n + 3)).astype(numpy_type)
    y = rng.standard_normal((1, 3, 1, n + 1)).astype(numpy_type)
    product = x[..., 3:] * np.maximum(y[..., 1:], numpy_type(0))
    expected = np.concatenate([y, product, y], axis=3)
    np.testing.assert_array_equal(emulator.compile(program)(x=x, y=y), expected)
