"""Recurrent networks and states, as coremltools writes them."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyane

pytestmark = [
    pytest.mark.slow,
    # coremltools leaves folders to the collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
torch = pytest.importorskip("torch")
ct = pytest.importorskip("coremltools")
nn = torch.nn
EPS32 = float(np.finfo(np.float32).eps)


def convert(folder: Path, net: Any, example: Any, /, **options: Any) -> Path:
    """A package of the traced network, in fp32."""
    path = folder / "x.mlpackage"
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            options.setdefault("inputs", [ct.TensorType("x", shape=tuple(example.shape))])
            model = ct.convert(
                torch.jit.trace(net.eval(), example),
                convert_to="mlprogram",
                skip_model_load=True,
                minimum_deployment_target=ct.target.iOS18,
                compute_precision=ct.precision.FLOAT32,
                **options,
            )
            model.save(str(path))
    finally:
        logging.disable(logging.NOTSET)
    return path


class Recurrent(nn.Module):
    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.net = kind

    def forward(self, x: Any) -> Any:
        return self.net(x)[0]


RECURRENT = {
    "gru": lambda: nn.GRU(4, 6, batch_first=True),  # A while_loop.
    "bidirectional gru": lambda: nn.GRU(4, 6, 2, bidirectional=True),
    "lstm": lambda: nn.LSTM(4, 6, 2, batch_first=True),
    "bidirectional lstm": lambda: nn.LSTM(4, 6, bidirectional=True),
    "rnn": lambda: nn.RNN(4, 6, nonlinearity="relu"),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_networks(tmp_path, name):
    torch.manual_seed(0)
    net = Recurrent(RECURRENT[name]()).eval()
    x = torch.randn(5, 3, 4)
    model = pyane.load(convert(tmp_path, net, x))
    got = pyane.device("emulator").compile(model)(x.numpy())
    with torch.no_grad():
        exact = net(x).numpy()
    # Five steps of sums of ten terms and of activations, on values below 4.
    np.testing.assert_allclose(got, exact, rtol=0, atol=4 * 5 * 2 * 30 * EPS32)


class Cache(nn.Module):
    """Keeps what it saw: a key-value cache in small."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("cache", torch.zeros(1, 4, 3))

    def forward(self, x: Any) -> Any:
        self.cache[:, 1:, :] = self.cache[:, :-1, :].clone()
        self.cache[:, 0:1, :] = x
        return (self.cache * 2).sum(1)


def test_states(tmp_path):
    net, x = Cache(), torch.randn(1, 1, 3)
    shape = ct.TensorType(shape=(1, 4, 3), dtype=np.float16)
    path = convert(
        tmp_path,
        net,
        x,
        inputs=[ct.TensorType("x", shape=(1, 1, 3), dtype=np.float16)],
        outputs=[ct.TensorType("y", dtype=np.float16)],
        states=[ct.StateType(wrapped_type=shape, name="cache")],
    )
    kernel = pyane.device("emulator").compile(pyane.load(path))
    (state,) = kernel.states.values()
    rows: list[np.ndarray] = [np.zeros((1, 3), np.float16)] * 4
    for i in range(6):
        row = np.full((1, 1, 3), i + 1, np.float16)
        rows = [row[0], *rows[:3]]
        assert np.array_equal(kernel(row), 2 * sum(rows))
        np.testing.assert_array_equal(state[0], np.concatenate(rows))
