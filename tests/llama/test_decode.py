"""The decode kernel against the fp64 reference, and the decoder against the whole model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backend
import llama_golden as golden
import pyane
import reference_llama as ref
import rounding
from pyane._core import base
from pyane.errors import ShapeError
from pyane.llama import Config, Decoder, Model, Parameters, checkpoint
from pyane.llama.kernels import building_blocks, decode
from pyane.llama.kernels.building_blocks import MASKED
from pyane.llama.kernels.decode import DecodeShape, decode_layer, rope_rows

# (P, T, places in use)
PLACES = {
    "first": (16, 0, 0),
    "single_first": (1, 0, 0),
    "single": (1, 64, 37),
    "padded": (16, 64, 64),
    "piece": (11, 24, 7),
}
CONFIGS = {
    "mha": {"dim": 32, "hidden_dim": 44, "n_heads": 4, "n_kv_heads": 4},
    "gqa": {"dim": 36, "hidden_dim": 40, "n_heads": 6, "n_kv_heads": 2},
    "multi_query": {"dim": 16, "hidden_dim": 31, "n_heads": 8, "n_kv_heads": 1},
    "qk_norm": {
        "dim": 20,
        "hidden_dim": 12,
        "n_heads": 6,
        "n_kv_heads": 3,
        "head_dim": 8,
        "qk_norm": True,
        "norm_eps": 1e-6,
        "rope_theta": 1e6,
    },
}


@dataclass
class Case:
    shape: DecodeShape
    used: int
    inputs: dict[str, np.ndarray]  # fp16, device layout; `rope` in fp64, not yet rounded

    def rows(self, name: str) -> np.ndarray:
        """[positions, channels] fp64."""
        return self.inputs[name].astype(np.float64)[0, :, 0].T

    def weight(self, name: str) -> np.ndarray:
        value = self.inputs[name].astype(np.float64)
        return value.reshape(-1) if name.startswith("rms") else value[0, 0]


def make_case(config: Config, places: tuple[int, int, int], rng: np.random.Generator) -> Case:
    positions, cached, used = places
    shape = DecodeShape(config, positions, cached)
    inputs = {}
    for name, dims in shape.tensor_shapes().items():
        if name in shape.outputs:
            continue
        values = rng.standard_normal(dims)
        if name.startswith("rms"):
            values = rng.uniform(0.5, 1.5, dims)
        elif name in shape.weights:
            values /= np.sqrt(dims[-1])
        inputs[name] = values.astype(np.float16)
    if cached:
        inputs["mask"][...] = MASKED
        inputs["mask"][..., :used] = 0
    angles = ref.rope_angles(used + positions, config.head_dim, config.rope_theta)[used:].T
    tables = np.concatenate([np.cos(angles), np.sin(angles)])
    inputs["rope"] = np.concatenate([tables, tables / np.sqrt(config.head_dim)])[None, :, None]
    return Case(shape, used, inputs)


def expected_results(c: Case) -> dict[str, np.ndarray]:
    """The layer on all positions, of which the last P are wanted."""
    config, used = c.shape.config, c.used
    x = c.rows("xin")
    xn = ref.rmsnorm(x, c.weight("rmsatt"), config.norm_eps)

    def heads(rows: np.ndarray) -> np.ndarray:
        return rows.reshape(1, len(rows), -1, config.head_dim)

    def turned(rows: np.ndarray, norm: str) -> np.ndarray:
        y = heads(rows)
        if config.qk_norm:
            y = ref.rmsnorm(y, c.weight(norm), config.norm_eps)
        before = np.zeros((1, used, *y.shape[2:]))
        return ref.rope(np.concatenate([before, y], 1), config.rope_theta)[:, used:]

    q, k = (turned(xn @ c.weight(f"w{n}").T, f"rms{n}") for n in ("q", "k"))
    v = heads(xn @ c.weight("wv").T)
    if used:
        keys, values = (heads(c.rows(name)[:used]) for name in ("keys", "values"))
    else:
        keys = values = np.zeros((1, 0, *k.shape[2:]))
    queries = np.concatenate([np.zeros((1, used, *q.shape[2:])), q], 1)
    mixed = ref.attention(queries, np.concatenate([keys, k], 1), np.concatenate([values, v], 1))
    xmid = x + mixed[0, used:].reshape(len(x), -1) @ c.weight("wo").T
    xnffn = ref.rmsnorm(xmid, c.weight("rmsffn"), config.norm_eps)
    hidden = ref.swiglu(xnffn @ c.weight("w1").T, xnffn @ c.weight("w3").T)
    rows = {"key": k, "value": v, "xout": xmid + hidden @ c.weight("w2").T}
    return {name: y.reshape(len(x), -1).T[None, :, None] for name, y in rows.items()}


def bounds(c: Case, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    with monkeypatch.context() as patch:
        for module in (building_blocks, decode):
            patch.setattr(module, "mil", rounding)
        inputs = {name: rounding.exact(value) for name, value in c.inputs.items()}
        inputs["rope"] = rounding.constant(c.inputs["rope"])
        return {result.name: result.error for result in decode_layer(c.shape, **inputs)}


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("sizes", CONFIGS.values(), ids=CONFIGS)
def test_kernel_agrees_with_reference(
    sizes: dict[str, Any],
    places: tuple[int, int, int],
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = make_case(Config(n_layers=1, vocab_size=1, seq_len=128, **sizes), places, rng)
    expected, allowed = expected_results(case), bounds(case, monkeypatch)
    with backend.device().compile(case.shape.program()) as kernel:
        for name, value in case.inputs.items():
            kernel.inputs[name][...] = value
        kernel.evaluate()
        actual = {name: value.astype(np.float64) for name, value in kernel.outputs.items()}
    assert actual.keys() == expected.keys() == allowed.keys()
    for tensor, value in expected.items():
        error = np.abs(actual[tensor] - value)
        assert (error <= allowed[tensor]).all(), f"{tensor}: {(error / allowed[tensor]).max()}"
        # The bound means something: it is small beside what it bounds.
        assert np.median(allowed[tensor]) < 0.03 * np.abs(value).max(), tensor


def test_rope_rows() -> None:
    cos, sin = checkpoint.rope_tables(7, 6, 10000.0)
    angles = ref.rope_angles(7, 6, 10000.0).T
    tables = np.concatenate([np.cos(angles), np.sin(angles)])
    exact = np.concatenate([tables, tables / np.sqrt(6)])
    np.testing.assert_allclose(rope_rows(cos, sin), exact, rtol=2**-11, atol=1e-6)


# -- the decoder

# As in test_model.py: 20 roundings a layer, each of at most 2^-11, and no layer doubles them.
U = 2.0**-11
ROUNDINGS = 20


def rounding_error(config: Config) -> float:
    """Relative to the norm of the result."""
    return float(2 * U * np.sqrt(ROUNDINGS * config.n_layers))


def parameters_of(case: golden.Golden) -> Parameters:
    parameters = Parameters(case.config)
    for name, value in case.weights.items():
        parameters[name][...] = value
    return parameters


@pytest.fixture(params=golden.NAMES)
def case(request: pytest.FixtureRequest) -> golden.Golden:
    return golden.load(request.param)


def assert_near(actual: np.ndarray, expected: np.ndarray, config: Config, n: int = 1) -> None:
    """Within the rounding of `n` of the two."""
    error = np.linalg.norm(actual.astype(np.float64) - expected)
    assert error < n * rounding_error(config) * np.linalg.norm(expected)


@pytest.mark.parametrize(
    ("device_name", "pad_single"),
    [(None, False), (None, True), (None, None), ("emulator:m1:strict", None)],
)
def test_a_token_computes_one_position(
    device_name: str | None, pad_single: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen wide where that is the least; never what the text shares with the one before."""
    computed: list[tuple[int, int]] = []
    requests = Decoder._requests

    def record(self: Decoder, shape: DecodeShape) -> Any:
        computed.append((self.n_cached, shape.positions))
        return requests(self, shape)

    monkeypatch.setattr(Decoder, "_requests", record)
    case = golden.load("gqa_tied")
    parameters = Parameters(case.config)
    for name, value in case.weights.items():
        parameters[name][...] = value
    tokens = case.tokens[0, 0]
    device = pyane.device(device_name) if device_name else backend.device()
    is_wide = pad_single
    if pad_single is None:
        is_wide = device.name == "ane" or device_name is not None
    with Decoder(case.config, parameters, device, pad_single=pad_single) as decoder:
        for n in range(5, 9):
            decoder.next_token_logits(tokens[:n])
        decoder.next_token_logits([*tokens[:6], (tokens[6] + 1) % case.config.vocab_size])
    assert computed == [(0, 16), *((n, 16 if is_wide else 1) for n in (5, 6, 7, 6))]


@pytest.mark.parametrize("pad_single", [False, True], ids=["one_wide", "sixteen_wide"])
def test_every_position_agrees_with_pytorch(case: golden.Golden, pad_single: bool) -> None:
    config, tokens = case.config, case.tokens[0, 0, :-1]
    parameters = parameters_of(case)
    with Decoder(config, parameters, backend.device(), pad_single=pad_single) as decoder:
        one_by_one = [decoder.next_token_logits(tokens[: i + 1]) for i in range(len(tokens))]
        assert decoder.n_cached == len(tokens)
        decoder.reset()
        assert decoder.n_cached == 0
        at_once = decoder.next_token_logits(tokens)
    assert_near(np.array(one_by_one), case.logits[0], config)
    assert_near(at_once, case.logits[0, -1], config)


@pytest.fixture(scope="module")
def long_model() -> tuple[Config, Parameters]:
    config = Config(
        dim=24, hidden_dim=40, n_layers=2, n_heads=6, n_kv_heads=2, vocab_size=29, seq_len=300
    )
    values = 0.3 * np.random.default_rng(5).standard_normal(config.n_parameters)
    return config, Parameters(config, values.astype(np.float32))


def test_every_way_to_a_text_gives_its_logits(
    long_model: tuple[Config, Parameters], rng: np.random.Generator
) -> None:
    """Across every capacity of the cache, pieces of a long prompt, and texts that share a beginning."""
    config, parameters = long_model
    device = backend.device()
    tokens = rng.integers(0, 29, 300)
    other = np.concatenate([tokens[:70], (tokens[70:130] + 1) % 29])
    with Decoder(config, parameters, device) as decoder, Model(config, parameters, device) as model:
        for text in (
            tokens[:1],
            tokens[:17],
            tokens[:64],
            tokens[:65],
            tokens[:257],
            tokens,
            other,
            other[:71],
            tokens[:71],
            other,
            other,
            tokens,
        ):
            full = model.next_token_logits(text)
            assert_near(decoder.next_token_logits(text), full, config, n=2)
            assert decoder.n_cached == len(text)


def test_the_same_calls_give_the_same_bits(long_model: tuple[Config, Parameters]) -> None:
    config, parameters = long_model
    tokens = np.arange(90) % 29
    results = []
    with Decoder(config, parameters, backend.device()) as decoder:
        for _ in range(2):
            decoder.reset()
            results.append([decoder.next_token_logits(tokens[:n]) for n in (50, 51, 90)])
    assert np.array_equal(*results)


def test_threads_change_no_bit(long_model: tuple[Config, Parameters]) -> None:
    config, parameters = long_model
    tokens = np.arange(90) % 29
    before, results = base.num_threads(), []
    try:
        for n_threads in (1, 3):
            base.set_num_threads(n_threads)
            with Decoder(config, parameters, backend.device()) as decoder:
                results.append([decoder.next_token_logits(tokens[:n]) for n in (50, 51, 90)])
    finally:
        base.set_num_threads(before)
    assert np.array_equal(*results)


def test_new_weights_are_taken(long_model: tuple[Config, Parameters]) -> None:
    config, parameters = long_model
    changed = parameters.copy()
    with Decoder(config, changed, backend.device()) as decoder:
        before = decoder.next_token_logits([1, 2, 3])
        np.negative(changed["wv"], out=changed["wv"])
        decoder.upload_weights()
        after = decoder.next_token_logits([1, 2, 3])
    with Decoder(config, changed, backend.device()) as fresh:
        assert np.array_equal(after, fresh.next_token_logits([1, 2, 3]))
    assert not np.array_equal(before, after)


def test_an_interruption_leaves_a_decoder_that_works(
    long_model: tuple[Config, Parameters], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, parameters = long_model
    tokens = np.arange(100) % 29
    with Decoder(config, parameters, backend.device()) as decoder:
        expected = [decoder.next_token_logits(tokens[:n]) for n in (60, 100)]
        decoder.reset()
        decoder.next_token_logits(tokens[:60])
        lay_out = Decoder._lay_out

        def interrupted(self: Decoder, capacity: int) -> None:
            if capacity > 64:
                self._layers[0]["keys"].array((1, 8, 1, 128))[...] = 7  # some are moved already
                raise KeyboardInterrupt
            lay_out(self, capacity)

        with monkeypatch.context() as patch:
            patch.setattr(Decoder, "_lay_out", interrupted)
            with pytest.raises(KeyboardInterrupt):
                decoder.next_token_logits(tokens)
        actual = [decoder.next_token_logits(tokens[:n]) for n in (60, 100)]
    assert np.array_equal(actual, expected)


def test_an_overflow_spoils_no_other_text(long_model: tuple[Config, Parameters]) -> None:
    config, parameters = long_model
    spoilt = parameters.copy()
    spoilt["token_embedding_table"][7] = 7e4  # infinite in fp16
    with Decoder(config, spoilt, backend.device()) as decoder:
        assert np.isnan(decoder.next_token_logits([1, 2, 7, 3])).any()
        after = decoder.next_token_logits([1, 2, 3])
    with Decoder(config, spoilt, backend.device()) as fresh:
        assert np.array_equal(after, fresh.next_token_logits([1, 2, 3]))
    assert np.isfinite(after).all()


def test_bad_arguments(long_model: tuple[Config, Parameters]) -> None:
    config, parameters = long_model
    with Decoder(config, parameters, backend.device(), context=20) as decoder:
        with pytest.raises(ShapeError, match="tokens may have up to 20, got 21"):
            decoder.next_token_logits([0] * 21)
        with pytest.raises(ShapeError, match=r"must be in \[0, 29\), got 29 at \[1\]"):
            decoder.next_token_logits([0, 29])
        with pytest.raises(ShapeError, match="must be a non-empty integer array"):
            decoder.next_token_logits([])
        assert decoder.next_token_logits([0] * 20).shape == (29,)
    with pytest.raises(ShapeError, match="context must be between 1 and 300, got 301"):
        Decoder(config, parameters, context=301)
    with pytest.raises(ShapeError, match="parameters must be of"):
        Decoder(golden.load(golden.NAMES[0]).config, parameters)


# -- a real model


@pytest.fixture(scope="module")
def stories(shared_data: Path) -> tuple[Config, Parameters]:
    return checkpoint.read(shared_data / "stories260K.bin")


def test_greedy_text_is_that_of_llama2c(
    stories: tuple[Config, Parameters], shared_data: Path
) -> None:
    for case in json.loads((shared_data / "stories260K_golden.json").read_text())["cases"]:
        with Decoder(*stories, backend.device()) as decoder:
            tokens = list(case["prompt_tokens"])
            while len(tokens) < 48:
                tokens.append(int(decoder.next_token_logits(tokens).argmax()))
        assert tokens == case["greedy_tokens"][:48]


def test_all_of_the_greedy_text_is_a_choice_of_ours(
    stories: tuple[Config, Parameters], shared_data: Path
) -> None:
    """All 200 tokens; where fp16 takes another one, the two are closer than its rounding."""
    config, parameters = stories
    weights = {name: value.astype(np.float64) for name, value in parameters.items()}
    for case in json.loads((shared_data / "stories260K_golden.json").read_text())["cases"]:
        tokens = np.array(case["greedy_tokens"])
        exact = ref.Llama(config, weights).forward(tokens[None])[0]
        with Decoder(config, parameters, backend.device()) as decoder:
            for n in range(len(case["prompt_tokens"]), len(tokens)):
                logits = decoder.next_token_logits(tokens[:n])
                # Both logits are off by no more than this together.
                allowed = rounding_error(config) * np.linalg.norm(exact[n - 1])
                lead = exact[n - 1, tokens[n]] - exact[n - 1, logits.argmax()]
                assert 0 <= lead < allowed, n
                assert np.linalg.norm(logits - exact[n - 1]) < allowed
