"""Sums of products in hardware arithmetic: published vectors, and an independent reference."""

from __future__ import annotations

import numpy as np
import pytest

import pyane
import reference_accumulator as reference

pytestmark = pytest.mark.emulator

# Published vectors: ane-guide ch. 1, 3 and 20, taken on M1 Max by products with ones.
SURVIVORS = {
    1024: 16, 3000: 16, 4000: 16, 4090: 16, 4096: 4, 8000: 4, 16000: 4, 30000: 4
}  # fmt: skip
PUBLISHED = [
    pytest.param([4096] + [1] * 1024, 5116, id="V-01"),
    *[pytest.param([b, -b, 1] * 16, n, id=f"V-02-{b}") for b, n in SURVIVORS.items()],
    *[pytest.param([b, 1, -b] * 16, n, id=f"V-03-{b}") for b, n in SURVIVORS.items()],
    pytest.param([1] * 16000, 16000, id="V-04"),
    pytest.param([8192] + [1] * 16, 8208, id="V-05"),
    pytest.param([16000, -16000, 1], 1, id="V-06"),
    pytest.param([1] * 2049, 2048, id="V-07"),
    pytest.param([32752], 32752, id="ceiling-below"),
    pytest.param([32768], np.inf, id="ceiling-reached"),
    pytest.param([16384, 16384], np.inf, id="ceiling-two-terms"),
    pytest.param([30000, 30000, -30000], np.inf, id="ceiling-inside-a-group"),
    pytest.param([30000, 0, 0, 0, 30000, 0, 0, 0, -30000], np.inf, id="ceiling-between-groups"),
    pytest.param([-30000, -30000, 30000], -np.inf, id="ceiling-negative"),
    pytest.param([2.0**-24, 2.0**-24], 0, id="subnormals-flushed"),
]
# Nobody has measured these. They follow from the model, and would tell it from others.
PREDICTED = [
    pytest.param([1, 1, 1, 4096] + [1] * 1021, 5120, id="V-20"),
    pytest.param([4096, -1, -4096] * 16, -4, id="V-22"),
    pytest.param([4096, 3, -4096] * 16, 36, id="V-23"),
]


def sum_of(evaluate, device, vector):
    x = np.array([vector], np.float16)
    ones = np.ones((x.shape[1], 1), np.float16)
    return evaluate(device, "matmul", {"x": x, "y": ones}, (1, 1))[0, 0]


@pytest.mark.parametrize(("vector", "expected"), [*PUBLISHED, *PREDICTED])
def test_vectors(vector, expected, evaluate, m1):
    assert sum_of(evaluate, m1, vector) == expected


@pytest.mark.parametrize(("vector", "expected"), PUBLISHED[:19])
@pytest.mark.parametrize("alignment", ["floor", "nearest-even"])
def test_published_vectors_do_not_tell_how_bits_are_dropped(vector, expected, alignment, evaluate):
    device = pyane.device(chip="m1", numerics=pyane.HardwareNumerics(alignment=alignment))
    assert sum_of(evaluate, device, vector) == expected


@pytest.mark.parametrize(
    ("alignment", "vector", "expected"),
    [("floor", [4096, -1, -4096] * 16, -28), ("nearest-even", [4096, 3, -4096] * 16, 60)],
)
def test_predictions_of_the_alternatives(alignment, vector, expected, evaluate):
    device = pyane.device(chip="m1", numerics=pyane.HardwareNumerics(alignment=alignment))
    assert sum_of(evaluate, device, vector) == expected


@pytest.mark.parametrize(
    ("alignment", "expected"), [("truncate", 20), ("floor", 12), ("nearest-even", 12)]
)
def test_predictions_of_4095(alignment, expected, evaluate):
    """V-21, [4095, 1, -4095] x 16. 4095 is no fp16 number, but a product of two: 65 * 63."""
    x = np.array([[65, 1, 65] * 16], np.float16)
    w = np.array([[63, 1, -63] * 16], np.float16).T
    device = pyane.device(chip="m1", numerics=pyane.HardwareNumerics(alignment=alignment))
    assert evaluate(device, "matmul", {"x": x, "y": w}, (1, 1))[0, 0] == expected


@pytest.mark.parametrize(("chip", "expected"), [("m1", 2048), ("m2", 2048), ("m5", 2050)])
def test_tie_of_2049(chip, expected, evaluate):
    assert sum_of(evaluate, pyane.device(chip=chip, numerics="hardware"), [1] * 2049) == expected


def test_ieee_arithmetic_is_exact_where_the_engine_is_not(evaluate):
    assert sum_of(evaluate, pyane.device("emulator"), [4096] + [1] * 1024) == 5120


@pytest.mark.parametrize(("chip", "expected"), [("m1", 0), ("m5", 2.0**-23)])
def test_subnormals_in_a_product(chip, expected, evaluate):
    device = pyane.device(chip=chip, numerics="hardware")
    assert sum_of(evaluate, device, [2.0**-24, 2.0**-24]) == expected


def test_subnormals_survive_elementwise(evaluate, m1):
    x = np.array([2.0**-24, -(2.0**-24)], np.float16)
    zero, one = np.zeros_like(x), np.ones_like(x)
    np.testing.assert_array_equal(evaluate(m1, "add", {"x": x, "y": zero}, (2,)), x)
    np.testing.assert_array_equal(evaluate(m1, "mul", {"x": x, "y": one}, (2,)), x)


def test_what_the_ceiling_does_not_bind(evaluate, m1):
    """reduce_sum, mul, and a 1x1 convolution of one input channel (ane-guide ch. 3)."""
    x = np.array([[30000, 30000]], np.float16)
    total = evaluate(m1, "reduce_sum", {"x": x}, (1, 1), axes=[1], keep_dims=True)
    assert total[0, 0] == 60000
    double = evaluate(m1, "mul", {"x": x, "y": np.full_like(x, 2)}, (1, 2))
    np.testing.assert_array_equal(double, [[60000, 60000]])
    image = np.full((1, 1, 1, 1), 60000, np.float16)
    weight = np.ones((1, 1, 1, 1), np.float16)
    assert evaluate(m1, "conv", {"x": image}, image.shape, weight=weight)[0, 0, 0, 0] == 60000
    image = np.full((1, 2, 1, 1), 16384, np.float16)
    weight = np.ones((1, 2, 1, 1), np.float16)
    assert evaluate(m1, "conv", {"x": image}, (1, 1, 1, 1), weight=weight)[0, 0, 0, 0] == np.inf


def test_reduce_sum_and_product_with_ones_give_the_same_bits(evaluate, m1, rng):
    x = (rng.normal(size=(50, 67)) * 30).astype(np.float16)
    product = evaluate(m1, "matmul", {"x": x, "y": np.ones((67, 1), np.float16)}, (50, 1))
    total = evaluate(m1, "reduce_sum", {"x": x}, (50, 1), axes=[1], keep_dims=True)
    np.testing.assert_array_equal(total, product)


# Shapes: one, primes, either side of groups of 4, of 16 columns and of 64 rows.
SHAPES = [
    (1, 1, 1),
    (1, 3, 1),
    (2, 5, 3),
    (5, 4, 17),
    (17, 7, 16),
    (65, 13, 5),
    (3, 64, 130),
    (130, 33, 3),
    (2, 4099, 18),
]
CHIPS = {
    "m1": {"ceiling": 32768.0, "flushes": True},
    "m3": {"ceiling": 32768.0, "ties_away": True},
    "m4": {"accumulator": "q15.16", "ceiling": 32768.0, "ties_away": True},
}


def operands(rng, m, k, n, scale=1.0):
    """Of very different magnitudes, some of them zero, so that alignment drops bits."""
    x = rng.normal(size=(m, k)) * 2.0 ** rng.integers(-9, 6, (m, k)) * scale
    w = rng.normal(size=(k, n)) * 2.0 ** rng.integers(-9, 3, (k, n))
    x[rng.random(x.shape) < 0.1] = 0
    return x.astype(np.float16), w.astype(np.float16)


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
def test_matmul(m, k, n, chip, evaluate, rng):
    x, w = operands(rng, m, k, n)
    device = pyane.device(chip=chip, numerics="hardware")
    result = evaluate(device, "matmul", {"x": x, "y": w}, (m, n))
    np.testing.assert_array_equal(result, reference.product(x, w, **CHIPS[chip]))


@pytest.mark.parametrize("chip", CHIPS)
def test_matmul_beyond_the_ceiling(chip, evaluate, rng):
    x, w = operands(rng, 30, 21, 40, scale=600.0)
    device = pyane.device(chip=chip, numerics="hardware")
    result = evaluate(device, "matmul", {"x": x, "y": w}, (30, 40))
    expected = reference.product(x, w, **CHIPS[chip])
    assert 0.02 < np.isinf(expected).mean() < 0.98  # else the test says nothing
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("chip", CHIPS)
def test_matmul_of_infinities(chip, evaluate, rng):
    x, w = operands(rng, 20, 9, 21)
    x[3, 4] = np.inf
    x[5, 1], x[5, 7] = -np.inf, np.inf
    w[8, 2] = -np.inf
    w[4, 11] = 0
    x[9, 8] = 0
    device = pyane.device(chip=chip, numerics="hardware")
    result = evaluate(device, "matmul", {"x": x, "y": w}, (20, 21))
    expected = reference.product(x, w, **CHIPS[chip])
    assert np.isfinite(expected[3, 11])  # inf * 0 is 0
    assert np.isfinite(expected[9, 2])
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    "options",
    [
        {"alignment": "floor"},
        {"alignment": "nearest-even"},
        {"accumulator_bits": 14},
        {"accumulator_bits": 16, "rounds_products": True},
        {"accumulator": "exact"},
        {"accumulator": "q15.16"},
        {"rounds_products": True},
    ],
    ids=str,
)
def test_other_choices(options, evaluate, rng):
    x, w = operands(rng, 9, 203, 18)
    device = pyane.device(chip="m1", numerics=pyane.HardwareNumerics(**options))
    result = evaluate(device, "matmul", {"x": x, "y": w}, (9, 18))
    expected = reference.product(x, w, **CHIPS["m1"], **options)
    assert (expected != reference.product(x, w, **CHIPS["m1"])).any()
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("bias_dtype", ["float16", "float32"])
def test_linear_with_bias(chip, bias_dtype, evaluate, rng):
    x, w = operands(rng, 7, 29, 19)
    bias = rng.normal(size=19).astype(bias_dtype)
    device = pyane.device(chip=chip, numerics="hardware")
    attributes = {"weight": np.ascontiguousarray(w.T), "bias": bias.astype(np.float16)}
    result = evaluate(device, "linear", {"x": x}, (7, 19), **attributes)
    expected = reference.product(x, w, bias=attributes["bias"].astype(np.float64), **CHIPS[chip])
    np.testing.assert_array_equal(result, expected)


def patches(x, kernel, stride, pad):
    """[N, C, H, W] -> [N * O, C * kh * kw], the order of terms that docs/numerics.md gives."""
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]
    n, _, h, w = windows.shape[:4]
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(n * h * w, -1), (n, h, w)


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize(
    ("channels", "filters", "size", "kernel", "stride", "pad"),
    [(3, 5, 7, 3, 1, 1), (1, 17, 5, 2, 2, 0), (16, 2, 4, 1, 1, 0), (5, 3, 9, 3, 2, 1)],
)
def test_conv(channels, filters, size, kernel, stride, pad, chip, evaluate, rng):
    x, _ = operands(rng, 2 * channels, size * size, 1)
    x = x.reshape(2, channels, size, size)
    weight, _ = operands(rng, filters, channels * kernel * kernel, 1)
    matrix, (n, h, w) = patches(x, (kernel, kernel), stride, pad)
    expected = reference.product(matrix, weight.T, **CHIPS[chip])
    expected = expected.reshape(n, h, w, filters).transpose(0, 3, 1, 2)
    result = evaluate(
        pyane.device(chip=chip, numerics="hardware"),
        "conv",
        {"x": x},
        expected.shape,
        weight=weight.reshape(filters, channels, kernel, kernel),
        strides=[stride, stride],
        pad_type="custom",
        pad=[pad] * 4,
    )
    np.testing.assert_array_equal(result, expected)


def test_rows_do_not_depend_on_the_batch(evaluate, m1, rng):
    """ane-guide ch. 3: a row's bits are the same in any batch and at any place in it."""
    x, w = operands(rng, 130, 67, 33)
    whole = evaluate(m1, "matmul", {"x": x, "y": w}, (130, 33))
    for i in (0, 63, 64, 129):
        row = evaluate(m1, "matmul", {"x": x[i : i + 1], "y": w}, (1, 33))
        np.testing.assert_array_equal(row[0], whole[i])


@pytest.mark.usefixtures("one_thread_after")
def test_same_bits_for_any_number_of_threads(evaluate, m1, rng):
    x, w = operands(rng, 150, 90, 70)
    results = []
    for threads in (1, 2, 3):
        pyane.set_num_threads(threads)
        results.append(evaluate(m1, "matmul", {"x": x, "y": w}, (150, 70)))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_fp32_buys_no_precision(evaluate, m1, rng):
    """fp32 tensors hold fp16 numbers (ane-guide ch. 3)."""
    x, w = rng.normal(size=(5, 9)).astype(np.float32), rng.normal(size=(9, 3)).astype(np.float32)
    result = evaluate(m1, "matmul", {"x": x, "y": w}, (5, 3), "float32")
    halfs = [a.astype(np.float16) for a in (x, w)]
    np.testing.assert_array_equal(result, reference.product(*halfs, **CHIPS["m1"]))


@pytest.mark.parametrize("k", [2048, 8192])
def test_error_of_long_sums(k, rng, evaluate):
    """The model's own error (V-24, a prediction), far below the published one of large products;
    a register of 14 bits comes near that (docs/numerics.md)."""
    x, w = (rng.normal(size=s).astype(np.float16) for s in ((64, k), (k, 4)))
    exact = x.astype(np.float64) @ w.astype(np.float64)

    def error(numerics):
        device = pyane.device(chip="m5", numerics=numerics)
        result = evaluate(device, "matmul", {"x": x, "y": w}, (64, 4)).astype(np.float64)
        return np.linalg.norm(result - exact) / np.linalg.norm(exact)

    assert error("hardware") < 1e-3
    assert 0.5e-2 < error(pyane.HardwareNumerics(accumulator_bits=14)) < 7e-2
