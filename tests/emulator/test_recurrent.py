"""lstm, gru and rnn against fp64 NumPy from the formulas, and against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import backend
import mil_text
import reference_ops
from pyane.errors import MilVerifyError

ACTIVATIONS = {
    "hard_sigmoid": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "scaled_tanh": lambda x: 1.7159 * np.tanh(2 / 3 * x),
    "sigmoid": reference_ops.sigmoid,
    "tanh": np.tanh,
}
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
SIZES = [(1, 1, 1, 1), (5, 3, 7, 4), (3, 1, 33, 17), (2, 5, 4, 16)]  # S, B, I, H


def run(op, x, initial, weights, hidden, *, n_directions=1, **attributes):
    """The operation's results: y, h (and c)."""
    steps, batch = x.shape[:2]
    n_steps = steps if attributes.get("output_sequence") else 1
    wide = n_directions * hidden
    shapes = [(n_steps, batch, wide), *[(batch, wide)] * (2 if op == "lstm" else 1)]
    arguments = {"x": "%x"} | {name: f"%{name}" for name in initial} | weights | attributes
    call = mil_text.operation(op, "y", "T", arguments).partition(" = ")[2]
    names = ["y", "h", "c"][: len(shapes)]
    results = ", ".join(
        f"{mil_text.tensor_type(x.dtype, shape)} {name}"
        for shape, name in zip(shapes, names, strict=True)
    )
    inputs = {"x": x, **initial}
    kinds = {name: mil_text.tensor_type(a.dtype, a.shape) for name, a in inputs.items()}
    text = mil_text.program(kinds, [f"{results} = {call}"], names)
    results = backend.device().compile(text)(**inputs)
    return [results[name] for name in names]


def make(rng, op, inputs, hidden, dtype):
    rows = GATES[op] * hidden

    def draw(*shape):
        return rng.uniform(-0.7, 0.7, shape).astype(dtype)

    return {
        "weight_ih": draw(rows, inputs),
        "weight_hh": draw(rows, hidden),
        "bias": draw(rows),
    }


def walk(op, x, h, c, w_ih, w_hh, bias, *, gate, cell, act, peephole=None, clip=None):
    """fp64 from the formulas in coremltools' definitions; all steps, and the last states."""
    hidden = w_hh.shape[1]
    w_ih, w_hh, bias, h, c = (np.asarray(a, np.float64) for a in (w_ih, w_hh, bias, h, c))
    peep = np.zeros((3, hidden)) if peephole is None else peephole.astype(np.float64).reshape(3, -1)
    sequence = []
    for step in x.astype(np.float64):
        u, v = step @ w_ih.T + bias, h @ w_hh.T
        if op == "rnn":
            h = act(u + v)
        elif op == "gru":
            r = gate((u + v)[:, :hidden])
            z = gate((u + v)[:, 2 * hidden :])
            o = act(u[:, hidden : 2 * hidden] + r * v[:, hidden : 2 * hidden])
            h = (1 - z) * o + z * h
        else:
            i, f, o, z = np.split(u + v, 4, axis=1)
            i, f = gate(i + peep[0] * c), gate(f + peep[1] * c)
            z = cell(z if clip is None else np.clip(z, -clip, clip))
            c = f * c + i * z
            o = gate(o + peep[2] * c)
            h = o * act(c)
        sequence.append(h)
    return np.stack(sequence), h, c


def bound(dtype, steps, inputs, hidden):
    """Half a unit of results below 4, and fp32 errors of sums and activations that each step adds
    to and passes on, by a factor of at most 2."""
    per_step = (inputs + hidden + 16) * np.finfo(np.float32).eps
    return 2 * np.finfo(dtype).eps + per_step * 2.0 ** min(steps, 6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("output_sequence", [False, True])
@pytest.mark.parametrize("op", GATES)
def test_one_direction(rng, op, sizes, direction, output_sequence, dtype):
    steps, batch, inputs, hidden = sizes
    x = rng.normal(size=(steps, batch, inputs)).astype(dtype)
    names = ("initial_h", "initial_c") if op == "lstm" else ("initial_h",)
    initial = {n: rng.uniform(-1, 1, (batch, hidden)).astype(dtype) for n in names}
    weights = make(rng, op, inputs, hidden, dtype)
    got = run(op, x, initial, weights, hidden, direction=direction, output_sequence=output_sequence)
    order = slice(None, None, -1) if direction == "reverse" else slice(None)
    y, h, c = walk(
        op,
        x[order],
        initial["initial_h"],
        initial.get("initial_c", 0),
        *weights.values(),
        gate=ACTIVATIONS["sigmoid"],
        cell=np.tanh,
        act=np.tanh,
    )
    expected = [y[order] if output_sequence else h[None], h, c]
    for mine, exact in zip(got, expected, strict=False):
        np.testing.assert_allclose(mine, exact, rtol=0, atol=bound(dtype, steps, inputs, hidden))


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("op", GATES)
def test_activations(rng, op, name):
    steps, batch, inputs, hidden = 2, 2, 3, 5
    x = rng.uniform(-1, 1, (steps, batch, inputs)).astype(np.float32)
    names = ("initial_h", "initial_c") if op == "lstm" else ("initial_h",)
    initial = {n: rng.uniform(-1, 1, (batch, hidden)).astype(np.float32) for n in names}
    weights = make(rng, op, inputs, hidden, np.float32)
    chosen = {"activation": name}
    if op != "rnn":
        chosen["recurrent_activation"] = name
    if op == "lstm":
        chosen["cell_activation"] = name
    got = run(op, x, initial, weights, hidden, **chosen)
    act = ACTIVATIONS[name]
    c = initial.get("initial_c", 0)
    _, h, _ = walk(op, x, initial["initial_h"], c, *weights.values(), gate=act, cell=act, act=act)
    np.testing.assert_allclose(got[1], h, rtol=2**-18, atol=2**-18)


@pytest.mark.parametrize("clip", [None, 0.25])
def test_lstm_with_peepholes_and_clip(rng, clip):
    steps, batch, inputs, hidden = 4, 2, 3, 5
    x = rng.normal(size=(steps, batch, inputs)).astype(np.float32)
    initial = {
        n: rng.uniform(-1, 1, (batch, hidden)).astype(np.float32)
        for n in ("initial_h", "initial_c")
    }
    weights = make(rng, "lstm", inputs, hidden, np.float32)
    peephole = rng.uniform(-1, 1, 3 * hidden).astype(np.float32)
    extra = {} if clip is None else {"clip": np.float32(clip)}
    got = run("lstm", x, initial, weights | {"peephole": peephole}, hidden, **extra)
    _, h, c = walk(
        "lstm",
        x,
        *initial.values(),
        *weights.values(),
        gate=ACTIVATIONS["sigmoid"],
        cell=np.tanh,
        act=np.tanh,
        peephole=peephole,
        clip=clip,
    )
    for mine, exact in zip(got[1:], (h, c), strict=True):
        np.testing.assert_allclose(mine, exact, rtol=0, atol=bound(np.float32, 4, 3, 5))


def from_pytorch(tensor, order):
    """Gates in MIL's order."""
    parts = np.split(tensor.detach().numpy(), len(order))
    return np.concatenate([parts[i] for i in order])


@pytest.mark.parametrize("is_bidirectional", [False, True])
def test_lstm_as_pytorch(rng, is_bidirectional):
    torch = pytest.importorskip("torch")
    steps, batch, inputs, hidden = 7, 3, 5, 6
    torch.manual_seed(0)
    module = torch.nn.LSTM(inputs, hidden, bidirectional=is_bidirectional)
    n = 2 if is_bidirectional else 1
    x = rng.normal(size=(steps, batch, inputs)).astype(np.float32)
    states = rng.normal(size=(2, n, batch, hidden)).astype(np.float32)
    weights = {}
    for suffix, theirs in (("", "_l0"), ("_back", "_l0_reverse"))[:n]:
        order = (0, 1, 3, 2)  # i, f, z, o -> i, f, o, z
        weights[f"weight_ih{suffix}"] = from_pytorch(getattr(module, f"weight_ih{theirs}"), order)
        weights[f"weight_hh{suffix}"] = from_pytorch(getattr(module, f"weight_hh{theirs}"), order)
        both = getattr(module, f"bias_ih{theirs}") + getattr(module, f"bias_hh{theirs}")
        weights[f"bias{suffix}"] = from_pytorch(both, order)
    initial = {
        name: np.concatenate(list(state), axis=-1)
        for name, state in zip(("initial_h", "initial_c"), states, strict=True)
    }
    direction = "bidirectional" if is_bidirectional else "forward"
    got = run(
        "lstm",
        x,
        initial,
        weights,
        hidden,
        n_directions=n,
        direction=direction,
        output_sequence=True,
    )
    with torch.no_grad():
        y, (h, c) = module(torch.from_numpy(x), tuple(map(torch.from_numpy, states)))
    expected = [y.numpy(), *(np.concatenate(list(s.numpy()), axis=-1) for s in (h, c))]
    for mine, exact in zip(got, expected, strict=True):
        np.testing.assert_allclose(mine, exact, rtol=0, atol=bound(np.float32, steps, 5, 6))


@pytest.mark.parametrize("reset_after", [False, True])
def test_gru_as_pytorch(rng, reset_after):
    """Without reset_after MIL has one bias, outside of r * (R h): PyTorch's without bias_hh."""
    torch = pytest.importorskip("torch")
    steps, batch, inputs, hidden = 5, 2, 4, 3
    torch.manual_seed(0)
    module = torch.nn.GRU(inputs, hidden)
    if not reset_after:
        torch.nn.init.zeros_(module.bias_hh_l0)
    order = (0, 2, 1)  # r, z, o -> r, o, z
    weights = {
        "weight_ih": from_pytorch(module.weight_ih_l0, order),
        "weight_hh": from_pytorch(module.weight_hh_l0, order),
        "bias": from_pytorch(module.bias_hh_l0 if reset_after else module.bias_ih_l0, order),
    }
    extra = {}
    if reset_after:
        weights["input_bias"] = from_pytorch(module.bias_ih_l0, order)
        extra["reset_after"] = True
    x = rng.normal(size=(steps, batch, inputs)).astype(np.float32)
    h0 = rng.normal(size=(batch, hidden)).astype(np.float32)
    got = run("gru", x, {"initial_h": h0}, weights, hidden, output_sequence=True, **extra)
    with torch.no_grad():
        y, h = module(torch.from_numpy(x), torch.from_numpy(h0)[None])
    for mine, exact in zip(got, (y.numpy(), h[0].numpy()), strict=True):
        np.testing.assert_allclose(mine, exact, rtol=0, atol=bound(np.float32, steps, 4, 3))


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_rnn_as_pytorch(rng, name):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.RNN(4, 3, nonlinearity=name)
    weights = {
        "weight_ih": module.weight_ih_l0.detach().numpy(),
        "weight_hh": module.weight_hh_l0.detach().numpy(),
        "bias": (module.bias_ih_l0 + module.bias_hh_l0).detach().numpy(),
    }
    x = rng.normal(size=(5, 2, 4)).astype(np.float32)
    h0 = rng.normal(size=(2, 3)).astype(np.float32)
    got = run("rnn", x, {"initial_h": h0}, weights, 3, output_sequence=True, activation=name)
    with torch.no_grad():
        y, h = module(torch.from_numpy(x), torch.from_numpy(h0)[None])
    for mine, exact in zip(got, (y.numpy(), h[0].numpy()), strict=True):
        np.testing.assert_allclose(mine, exact, rtol=0, atol=bound(np.float32, 5, 4, 3))


@pytest.mark.emulator
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "gelu"}, r'activation must be one of .*tanh, got "gelu"'),
        ({"bias": np.zeros(5, np.float32)}, r"bias must have shape \[12\], got \[5\]"),
        ({"direction": "bidirectional"}, "needs the argument 'weight_ih_back'"),
        ({"direction": "up"}, 'direction must be one of .*got "up"'),
        ({"weight_hh": np.zeros((12, 4), np.float32)}, r"weight_hh \[4 H, H\]"),
        ({"peephole": np.zeros(4, np.float32)}, r"peephole must have shape \[9\], got \[4\]"),
    ],
)
def test_errors(rng, change, message):
    weights = make(rng, "lstm", 2, 3, np.float32) | change
    x = np.zeros((2, 1, 2), np.float32)
    initial = {n: np.zeros((1, 3), np.float32) for n in ("initial_h", "initial_c")}
    with pytest.raises(MilVerifyError, match=message):
        run("lstm", x, initial, weights, 3)
