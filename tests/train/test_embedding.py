from __future__ import annotations

import numpy as np
import pytest

import reference_train
from pyane._core import base, train
from pyane.errors import ShapeError

EPS32 = float(np.finfo(np.float32).eps)
# V, B, C, S around the tiles: 16 and 32 channels, 64 positions.
SHAPES = [(1, 1, 1, 1), (5, 2, 7, 3), (50, 1, 16, 64), (7, 3, 33, 65), (11, 2, 64, 130)]


@pytest.mark.parametrize(("v", "b", "c", "s"), SHAPES)
@pytest.mark.parametrize("out", ["float32", "float16"])
def test_forward(rng: np.random.Generator, v: int, b: int, c: int, s: int, out: str) -> None:
    table = rng.standard_normal((v, c)).astype(np.float32)
    tokens = rng.integers(0, v, (b, s)).astype(np.int32)
    x = np.full((b, c, s), np.nan, out)
    train.embedding_forward(x, table, tokens)
    assert (x == reference_train.embedding(table, tokens).astype(out)).all()


@pytest.mark.parametrize(("v", "b", "c", "s"), SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_backward(rng: np.random.Generator, v: int, b: int, c: int, s: int, dtype: str) -> None:
    tokens = rng.integers(0, v, (b, s)).astype(np.int32)
    dx = rng.standard_normal((b, c, s)).astype(dtype)
    old = rng.standard_normal((v, c)).astype(np.float32)
    dtable = old.copy()
    train.embedding_backward(dtable, dx, tokens, scale=0.375)
    expected = old + 0.375 * reference_train.embedding_gradient(dx, tokens, v)
    magnitude = np.abs(old) + 0.375 * reference_train.embedding_gradient(np.abs(dx), tokens, v)
    n_terms = b * s + 1  # one rounding for each sum and one for the product
    assert (np.abs(dtable - expected) <= n_terms * EPS32 * magnitude).all()


@pytest.mark.usefixtures("keep_num_threads")
def test_bits_do_not_depend_on_threads(rng: np.random.Generator) -> None:
    tokens = rng.integers(0, 3, (2, 200)).astype(np.int32)  # many positions add to one row
    dx = rng.standard_normal((2, 100, 200)).astype(np.float32)
    results = set()
    for n_threads in (1, 2, 3, 4):
        base.set_num_threads(n_threads)
        dtable = np.zeros((3, 100), np.float32)
        train.embedding_backward(dtable, dx, tokens)
        results.add(dtable.tobytes())
    assert len(results) == 1


@pytest.mark.parametrize("bad", [-1, 5, 2**31 - 1])
def test_token_out_of_range(bad: int) -> None:
    tokens = np.zeros((2, 4), np.int32)
    tokens[1, 3] = bad
    x, table = np.ones((2, 3, 4), np.float32), np.zeros((5, 3), np.float32)
    message = rf"token {bad} at position 3 of sequence 1 is outside \[0, 5\)"
    with pytest.raises(ShapeError, match="embedding_forward: " + message):
        train.embedding_forward(x, table, tokens)
    with pytest.raises(ShapeError, match="embedding_backward: " + message):
        train.embedding_backward(table, x, tokens)
    assert (x == 1).all()
    assert (table == 0).all()


def test_errors() -> None:
    tokens = np.zeros((2, 4), np.int32)
    x, table = np.ones((2, 3, 4), np.float32), np.zeros((5, 3), np.float32)
    with pytest.raises(
        ShapeError, match=r"tokens must be \[B, S\] = \[2, 4\] or flat, got int32 \[1, 4\]"
    ):
        train.embedding_forward(x, table, tokens[:1])
    with pytest.raises(ShapeError, match=r"tokens must be .* got int32 \[4, 2\]"):
        train.embedding_backward(table, x, tokens.reshape(4, 2))
    with pytest.raises(ShapeError, match=r"table must be \[V, 3\], got float32 \[3, 5\]"):
        train.embedding_forward(x, table.reshape(3, 5), tokens)
    with pytest.raises(ShapeError, match="tokens must be int32, got int64"):
        train.embedding_forward(x, table, tokens.astype(np.int64))
