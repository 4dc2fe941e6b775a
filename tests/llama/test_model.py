"""The whole model against PyTorch's goldens, and its edges."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

import backend
import llama_golden as golden
import pyane
import reference_llama as ref
from pyane._core import train as cpu
from pyane.errors import EvaluateError, ShapeError
from pyane.llama import Config, Model, Parameters, create_model

# fp16 roundings that a number meets on its way through one layer.
#   forward: norm 3, q/k/v 1, RoPE 2, scores 1, mask 1, softmax 1, attn 1, Wo 1, residual 1,
#            norm 3, h1 1, silu 1, gate 1, W2 1, residual 1
#   backward: stream 1, W2^T 1, gate 2, dh1 1, W1^T 1, sum 1, stream 1, Wo^T 1, dprobs 1, p dp 1,
#            sum 1, difference 1, dscores 1, dquery 1, RoPE 2, Wq^T 1, sums 2
#   (QK-norm: 3 and 1 more, which these bounds do without.)
FORWARD_ROUNDINGS = 20
BACKWARD_ROUNDINGS = 20
# Each is a relative error of at most 2^-11; as independent errors they add up to sqrt(n) of it. A
# layer's output depends on its input no more than twice as strongly as by one to one.
U = 2.0**-11


def rounding_error(n_roundings: int) -> float:
    """Relative to the norm of the result."""
    return 2 * U * math.sqrt(n_roundings)


def norm_error(actual: np.ndarray, expected: np.ndarray) -> float:
    difference = np.linalg.norm(actual.astype(np.float64) - expected)
    return float(difference / np.linalg.norm(expected))


def make_model(case: golden.Golden, **options: int) -> Model:
    parameters = Parameters(case.config)
    for name, value in case.weights.items():
        parameters[name][...] = value
    options.setdefault("batch", case.targets.shape[1])
    return Model(case.config, parameters, backend.device(), **options)


@pytest.fixture(params=golden.NAMES)
def case(request: pytest.FixtureRequest) -> golden.Golden:
    return golden.load(request.param)


def test_logits(case: golden.Golden) -> None:
    with make_model(case) as model:
        logits = model.logits(case.tokens[0, :, :-1])
        allowed = rounding_error(FORWARD_ROUNDINGS * case.config.n_layers)
        assert norm_error(logits, case.logits) < allowed
        last = model.next_token_logits(case.tokens[0, 0, :-1])
        # One position or all: the same sums, perhaps in another order.
        np.testing.assert_allclose(last, logits[0, -1], rtol=1e-4, atol=1e-5)


def test_loss_and_every_gradient(case: golden.Golden) -> None:
    tokens, targets = case.tokens[0, :, :-1], case.targets[0]
    with make_model(case) as model:
        loss = model.loss_and_gradients(tokens, targets)
        assert not model.overflowed
        assert loss == model.loss(tokens, targets)
        # d loss = (p - hot) . d logits: a difference of two logits at most, averaged.
        forward = rounding_error(FORWARD_ROUNDINGS * case.config.n_layers)
        assert abs(loss - case.loss) < forward * np.sqrt(2 * np.mean(case.logits**2))
        n_roundings = (FORWARD_ROUNDINGS + BACKWARD_ROUNDINGS) * case.config.n_layers
        for name, gradient in model.gradients.items():
            error = norm_error(gradient, case.gradients[name])
            assert error < rounding_error(n_roundings), name


def test_ten_adam_steps(case: golden.Golden) -> None:
    with make_model(case) as model:
        m, v = model.parameters.zeros_like(), model.parameters.zeros_like()
        losses = []
        for step, (tokens, targets) in enumerate(zip(case.tokens, case.targets, strict=True)):
            model.zero_gradients()
            losses.append(model.loss_and_gradients(tokens[:, :-1], targets))
            buffers = (model.parameters.flat, model.gradients.flat, m.flat, v.flat)
            cpu.adam_update(*buffers, step=step + 1, **case.adam)
            model.upload_weights()
    logit_size = np.sqrt(np.mean(case.logits**2))
    # As the loss above; and Adam moves a weight by the learning rate whatever its gradient's size, so
    # the relative error of the gradients goes into the fall of the loss in full.
    forward = rounding_error(FORWARD_ROUNDINGS * case.config.n_layers) * np.sqrt(2) * logit_size
    fall = abs(case.adam_losses[0] - case.adam_losses)
    n_roundings = (FORWARD_ROUNDINGS + BACKWARD_ROUNDINGS) * case.config.n_layers
    assert (np.abs(losses - case.adam_losses) < forward + rounding_error(n_roundings) * fall).all()


def test_gradients_add_up_and_the_loss_scale_cancels() -> None:
    case = golden.load("gqa_tied")
    tokens, targets = case.tokens[0, :, :-1], case.targets[0]
    with make_model(case) as model:
        model.loss_and_gradients(tokens, targets, loss_scale=512.0)
        once = model.gradients.flat.copy()
        model.loss_and_gradients(tokens, targets, loss_scale=512.0)
        # Sums in fp32: g + g is exact, but for parts that were added one by one.
        assert norm_error(model.gradients.flat, 2 * once.astype(np.float64)) < 1e-6
        model.zero_gradients()
        assert not model.gradients.flat.any()
        model.loss_and_gradients(tokens, targets, loss_scale=1024.0)
        # A power of two changes nothing but which numbers are subnormal.
        assert norm_error(model.gradients.flat, once.astype(np.float64)) < U


def test_one_result_whatever_the_order() -> None:
    """The same call gives the same bits, in another model too."""
    case = golden.load("gqa_untied")
    results = []
    for _ in range(2):
        with make_model(case) as model:
            loss = model.loss_and_gradients(case.tokens[0, :, :-1], case.targets[0])
            results.append((loss, model.gradients.flat.tobytes()))
    assert results[0] == results[1]


def test_short_batches_are_filled_up_without_effect() -> None:
    case = golden.load("gqa_untied")
    tokens, targets = case.tokens[0, :2, :13], case.targets[0, :2, :13]
    weights = {name: value.astype(np.float64) for name, value in case.weights.items()}
    loss, gradients = ref.Llama(case.config, weights).loss_and_gradients(tokens, targets)
    with make_model(case) as model:
        actual = model.loss_and_gradients(tokens, targets)
        assert abs(actual - loss) < 0.01
        n_roundings = (FORWARD_ROUNDINGS + BACKWARD_ROUNDINGS) * case.config.n_layers
        for name, gradient in model.gradients.items():
            assert norm_error(gradient, gradients[name]) < rounding_error(n_roundings), name
        unseen = np.setdiff1d(np.arange(case.config.vocab_size), tokens)
        assert not model.gradients["token_embedding_table"][unseen].any()


def test_ignored_targets_only() -> None:
    case = golden.load("gqa_untied")
    tokens = case.tokens[0, :, :-1]
    with make_model(case) as model:
        assert model.loss(tokens, np.full(tokens.shape, -1)) == 0.0
        assert model.loss_and_gradients(tokens, np.full(tokens.shape, -1)) == 0.0
        assert not model.gradients.flat.any()
        assert not model.overflowed


def test_batch_does_not_matter() -> None:
    """Each sequence by itself gives the logits it has among others."""
    case = golden.load("gqa_untied")
    tokens = case.tokens[0, :, :-1]
    with make_model(case) as model, make_model(case, batch=1) as single:
        np.testing.assert_array_equal(
            model.logits(tokens), np.concatenate([single.logits(row[None]) for row in tokens])
        )
        losses = [
            single.loss(row[None], targets[None])
            for row, targets in zip(tokens, case.targets[0], strict=True)
        ]
        counts = (case.targets[0] >= 0).sum(axis=1)
        together = float((np.array(losses) * counts).sum() / counts.sum())
        assert model.loss(tokens, case.targets[0]) == pytest.approx(together, rel=1e-5)


def test_every_length_and_its_bucket() -> None:
    config = Config(
        dim=8, hidden_dim=12, n_layers=2, n_heads=2, n_kv_heads=1, vocab_size=9, seq_len=70
    )
    parameters = Parameters(config).init(np.random.default_rng(1))
    tokens = np.random.default_rng(2).integers(0, 9, 70)
    with Model(config, parameters, backend.device(), seq_len=5) as model:
        longest = model.logits(tokens[None])[0]
        for n in (1, 2, 31, 32, 33, 64, 65, 70):
            # Other lengths of sums round elsewhere; the last layers' numbers are near one.
            np.testing.assert_allclose(
                model.next_token_logits(tokens[:n]), longest[n - 1], atol=rounding_error(40)
            )


def test_overflow_is_reported_and_the_next_call_is_clean() -> None:
    case = golden.load("gqa_tied")
    tokens, targets = case.tokens[0, :, :-1], case.targets[0]
    with make_model(case) as model:
        loss = model.loss_and_gradients(tokens, targets)
        expected = model.gradients.flat.copy()
        model.zero_gradients()
        assert model.loss_and_gradients(tokens, targets, loss_scale=2.0**40) == loss
        assert model.overflowed
        model.zero_gradients()
        model.loss_and_gradients(tokens, targets)
        assert not model.overflowed
        assert np.array_equal(model.gradients.flat, expected)


def test_weights_beyond_fp16_make_a_nan_loss() -> None:
    case = golden.load("gqa_tied")
    with make_model(case) as model:
        model.parameters["w2"][0, 0, 0] = 1e6
        model.upload_weights()
        assert not math.isfinite(model.loss(case.tokens[0, :, :-1], case.targets[0]))
        model.loss_and_gradients(case.tokens[0, :, :-1], case.targets[0])
        assert model.overflowed


def test_weights_are_those_uploaded_last() -> None:
    case = golden.load("gqa_tied")
    with make_model(case) as model:
        tokens = case.tokens[0, :, :-1]
        before = model.logits(tokens)
        model.parameters["wq"][...] *= 0.5
        np.testing.assert_array_equal(model.logits(tokens), before)
        model.upload_weights()
        assert (model.logits(tokens) != before).any()


CONFIG = Config(dim=8, hidden_dim=12, n_layers=1, n_heads=2, n_kv_heads=1, vocab_size=9, seq_len=6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"seq_len": 7}, "seq_len must be between 1 and 6, got 7"),
        ({"seq_len": 0}, "seq_len must be between 1 and 6, got 0"),
    ],
)
def test_model_refuses_sizes(options: dict[str, int], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Model(CONFIG, Parameters(CONFIG), backend.device(), **options)


def test_model_refuses_parameters_of_another() -> None:
    other = dataclasses.replace(CONFIG, hidden_dim=16)
    with pytest.raises(ShapeError, match=r"hidden_dim=12.* got those of .*hidden_dim=16"):
        Model(CONFIG, Parameters(other), backend.device())


@pytest.mark.parametrize(
    ("tokens", "targets", "message"),
    [
        ([[1, 9]], [[1, 1]], r"tokens must be in \[0, 9\), got 9 at \[0, 1\]"),
        ([[-1, 2]], [[1, 1]], r"tokens must be in \[0, 9\), got -1 at \[0, 0\]"),
        ([[1, 2]], [[1, 9]], r"targets must be below 9, got 9 at \[0, 1\]"),
        ([1, 2], [1, 2], r"tokens must be a non-empty integer array \[B, S\], got int64 \(2,\)"),
        ([[1.0]], [[1]], r"tokens must be a non-empty integer array .* got float64 \(1, 1\)"),
        ([[]], [[]], r"tokens must be a non-empty integer array"),
        ([[1, 2]], [[1]], r"targets must have the shape of tokens, \(1, 2\), got \(1, 1\)"),
        ([[1] * 7], [[1] * 7], "tokens may have up to 6 positions, got 7"),
        ([[1], [1], [1]], [[1], [1], [1]], "tokens may have up to batch = 2 rows, got 3"),
    ],
)
def test_loss_refuses(tokens: list, targets: list, message: str) -> None:
    model = Model(CONFIG, Parameters(CONFIG), backend.device(), batch=2)
    for call in (model.loss, model.loss_and_gradients):
        with pytest.raises(ShapeError, match=f"{call.__name__}: {message}"):
            call(np.array(tokens), np.array(targets))


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, math.nan])
def test_loss_scale_must_be_a_scale(scale: float) -> None:
    model = Model(CONFIG, Parameters(CONFIG), backend.device())
    with pytest.raises(ShapeError, match=f"loss_scale must be positive and finite, got {scale}"):
        model.loss_and_gradients([[1]], [[2]], loss_scale=scale)


def test_unsigned_tokens_as_token_files_have_them() -> None:
    with Model(CONFIG, Parameters(CONFIG), backend.device()) as model:
        tokens = np.array([[1, 2, 3]], np.uint16)
        assert model.loss(tokens, tokens) == pytest.approx(math.log(9), rel=1e-6)


def test_closed_model_says_so() -> None:
    model = Model(CONFIG, Parameters(CONFIG), backend.device())
    model.logits([[1]])
    model.close()
    model.close()
    with pytest.raises(EvaluateError):
        model.logits([[1]])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weights_as": "packed", "taps": "concat"},
        {"weights_as": "packed"},
        {"taps": "concat"},
        {"pipeline": "static", "taps": "concat"},
        {"cls": "ane", "rmsnorm_backward": "ane"},
    ],
    ids=lambda options: "-".join(options.values()) or "plain",
)
def test_surfaces_of_a_request_have_one_size(
    options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the engine wants; tensors of many sizes, all above the smallest surface."""
    config = Config(
        dim=192, hidden_dim=600, n_layers=1, n_heads=4, n_kv_heads=2, vocab_size=999, seq_len=150
    )
    bind = pyane.Kernel.bind
    n_requests = 0

    def record(self: pyane.Kernel, inputs: dict, outputs: dict) -> pyane.Request:
        nonlocal n_requests
        n_requests += 1
        sizes = {surface.n_bytes for surface in (*inputs.values(), *outputs.values())}
        assert len(sizes) == 1, (self, sizes)
        assert min(sizes) >= self.surface_bytes > 49152
        return bind(self, inputs, outputs)

    monkeypatch.setattr(pyane.Kernel, "bind", record)
    parameters = Parameters(config).init(np.random.default_rng(0))
    tokens = np.ones((1, 140), int)
    with create_model(
        config, parameters, device=backend.device(), batch=1, seq_len=140, **options
    ) as model:
        model.loss_and_gradients(tokens, tokens)
        model.next_token_logits(np.ones(150, int))
    assert n_requests >= 9
