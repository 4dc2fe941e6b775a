"""Random operations against Philox as its authors define it, written here in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import mil_text
import pyane


def philox(counters: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Philox4x32-10 of [n, 4] counters. Salmon et al., SC11, section 3.3 and table 2."""
    c = counters.astype(np.uint64)
    k0, k1 = key
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        a, b = c[:, 0] * np.uint64(0xD2511F53), c[:, 2] * np.uint64(0xCD9E8D57)
        c = np.stack(
            [
                (b >> np.uint64(32)) ^ c[:, 1] ^ np.uint64(k0), b & low,
                (a >> np.uint64(32)) ^ c[:, 3] ^ np.uint64(k1), a & low,
            ], 1,
        )  # fmt: skip
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c.astype(np.uint32)


def words(n: int, seed: int) -> np.ndarray:
    """Word i of the stream of a seed."""
    blocks = np.arange((n + 3) // 4, dtype=np.uint32)
    counters = np.zeros((len(blocks), 4), np.uint32)
    counters[:, 0] = blocks
    return philox(counters, (seed, 0)).ravel()[:n]


def units(n: int, seed: int) -> np.ndarray:
    return (words(n, seed) >> np.uint32(8)).astype(np.float64) * 2.0**-24


def draw(device, op, shape, dtype, **attributes):
    lines = [
        mil_text.operation(
            op, "r", mil_text.tensor_type(dtype, shape),
            {"shape": np.array(shape, np.int32), **attributes},
        )
    ]  # fmt: skip
    lines.append(
        mil_text.operation("add", "y", mil_text.tensor_type(dtype, shape), {"x": "%r", "y": "%x"})
    )
    return device.compile(mil_text.program({"x": mil_text.tensor_type(dtype, (1,))}, lines, ["y"]))


ZERO = {np.float16: np.zeros(1, np.float16), np.float32: np.zeros(1, np.float32)}


def test_the_reference_gives_its_authors_vectors():
    """kat_vectors of Random123."""
    cases = [
        ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ]  # fmt: skip
    for counter, key, expected in cases:
        result = philox(np.array([counter], np.uint32), key)[0]
        assert " ".join(f"{word:08x}" for word in result) == expected


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
@pytest.mark.parametrize("shape", [(1,), (5,), (3, 7, 11), (4099,)], ids=str)
def test_uniform(emulator, shape, seed):
    result = draw(emulator, "random_uniform", shape, np.float32, seed=seed)(ZERO[np.float32])
    expected = units(int(np.prod(shape)), seed).reshape(shape)
    np.testing.assert_array_equal(result, expected.astype(np.float32))


@pytest.mark.parametrize(("low", "high"), [(-3.0, 5.0), (0.0, 1.0), (-1.0, 0.0), (-2.0, -1.0)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_uniform_leaves_its_upper_end_out(emulator, low, high, dtype):
    kernel = draw(
        emulator, "random_uniform", (40000,), dtype, seed=3, low=dtype(low), high=dtype(high)
    )
    result = kernel(ZERO[dtype])
    assert result.min() >= low
    assert result.max() < high
    exact = (low + (high - low) * units(40000, 3)).astype(np.float32).astype(dtype)
    last = np.nextafter(dtype(high), dtype(-np.inf))
    np.testing.assert_array_equal(result, np.minimum(exact, last))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_normal(emulator, dtype):
    n = 20001
    kernel = draw(emulator, "random_normal", (n,), dtype, seed=7, mean=dtype(2), stddev=dtype(0.5))
    result = kernel(ZERO[dtype])
    pairs = words(n + 1, 7).astype(np.float64).reshape(-1, 2)
    radius, angle = np.sqrt(-2 * np.log((pairs[:, 0] + 1) / 2**32)), 2 * np.pi * pairs[:, 1] / 2**32
    exact = 2 + 0.5 * np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).ravel()[:n]
    np.testing.assert_allclose(
        result.astype(np.float64), exact, rtol=np.finfo(dtype).eps, atol=np.finfo(dtype).eps
    )


def test_normal_is_normal(emulator):
    stats = pytest.importorskip("scipy.stats")
    result = draw(emulator, "random_normal", (20000,), np.float32, seed=11)(ZERO[np.float32])
    assert stats.kstest(result, "norm").pvalue > 1e-3  # Of this seed; another run draws the same.


@pytest.mark.parametrize("prob", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_bernoulli(emulator, prob, dtype):
    kernel = draw(emulator, "random_bernoulli", (1001,), dtype, seed=5, prob=dtype(prob))
    np.testing.assert_array_equal(kernel(ZERO[dtype]), units(1001, 5) < prob)


@pytest.mark.parametrize("mode", ["logits", "probs"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_categorical(evaluate, rng, mode, dtype):
    x = rng.normal(size=(3, 2, 9)).astype(dtype)
    if mode == "probs":
        x = np.abs(x)
    result = evaluate(
        "random_categorical", {"x": x}, (3, 2, 50), dtype, mode=mode, size=50, seed=13
    )
    wide = x.astype(np.float64)
    weights = np.exp(wide - wide.max(-1, keepdims=True)) if mode == "logits" else wide
    sums = np.cumsum(weights, -1)
    wanted = units(300, 13).reshape(3, 2, 50) * sums[..., -1:]
    expected = (sums[..., None, :] <= wanted[..., None]).sum(-1)
    np.testing.assert_array_equal(result, expected)


def test_impossible_categories_are_not_drawn(evaluate):
    x = np.array([[-np.inf, 0, -np.inf, 0]], np.float16)
    result = evaluate("random_categorical", {"x": x}, (1, 200), x.dtype, size=200, seed=2)
    assert set(np.unique(result)) == {1, 3}


@pytest.mark.usefixtures("one_thread_after")
def test_the_same_on_any_number_of_threads(emulator):
    kernel = draw(emulator, "random_normal", (300, 401), np.float16, seed=9, mean=np.float16(0))
    results = []
    for n in (1, 3):
        pyane.set_num_threads(n)
        results.append(kernel(ZERO[np.float16]))
    np.testing.assert_array_equal(*results)


def test_seeded_numbers_repeat_and_others_do_not(emulator):
    seeded = draw(emulator, "random_uniform", (64,), np.float32, seed=1)
    np.testing.assert_array_equal(seeded(ZERO[np.float32]), seeded(ZERO[np.float32]))
    for open_seed in ({}, {"seed": -1}):
        free = draw(emulator, "random_uniform", (64,), np.float32, **open_seed)
        assert (free(ZERO[np.float32]) != free(ZERO[np.float32])).any()


@pytest.mark.parametrize(
    ("op", "attributes", "message"),
    [
        ("random_uniform", {"low": np.float32(2), "high": np.float32(1)}, "must not be above high"),
        ("random_normal", {"stddev": np.float32(-1)}, "stddev must be at least 0"),
        ("random_bernoulli", {"prob": np.float32(1.5)}, r"prob must lie in \[0, 1\]"),
    ],
)
def test_impossible_distributions_are_refused(emulator, op, attributes, message):
    with pytest.raises(pyane.MilVerifyError, match=message):
        draw(emulator, op, (2,), np.float32, **attributes)
