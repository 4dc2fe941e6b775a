"""A right result passes and a wrong one does not: what keeps benchmarks from timing nonsense."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import pyane
from pyane.bench.check import chain_bound, check_norm, check_products, published_error
from pyane.bench.host import device_facts
from pyane.bench.measure import Bench, WrongResult
from pyane.bench.peak import CONFIGURATIONS
from pyane.bench.programs import (
    Chain,
    _cosines,
    conv_chain,
    random_matrix,
    random_product,
    weight_files,
)
from pyane.bench.settings import Settings
from pyane.errors import BlobWarning


@pytest.fixture
def bench() -> Bench:
    device = pyane.device("emulator")
    return Bench(device, device_facts(device), Settings(quick=True, seconds=0, min_runs=1))


@pytest.mark.parametrize("rows", [1, 3, 64])
@pytest.mark.parametrize("columns", [1, 2, 17, 512, 4096])
def test_random_matrix_is_dense_and_of_the_size_it_says(rows: int, columns: int) -> None:
    matrix = random_matrix(np.random.default_rng(0), rows, columns)
    assert matrix.shape == (rows, columns)
    assert matrix.dtype == np.float16
    magnitude = np.abs(matrix.astype(np.float64)) * np.sqrt(columns)
    assert magnitude.min() >= 0.25
    assert magnitude.max() <= 1.0
    if matrix.size > 50:
        assert (matrix < 0).any()
        assert (matrix > 0).any()


@pytest.mark.parametrize(("channels", "spatial", "depth"), [(1, 1, 2), (13, 5, 3), (64, 32, 8)])
def test_chain(bench: Bench, channels: int, spatial: int, depth: int) -> None:
    chain = conv_chain(bench, "a", channels, spatial, depth)
    assert chain.flops == 2 * depth * channels**2 * spatial
    assert chain.weight_bytes == 2 * depth * channels**2
    identity = np.eye(channels)
    for matrix in chain.matrices:
        wide = matrix.astype(np.float64)
        assert np.abs(wide @ wide.T - identity).max() < 2.0**-9
        assert np.linalg.norm(wide, 2) <= chain.norm
    if channels > 2:
        for one, other in itertools.combinations(chain.matrices, 2):
            assert not np.array_equal(one, other)
    with bench.compile(chain.program, chain.weights) as kernel:
        chain.check(kernel, "ieee")
        chain.check(kernel, "hardware")


def test_one_wrong_element_of_a_deep_chain(bench: Bench) -> None:
    chain = conv_chain(bench, "a", 192, 3, 128)
    with bench.compile(chain.program, chain.weights) as kernel:
        chain.check(kernel, "ieee")
        honest = kernel.evaluate

        def evaluate() -> None:
            honest()
            kernel.outputs["y"][0, 77, 0, 2] += np.float16(0.25)

        kernel.evaluate = evaluate  # type: ignore[method-assign]
        with pytest.raises(WrongResult, match=r"y\[77, 2\] should be .* 1 of 576 sampled"):
            chain.check(kernel, "ieee")


@pytest.mark.parametrize("fault", ["order", "a layer less", "transposed", "zeros", "shifted"])
@pytest.mark.parametrize("numerics", ["ieee", "hardware"])
def test_chain_that_computes_something_else(bench: Bench, fault: str, numerics: str) -> None:
    chain = conv_chain(bench, "a", 64, 16, 128)
    matrices = list(chain.matrices)
    if fault == "order":
        matrices[3], matrices[4] = matrices[4], matrices[3]
    elif fault == "a layer less":
        del matrices[70]
    elif fault == "transposed":
        matrices[127] = matrices[127].T
    elif fault == "zeros":
        matrices[0] = np.zeros_like(matrices[0])
    else:
        matrices[9] = np.roll(matrices[9], 1, axis=0)
    other = Chain(chain.program, chain.weights, matrices, chain.x, chain.norm)
    with (
        bench.compile(chain.program, chain.weights) as kernel,
        pytest.raises(WrongResult, match="y: relative error must be at most"),
    ):
        other.check(kernel, numerics)


def test_bound_of_a_chain_is_below_what_a_wrong_one_gives() -> None:
    # Orthogonal matrices in a wrong order give a relative error near sqrt(2).
    for depth, channels, _ in CONFIGURATIONS:
        _, norm = _cosines(channels)
        assert chain_bound(channels, depth, norm, "ieee") < 0.05
        assert chain_bound(channels, depth, norm, "hardware") < 0.2


def test_published_error_is_three_times_what_was_published() -> None:
    assert published_error(2048) == pytest.approx(3 * 1.2e-2 + 2**-9)
    assert published_error(8192) == pytest.approx(3 * 6.2e-2, rel=0.05)


def test_one_wrong_value_is_found_and_told() -> None:
    exact = np.array([[1.0, 2.0], [3.0, 4.0]])
    got = exact.astype(np.float16)
    check_products(got, exact, exact, 4, "ieee")
    got[1, 0] = 3.01
    with pytest.raises(WrongResult, match=r"y\[1, 0\] should be 3, got 3\.00977.*1 of 4 sampled"):
        check_products(got, exact, exact, 4, "ieee", "y")
    got[...] = 0
    with pytest.raises(WrongResult, match=r"every value is zero"):
        check_products(got, exact, exact, 4, "ieee")
    with pytest.raises(WrongResult, match=r"should be 1, got nan"):
        check_products(np.full((2, 2), np.nan), exact, exact, 4, "hardware")


def test_zeros_do_not_pass_for_zeros() -> None:
    with pytest.raises(WrongResult, match="every value is zero"):
        check_norm(np.zeros(4), np.ones(4), 0.5)


def test_product(bench: Bench) -> None:
    product = random_product(bench, "p", 33, 70, 19)
    exact = product.w.astype(np.float64) @ product.x[0, :, 0].astype(np.float64)
    product.check(exact.astype(np.float16), "ieee")
    assert product.flops == 2 * 33 * 70 * 19
    wrong = exact.astype(np.float16)
    wrong[:, 18] = wrong[:, 17]
    with pytest.raises(WrongResult, match=r"y\["):
        product.check(wrong, "ieee")
    with pytest.raises(WrongResult, match="relative error"):
        product.check(np.roll(exact, 1, 0), "engine")


def test_numbers_follow_from_name_and_seed(bench: Bench) -> None:
    one, again = (conv_chain(bench, "n", 8, 4, 2) for _ in range(2))
    assert np.array_equal(one.x, again.x)
    assert all(map(np.array_equal, one.matrices, again.matrices))
    assert not np.array_equal(one.x, conv_chain(bench, "m", 8, 4, 2).x)


def test_hand_made_records_are_wrong_in_size_and_offset(bench: Bench) -> None:
    chain = conv_chain(bench, "a", 16, 4, 2)
    files = weight_files(chain.program, "hand-made")
    (data,) = files.values()
    (official,) = chain.weights.values()
    assert len(data) == len(official)
    record = bytes(data[64:128])
    assert record == bytes.fromhex("efbeadde 01000000 0000 08 00") + bytes(52)
    assert bytes(data[128 : 128 + 512]) == chain.matrices[0].tobytes()
    with pytest.warns(BlobWarning) as warned:
        pyane.device("emulator").compile(chain.program, files)
    told = " ".join(str(warning.message) for warning in warned)
    assert "size must be 512 bytes for fp16 [16, 16, 1, 1], got 524288" in told
    assert "data offset must be 128, got 0" in told
    # Read leniently they compute the same, and nothing is warned of what is wrong on purpose.
    with bench.compile(chain.program, files) as kernel:
        chain.check(kernel, "ieee")
