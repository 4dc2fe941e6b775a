"""What models are made of, optimised and plain: the same bits, on any number of threads, on every
instruction set. Programs are drawn from blocks with which the emulator does more than one operation at a
time: products with what follows them, attention, normalisation, chains, slices and concats."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pyane
from pyane import mil
from pyane._core import base
from pyane.llama.kernels import building_blocks

pytestmark = pytest.mark.emulator

Rng = np.random.Generator
Block = Callable[[mil.Var, Rng], mil.Var]
THREADS = (1, 2, 3, 4)


def half(rng: Rng, *shape: int) -> np.ndarray:
    return (rng.standard_normal(shape) / np.sqrt(shape[-1] + 1)).astype(np.float16)


def channels(x: mil.Var) -> int:
    return int(x.shape[1] or 0)


def positions(x: mil.Var) -> int:
    return int(x.shape[3] or 0)


def epilogue(x: mil.Var, residual: mil.Var, rng: Rng) -> mil.Var:
    """What may be done with a product on its way out."""
    for kind in rng.choice(5, rng.integers(0, 4), replace=False):
        if kind == 0:
            x = mil.add(x=x, y=half(rng, 1, channels(x), 1, 1))
        elif kind == 1:
            x = [mil.relu, mil.silu, mil.sigmoid, mil.tanh][rng.integers(4)](x=x)
        elif kind == 2 and residual.shape == x.shape:
            x = mil.add(x=residual, y=x)
        elif kind == 3:
            x = mil.mul(x=x, y=np.float16(1.25))
        elif kind == 4:
            x = mil.clip(x=x, alpha=np.float16(-2), beta=np.float16(3))
    return x


def conv(x: mil.Var, rng: Rng) -> mil.Var:
    c, width = channels(x), int(rng.choice([1, 1, 3]))
    out, groups = (c, int(rng.choice([1, 2]))) if c % 2 == 0 else (c + 3, 1)
    options = {"bias": half(rng, out)} if rng.random() < 0.5 else {}
    weight = half(rng, out, c // groups, 1, width)
    y = mil.conv(x=x, weight=weight, pad_type="same", groups=np.int32(groups), **options)
    return epilogue(y, x, rng)


def matmul(x: mil.Var, rng: Rng) -> mil.Var:
    c, s = channels(x), positions(x)
    columns = mil.reshape(x=x, shape=[1, c, s])
    if rng.random() < 0.5:
        product = mil.matmul(
            x=half(rng, 1, c + 1, c), y=columns, transpose_x=False, transpose_y=False
        )
    else:  # From the right, and both operands computed.
        product = mil.matmul(x=columns, y=columns, transpose_x=False, transpose_y=True)
        product = mil.matmul(x=product, y=columns, transpose_x=True, transpose_y=False)
    y = mil.reshape(x=product, shape=[1, int(product.shape[1] or 0), 1, s])
    return epilogue(y, x, rng)


def attention(x: mil.Var, rng: Rng) -> mil.Var:
    c, s = channels(x), positions(x)
    heads = 2 if c % 2 == 0 else 1
    dims = [1, heads, c // heads, s]
    q, k, v = (
        mil.reshape(x=mil.conv(x=x, weight=half(rng, c, c, 1, 1)), shape=dims) for _ in range(3)
    )
    if rng.random() < 0.4:
        turned = [mil.transpose(x=y, perm=[0, 1, 3, 2]) for y in (q, k, v)]
        mask = np.tril(np.ones((s, s), bool))
        y = mil.scaled_dot_product_attention(
            query=turned[0], key=turned[1], value=turned[2], attn_mask=mask
        )
        y = mil.transpose(x=y, perm=[0, 1, 3, 2])
    else:
        probs = building_blocks.causal_softmax(mil.mul(x=q, y=np.float16(0.25)), k)
        y = mil.matmul(x=v, y=probs, transpose_x=False, transpose_y=True)
    return mil.add(x=x, y=mil.reshape(x=y, shape=[1, c, 1, s]))


def normalised(x: mil.Var, rng: Rng) -> mil.Var:
    kind = rng.integers(4)
    axis = int(rng.choice([1, 3]))
    if kind == 0:
        return building_blocks.rmsnorm(x, half(rng, 1, 1, 1, channels(x)), 1e-5)
    if kind == 1:
        square = mil.reduce_mean(x=mil.mul(x=x, y=x), axes=[axis], keep_dims=True)
        return mil.mul(x=x, y=mil.rsqrt(x=square, epsilon=np.float16(1e-3)))
    if kind == 2:
        return mil.layer_norm(x=x, axes=[axis], epsilon=np.float16(1e-3))
    low = mil.reduce_max(x=x, axes=[axis], keep_dims=True)
    e = mil.exp(x=mil.sub(x=x, y=low))
    return mil.real_div(x=e, y=mil.reduce_sum(x=e, axes=[axis], keep_dims=True))


def softmax(x: mil.Var, rng: Rng) -> mil.Var:
    scaled = mil.mul(x=x, y=np.float16(3)) if rng.random() < 0.5 else x
    if rng.random() < 0.5:
        scaled = mil.add(x=scaled, y=half(rng, 1, 1, 1, positions(x)))
    return mil.softmax(x=scaled, axis=int(rng.integers(-4, 4)))


def gate(x: mil.Var, rng: Rng) -> mil.Var:
    y = mil.mul(x=mil.silu(x=x), y=half(rng, 1, channels(x), 1, positions(x)))
    if rng.random() < 0.5:
        y = mil.add(x=mil.mul(x=y, y=x), y=mil.abs(x=x))
    return mil.sub(x=y, y=np.float16(0.5)) if rng.random() < 0.5 else y


def rearranged(x: mil.Var, rng: Rng) -> mil.Var:
    axis = int(rng.choice([1, 3]))
    n = int(x.shape[axis] or 0)
    cut = int(rng.integers(0, n)) if n > 1 else 0
    begin, size = [0, 0, 0, 0], [int(d or 0) for d in x.shape]
    parts = []
    for start, length in ((cut, n - cut), (0, cut)):
        if length:
            begin[axis], size[axis] = start, length
            part = mil.slice_by_size(x=x, begin=list(begin), size=list(size))
            parts.append(mil.relu(x=part) if rng.random() < 0.5 else part)
    joined = mil.concat(values=parts, axis=axis) if len(parts) > 1 else parts[0]
    if rng.random() < 0.3:
        return mil.transpose(x=mil.transpose(x=joined, perm=[0, 3, 2, 1]), perm=[0, 3, 2, 1])
    return joined


BLOCKS: tuple[Block, ...] = (
    conv, matmul, attention, normalised, softmax, gate, rearranged,
)  # fmt: skip


def build(c: int, s: int, blocks: list[Block], seed: int) -> mil.Program:
    @mil.program(x=mil.fp16[1, c, 1, s])
    def program(x: mil.Var) -> tuple[mil.Var, ...]:
        rng = np.random.default_rng(seed)
        values = []
        for block in blocks:
            x = block(x, rng)
            values.append(x)
        # At times something in the middle is wanted as well, which fusing must respect.
        extra = values[:-1][: int(rng.integers(0, 2))]
        return (*extra, values[-1])

    return program


def run(kernel: pyane.Kernel, x: np.ndarray, threads: int) -> dict[str, np.ndarray]:
    pyane.set_num_threads(threads)
    kernel.inputs["x"][...] = x
    kernel.evaluate()
    return {name: array.copy() for name, array in kernel.outputs.items()}


def assert_same_bits(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], what: str):
    for name, array in expected.items():
        # NaNs may differ in sign and payload: x86 keeps that of the first operand.
        same = found[name].view(np.uint16) == array.view(np.uint16)
        same |= np.isnan(found[name]) & np.isnan(array)
        assert same.all(), f"{what}: {name} differs in {(~same).sum()} of {same.size} elements"


@pytest.fixture
def compile_plain(monkeypatch: pytest.MonkeyPatch) -> Callable[[mil.Program], pyane.Kernel]:
    def compile_it(program: mil.Program) -> pyane.Kernel:
        monkeypatch.setenv("PYANE_EMULATOR_PLAIN", "1")
        kernel = pyane.device("emulator").compile(program)
        monkeypatch.delenv("PYANE_EMULATOR_PLAIN")
        return kernel

    return compile_it


CASES = given(
    c=st.sampled_from([1, 6, 17, 64, 130]),
    s=st.sampled_from([1, 7, 16, 33, 128]),
    blocks=st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=6),
    seed=st.integers(0, 2**32 - 1),
)
# Most of the time goes into compiling; runs of the suite add up to many more.
FEW = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.usefixtures("one_thread_after", "isa")
@FEW
@CASES
def test_optimised_is_plain_bit_for_bit_on_any_threads(compile_plain, c, s, blocks, seed):
    program = build(c, s, blocks, seed)
    x = np.random.default_rng(seed).standard_normal((1, c, 1, s)).astype(np.float16)
    expected = run(compile_plain(program), x, 1)
    kernel = pyane.device("emulator").compile(program)
    for threads in THREADS:
        assert_same_bits(run(kernel, x, threads), expected, f"{threads} threads, {base.isa()}")


@pytest.mark.usefixtures("one_thread_after")
@FEW
@CASES
def test_instruction_sets_with_fma_agree(c, s, blocks, seed):
    """Without FMA (scalar) products are rounded before they are added: other sums."""
    sets = [name for name in base.available_isas() if name != "scalar"]
    if len(sets) < 2:
        pytest.skip("this CPU has one instruction set with FMA only")
    program = build(c, s, blocks, seed)
    x = np.random.default_rng(seed).standard_normal((1, c, 1, s)).astype(np.float16)
    before = base.isa()
    try:
        results = {}
        for name in sets:
            base.set_isa(name)
            results[name] = run(pyane.device("emulator").compile(program), x, 2)
    finally:
        base.set_isa(before)
    for name in sets[1:]:
        assert_same_bits(results[name], results[sets[0]], f"{name} beside {sets[0]}")


@pytest.mark.usefixtures("one_thread_after", "isa")
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)
def test_shapes_of_a_model(compile_plain, block, rng):
    """Enough work for every thread."""
    program = build(192, 256, [block, block], int(rng.integers(1000)))
    x = rng.standard_normal((1, 192, 1, 256)).astype(np.float16)
    expected = run(compile_plain(program), x, 1)
    kernel = pyane.device("emulator").compile(program)
    for threads in THREADS:
        assert_same_bits(run(kernel, x, threads), expected, f"{threads} threads, {base.isa()}")


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.usefixtures("isa")
def test_a_softmax_of_nan_is_one_nan(compile_plain, axis):
    """Whatever the bits of the NaN that came in: which of two goes on is a compiler's choice."""
    x = np.linspace(-3, 3, 3 * 17 * 4, dtype=np.float32).reshape(3, 17, 4)
    x.view(np.uint32)[1, 5, 2] = 0xFFE988F0
    x.view(np.uint32)[1, 9, 2] = 0x7FC12345

    @mil.program(x=mil.fp32[x.shape])
    def program(x):
        y = mil.softmax(x=x, axis=axis, name="y")
        return y, mil.maximum(x=y, y=y, name="z")

    expected = np.isnan(x).any(axis=axis, keepdims=True) & np.ones(x.shape, bool)
    for kernel in (pyane.device("emulator").compile(program), compile_plain(program)):
        kernel.inputs["x"][...] = x
        kernel.evaluate()
        for name in ("y", "z"):
            y = kernel.outputs[name]
            np.testing.assert_array_equal(np.isnan(y), expected)
        assert set(kernel.outputs["y"].view(np.uint32)[expected]) == {0x7FC00000}
