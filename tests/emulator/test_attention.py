"""scaled_dot_product_attention against fp64 NumPy and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from pyane import mil
from pyane.errors import MilVerifyError
from tolerance import assert_within

OP = "scaled_dot_product_attention"


def reference(query, key, value, mask=None):
    """The result, and what a relative error of the weights may do to it."""
    query, key, value = (a.astype(np.float64) for a in (query, key, value))
    scores = query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1])
    size = np.abs(query) @ np.abs(key).swapaxes(-1, -2) / np.sqrt(query.shape[-1])
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
        size = size + (0 if mask.dtype == bool else np.abs(mask.astype(np.float64)))
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return weights @ value, size.max() + value.shape[-2], weights @ np.abs(value)


def bound(exact, size, magnitude, n, dtype):
    """Scores err by (E + 3) * eps32 * size, which the exponential turns into a relative error of
    the weights; the sums of S weights and products add S * eps32 each; one rounding at the end."""
    eps = np.finfo(np.float32).eps
    relative = (n + 6) * eps * (size + 2)
    return np.finfo(dtype).eps / 2 * np.abs(exact) * (1 + relative) + relative * magnitude + 2**-25


SHAPES = [((1,), 1, 1, 1, 1), ((2,), 3, 5, 7, 2), ((1, 3), 17, 17, 8, 8), ((2, 2, 1), 4, 33, 16, 5)]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(("batch", "queries", "keys", "width", "values"), SHAPES)
@pytest.mark.parametrize("mask_kind", [None, "bool", "float", "row"])
def test_attention(evaluate, rng, batch, queries, keys, width, values, dtype, mask_kind):
    arrays = {
        "query": rng.normal(size=(*batch, queries, width)).astype(dtype),
        "key": rng.normal(size=(*batch, keys, width)).astype(dtype),
        "value": rng.normal(size=(*batch, keys, values)).astype(dtype),
    }
    mask = None
    if mask_kind == "bool":
        mask = rng.integers(0, 2, (*batch, queries, keys)).astype(bool)
        mask[..., 0] = True
    elif mask_kind == "float":
        mask = rng.normal(size=(queries, keys)).astype(dtype)
    elif mask_kind == "row":
        mask = rng.normal(size=(1, keys)).astype(dtype)
    if mask is not None:
        arrays["attn_mask"] = mask
    shape = (*batch, queries, values)
    got = evaluate(OP, arrays, shape, dtype)
    exact, size, magnitude = reference(arrays["query"], arrays["key"], arrays["value"], mask)
    assert_within(got, exact, bound(exact, size, magnitude, keys + width, dtype))


def test_as_pytorch(evaluate, rng):
    torch = pytest.importorskip("torch")
    query, key, value = (rng.normal(size=(2, 4, 24, 16)).astype(np.float32) for _ in range(3))
    mask = np.tril(np.ones((24, 24), bool))
    got = evaluate(
        OP,
        {"query": query, "key": key, "value": value, "attn_mask": mask},
        query.shape,
        np.float32,
    )
    expected = torch.nn.functional.scaled_dot_product_attention(
        *map(torch.from_numpy, (query, key, value, mask))
    ).numpy()
    np.testing.assert_allclose(got, expected, rtol=0, atol=64 * np.finfo(np.float32).eps * 4)


def test_many_heads_are_taken_in_parts(evaluate, rng):
    """48 heads of 260 x 260 scores: more than are kept at once."""
    query, key, value = (rng.normal(size=(48, 260, 2)).astype(np.float16) for _ in range(3))
    got = evaluate(OP, {"query": query, "key": key, "value": value}, query.shape, np.float16)
    exact, size, magnitude = reference(query, key, value)
    assert_within(got, exact, bound(exact, size, magnitude, 262, np.float16))


def bits(x: np.ndarray) -> np.ndarray:
    """Of all but NaN, whose payload is the CPU's affair."""
    return np.where(np.isnan(x), 1, x.view(np.uint16 if x.dtype == np.float16 else np.uint32))


def causal(kind: str, n: int, dtype: type) -> np.ndarray:
    visible = np.tril(np.ones((1, n, n), bool))
    visible[:, 11] = False  # Sees nothing: NaN.
    return visible if kind == "bool" else np.where(visible, 0, -np.inf).astype(dtype)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("kind", ["bool", "float"])
@pytest.mark.parametrize("special", [None, np.nan, np.inf])
def test_every_way_through_has_the_same_bits(emulator, evaluate, rng, dtype, kind, special):
    """Some queries at a time are products one after the other, many are tiles; of a constant mask
    hidden keys are left out, of one that is an input they are not."""
    shape = (2, 135, 8)
    arrays = {name: rng.normal(size=shape).astype(dtype) for name in ("query", "key", "value")}
    arrays["key"][0, -1] += dtype(30)  # Only the last query sees it.
    if special is not None:
        arrays["value"][1, -1, -1] = special
    mask = causal(kind, 135, dtype)

    @mil.program(**dict.fromkeys(arrays, (mil.fp16 if dtype is np.float16 else mil.fp32)[shape]))
    def with_constant(query, key, value):
        return mil.scaled_dot_product_attention(
            query=query, key=key, value=value, attn_mask=mask, name="y"
        )

    constant = emulator.compile(with_constant)(**arrays)
    whole = evaluate(OP, arrays | {"attn_mask": mask}, shape, dtype)
    np.testing.assert_array_equal(bits(constant), bits(whole))
    np.testing.assert_array_equal(np.isnan(whole).all(-1)[0], np.arange(135) == 11)
    for first in range(0, 135, 5):
        part = slice(first, first + 5)
        some = arrays | {"query": arrays["query"][:, part], "attn_mask": mask[:, part]}
        got = evaluate(OP, some, (2, 5, 8), dtype)
        np.testing.assert_array_equal(bits(got), bits(whole)[:, part])


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((2, 3, 4), (2, 5, 3), (2, 5, 4)), r"disagree, got query \[2, 3, 4\] and key \[2, 5, 3\]"),
        (((2, 3, 4), (2, 5, 4), (2, 6, 4)), r"value \[2, 6, 4\]"),
        (((2, 3, 4), (1, 5, 4), (1, 5, 4)), r"key \[1, 5, 4\]"),
        (((3, 4), (5, 4), (5, 4)), r"must have one rank, at least 3 .*, got query \[3, 4\]"),
        (((2, 3, 4), (2, 5, 4), (5, 4)), r"must have one rank, .* value \[5, 4\]"),
        (((2, 3, 4), (2, 5, 4), (2, 5, 4), (4, 5)), r"\[B, \*, L, S\] = \[2, 3, 5\], got \[4, 5\]"),
    ],
)
def test_shapes_that_disagree(evaluate, shapes, message):
    names = ("query", "key", "value", "attn_mask")
    arrays = {n: np.zeros(s, np.float16) for n, s in zip(names, shapes, strict=False)}
    with pytest.raises(MilVerifyError, match=message):
        evaluate(OP, arrays, (2, 3, 4), np.float16)
