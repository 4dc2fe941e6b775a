"""Attention written as matmul, scaling, mask, softmax, matmul is one step, with the bits of the
operations one by one: on every instruction set and number of threads, whatever is in the tensors."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pyane
from pyane import mil, profile
from pyane._core import base

pytestmark = [pytest.mark.emulator, pytest.mark.usefixtures("isa", "one_thread_after")]

# Only which operations a step has is asked for: no need to measure the machine.
ROOFS = profile.Roofs(gflops=1.0, gbps=((1, 1.0),))


@dataclasses.dataclass(frozen=True)
class Case:
    """One way to write attention. B heads, I queries, J keys, D width, V width of values."""

    dims: tuple[int, int, int, int, int]  # B, I, J, D, V
    dtype: type = np.float16
    turned: tuple[bool, bool, bool] = (False, True, False)  # Query, key, value as [.., D, S].
    left: bool = False  # The result is value @ weights^T.
    scaling: str = ""  # "mul", "real_div", or "left": the number comes first.
    mask: str = ""
    exports: str = ""  # "output", "reader": who else wants the weights.
    special: float = 0.0  # An element of a constant mask.
    number: float = 0.3  # What scores are scaled by.

    def arrays(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        b, i, j, d, v = self.dims
        shapes = {"q": (i, d), "k": (j, d), "v": (j, v)}
        arrays = {}
        for (name, shape), is_turned in zip(shapes.items(), self.turned, strict=True):
            array = rng.standard_normal((1, b, *(shape[::-1] if is_turned else shape)))
            arrays[name] = array.astype(self.dtype)
        if self.mask == "input":
            arrays["m"] = np.round(rng.standard_normal((1, 1, i, j)) * 4).astype(self.dtype)
        elif self.mask == "keys":
            arrays["m"] = np.where(rng.random((1, b, 1, j)) < 0.3, -np.inf, 0).astype(self.dtype)
        return arrays

    def constant_mask(self) -> np.ndarray:
        """[1, 1, I, J], with -1e4 (or -infinity) after a query's own position."""
        _, i, j, _, _ = self.dims
        hidden = {"causal": -1e4, "infinite": -np.inf, "nothing": -np.inf}[self.mask]
        mask = np.triu(np.full((i, j), hidden, self.dtype), 1)
        if self.mask == "nothing":  # Some queries see no key.
            mask[:: max(2, i // 3)] = hidden
        if self.special:
            mask[i // 2, 0] = self.special
        return mask[None, None]

    def program(self, arrays: dict[str, np.ndarray]) -> mil.Program:
        kind = mil.fp16 if self.dtype is np.float16 else mil.fp32
        specs = {name: kind[array.shape] for name, array in arrays.items()}

        def body(q: mil.Var, k: mil.Var, v: mil.Var, m: mil.Var | None = None):
            x = mil.matmul(x=q, y=k, transpose_x=self.turned[0], transpose_y=not self.turned[1])
            number = self.dtype(self.number)
            if self.scaling == "mul":
                x = mil.mul(x=x, y=number)
            elif self.scaling == "left":
                x = mil.mul(x=number, y=x)
            elif self.scaling == "real_div":
                x = mil.real_div(x=x, y=number)
            if m is not None:
                x = mil.add(x=x, y=m)
            elif self.mask:
                x = mil.add(x=self.constant_mask(), y=x)
            weights = mil.softmax(x=x, axis=-1, name="weights")
            if self.left:
                y = mil.matmul(x=v, y=weights, transpose_x=not self.turned[2], transpose_y=True)
            else:
                y = mil.matmul(x=weights, y=v, transpose_x=False, transpose_y=self.turned[2])
            y = mil.relu(x=y, name="y")
            if self.exports == "output":
                return y, weights
            if self.exports == "reader":
                return y, mil.add(x=weights, y=weights, name="twice")
            return y

        return mil.program(**specs)(body)


def bits(array: np.ndarray) -> np.ndarray:
    """NaNs may differ in sign and payload: x86 keeps those of the first operand."""
    unsigned = np.uint16 if array.dtype == np.float16 else np.uint32
    return np.where(np.isnan(array), np.array(1, unsigned), array.view(unsigned))


def evaluate(kernel: pyane.Kernel, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    for name, array in arrays.items():
        kernel.inputs[name][...] = array
    kernel.evaluate()
    return {name: array.copy() for name, array in kernel.outputs.items()}


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch):
    """Compares with the operations one by one; the number of operations in the step of attention."""

    def run(case: Case, arrays: dict[str, np.ndarray]) -> int:
        program = case.program(arrays)
        kernel = pyane.device("emulator").compile(program)
        monkeypatch.setenv("PYANE_EMULATOR_PLAIN", "1")
        plain = pyane.device("emulator").compile(program)
        monkeypatch.delenv("PYANE_EMULATOR_PLAIN")
        pyane.set_num_threads(1)
        expected = evaluate(plain, arrays)
        for threads in (1, 3):
            pyane.set_num_threads(threads)
            found = evaluate(kernel, arrays)
            for name, array in expected.items():
                np.testing.assert_array_equal(
                    bits(found[name]), bits(array), f"{name}, {threads} threads, {base.isa()}"
                )
        return max(len(group) for group in groups_of(kernel) if "softmax" in group)

    return run


def groups_of(kernel: pyane.Kernel) -> list[tuple[str, ...]]:
    return [group.operations for group in profile.profile(kernel, repeat=1, roofs=ROOFS).groups]


SMALL = (2, 17, 19, 5, 3)
FULL = (3, 130, 130, 16, 16)
CASES = [
    Case(SMALL),
    Case(SMALL, left=True, turned=(True, False, True)),
    Case(SMALL, turned=(True, True, True), scaling="mul"),
    Case(SMALL, turned=(False, False, False), scaling="real_div", mask="input"),
    Case(SMALL, scaling="left", mask="causal"),
    Case(SMALL, mask="keys", exports="output"),
    Case(SMALL, mask="nothing", left=True),
    Case(SMALL, dtype=np.float32, mask="causal", scaling="mul"),
    Case(SMALL, dtype=np.float32, mask="infinite", exports="output"),
    Case((1, 8, 1, 1, 1)),
    Case((1, 101, 2, 1, 67), mask="causal"),
    Case((13, 16, 64, 64, 1), exports="reader"),
    Case(FULL, mask="causal", exports="output", left=True, turned=(True, True, True)),
    Case(FULL, mask="infinite"),
    Case(FULL, mask="nothing", exports="reader"),
    Case((1, 67, 521, 300, 33), mask="input"),
    Case(FULL, dtype=np.float32, mask="input", left=True),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bits_of_the_operations(case, check, rng):
    arrays = case.arrays(rng)
    n_operations = check(case, arrays)
    assert n_operations == 3 + bool(case.scaling) + bool(case.mask)


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf, 65504.0, 2.0**-24, -0.0])
@pytest.mark.parametrize("where", ["q", "k", "v", "m"])
def test_special_values(special, where, check, rng):
    """Among the keys that nobody looks at, too: zero times infinity is NaN."""
    case = Case((2, 70, 70, 8, 8), mask="input")
    arrays = case.arrays(rng)
    arrays["m"] = arrays["m"] + np.triu(np.full((70, 70), -1e4, np.float16), 1)
    for at in (0, 33, 69):
        arrays[where][..., at % arrays[where].shape[-2], at % arrays[where].shape[-1]] = special
    check(case, arrays)


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf, 65504.0, -65504.0, 9000.0, -5000.0])
@pytest.mark.parametrize("mask", ["causal", "infinite"])
def test_special_values_in_a_constant_mask(special, mask, check, rng):
    """Hidden keys are left out only where nothing can bring them back."""
    case = Case((2, 150, 150, 8, 8), mask=mask, exports="output", special=special)
    check(case, case.arrays(rng))


@pytest.mark.parametrize("mask", ["causal", "infinite"])
def test_a_mask_too_large_to_be_kept_in_order(mask, check, rng):
    """2^20 elements and more; what it hides is known all the same."""
    case = Case((2, 1027, 1031, 8, 8), mask=mask, exports="output")
    check(case, case.arrays(rng))


@pytest.mark.parametrize("factor", [20, 100, 300, 3000])
def test_scores_that_outweigh_a_mask(factor, check, rng):
    """From some thousands on they do, and from 65504 on they are infinite."""
    case = Case((2, 150, 150, 64, 8), mask="causal", exports="output")
    arrays = case.arrays(rng)
    arrays["q"] *= factor
    arrays["k"][..., 140] *= 4
    check(case, arrays)


@pytest.mark.parametrize("factor", [0.01, 100.0])
@pytest.mark.parametrize("mask", ["causal", "infinite"])
def test_scores_that_are_infinite_before_they_are_scaled(factor, mask, check, rng):
    """A product of 102400 is infinite in fp16, and times 0.01 it still is: behind a mask, NaN."""
    scaling = "mul" if factor < 1 else "real_div"
    case = Case((1, 150, 150, 64, 8), scaling=scaling, number=factor, mask=mask, exports="output")
    arrays = case.arrays(rng)
    arrays["q"][...] = arrays["k"][...] = 0
    arrays["q"][0, 0, 0] = arrays["k"][0, 0, :, 140] = 40
    check(case, arrays)


@pytest.mark.parametrize("at", [100, -1])
@pytest.mark.parametrize("special", [np.nan, np.inf, 65504.0])
@pytest.mark.parametrize("where", ["q", "k", "v"])
def test_special_values_behind_a_constant_mask(special, where, at, check, rng):
    case = Case((2, 150, 150, 8, 8), turned=(False,) * 3, mask="causal", exports="output")
    arrays = case.arrays(rng)
    arrays[where][0, 1, at, -1] = special
    check(case, arrays)


def test_weights_that_nearly_vanish(check, rng):
    """Differences of scores from 60 to 130: exponentials from small to none, in fp32."""
    case = Case((1, 40, 40, 1, 4), dtype=np.float32)
    arrays = case.arrays(rng)
    arrays["q"][...] = 1
    arrays["k"][...] = -np.linspace(0, 130, 40, dtype=np.float32)
    arrays["v"] *= 1e-6
    check(case, arrays)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    case=st.builds(
        Case,
        dims=st.tuples(*(st.sampled_from(n) for n in ([1, 2, 5], [8, 31, 64, 97], [1, 16, 37, 129], [1, 6, 64], [1, 14, 40]))),
        dtype=st.sampled_from([np.float16, np.float32]),
        turned=st.tuples(st.booleans(), st.booleans(), st.booleans()),
        left=st.booleans(),
        scaling=st.sampled_from(["", "mul", "left", "real_div"]),
        mask=st.sampled_from(["", "input", "keys", "causal", "infinite", "nothing"]),
        exports=st.sampled_from(["", "output", "reader"]),
    ),
    seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_any_way_to_write_it(check, case, seed):
    check(case, case.arrays(np.random.default_rng(seed)))


def test_what_others_read_is_not_fused():
    """Scores that leave, weights that something before the second product reads, few queries, a
    softmax along the queries."""

    def program(kind: str, i: int = 16) -> mil.Program:
        @mil.program(q=mil.fp16[2, i, 8], k=mil.fp16[2, 16, 8], v=mil.fp16[2, 16, 8])
        def attention(q, k, v):
            scores = mil.matmul(x=q, y=k, transpose_x=False, transpose_y=True)
            weights = mil.softmax(x=scores, axis=1 if kind == "axis" else -1)
            if kind == "early":
                v = mil.add(x=v, y=mil.reduce_sum(x=weights, axes=[-1], keep_dims=True))
            y = mil.matmul(x=weights, y=v, transpose_x=False, transpose_y=False, name="y")
            return (y, mil.relu(x=scores, name="s")) if kind == "scores" else y

        return attention

    for kind, i in (("scores", 16), ("early", 16), ("axis", 16), ("few", 7)):
        kernel = pyane.device("emulator").compile(program(kind, i))
        assert not any("softmax" in group and "matmul" in group for group in groups_of(kernel)), (
            kind
        )
    kernel = pyane.device("emulator").compile(program(""))
    assert ("matmul", "softmax", "matmul") in groups_of(kernel)


def test_a_product_of_two_weights(rng):
    """Of two softmaxes: it can be the second product of one of them only."""

    @mil.program(q=mil.fp32[2, 16, 8], k=mil.fp32[2, 24, 8], m=mil.fp32[2, 16, 8])
    def attention(q, k, m):
        scores = [mil.matmul(x=x, y=k, transpose_x=False, transpose_y=True) for x in (q, m)]
        left, right = (mil.softmax(x=x, axis=-1) for x in scores)
        return mil.matmul(x=left, y=right, transpose_x=False, transpose_y=True, name="y")

    kernel = pyane.device("emulator").compile(attention)
    assert ("matmul", "softmax", "matmul") in groups_of(kernel)
    arrays = {n: rng.standard_normal(a.shape).astype(np.float32) for n, a in kernel.inputs.items()}
    q, k, m = (arrays[n].astype(np.float64) for n in "qkm")
    left, right = (np.exp(x @ k.swapaxes(1, 2)) for x in (q, m))
    left, right = (x / x.sum(-1, keepdims=True) for x in (left, right))
    # Sums of up to 24 terms in fp32, and scores up to 20 in magnitude.
    np.testing.assert_allclose(
        evaluate(kernel, arrays)["y"], left @ right.swapaxes(1, 2), rtol=2.0**-16, atol=0
    )


def test_an_operand_made_in_between(rng):
    """The values come from a product after the softmax, and the mask from the values' weights."""
    weight = rng.standard_normal((1, 8, 8)).astype(np.float16)

    @mil.program(q=mil.fp16[2, 16, 8], k=mil.fp16[2, 16, 8], m=mil.fp16[2, 16, 16])
    def attention(q, k, m):
        scores = mil.matmul(x=q, y=k, transpose_x=False, transpose_y=True)
        masked = mil.add(x=scores, y=mil.tanh(x=m))
        weights = mil.softmax(x=masked, axis=-1)
        v = mil.relu(x=mil.matmul(x=k, y=weight, transpose_x=False, transpose_y=False))
        return mil.matmul(x=weights, y=v, transpose_x=False, transpose_y=False, name="y")

    kernel = pyane.device("emulator").compile(attention)
    assert ("matmul", "add", "softmax", "matmul") in groups_of(kernel)
    arrays = {n: rng.standard_normal(a.shape).astype(np.float16) for n, a in kernel.inputs.items()}
    y = evaluate(kernel, arrays)["y"].astype(np.float64)
    q, k, m = (arrays[n].astype(np.float64) for n in "qkm")
    scores = q @ k.swapaxes(1, 2) + np.tanh(m)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    exact = weights @ np.maximum(k @ weight.astype(np.float64), 0)
    # Scores of up to 16 are rounded twice to fp16, and the weights once.
    np.testing.assert_allclose(y, exact, rtol=0, atol=2.0**-5 * np.abs(exact).max())
