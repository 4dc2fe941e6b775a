"""A micro-batch that cannot fit is refused before anything is made."""

from __future__ import annotations

import numpy as np
import pytest

import pyane
from pyane import llama, train
from pyane.errors import ConfigError
from pyane.train import memory

SHAPE = llama.PRESETS["stories260k"]


@pytest.mark.parametrize("pipeline", ["dynamic", "static"])
def test_bound_is_what_layers_keep(pipeline: str) -> None:
    """Counted on a model that has made its activations."""
    config = train.TrainConfig(batch_size=3, seq_len=32, pipeline=pipeline)
    parameters = llama.Parameters(SHAPE).init(np.random.default_rng(0))
    device = pyane.device("emulator")
    with llama.create_model(
        SHAPE, parameters, device=device, batch=3, seq_len=32, pipeline=pipeline
    ) as model:
        model.upload_weights()
        model.loss(*np.ones((2, 3, 32), np.int32))
        layers = model._training.forward.layers
        kept = {id(t): t.array.nbytes for layer in layers for t in layer.values()}
        first = layers[0]["xin"].array.nbytes  # of no layer
    assert memory.activation_bytes(config, SHAPE) == sum(kept.values()) - first


def test_what_fits_to_the_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    config = train.TrainConfig(batch_size=3, seq_len=64)
    needed = memory.activation_bytes(config, SHAPE)
    monkeypatch.setattr(memory.base, "memory_of_machine", lambda: needed)
    memory.check_memory(config, SHAPE)
    monkeypatch.setattr(memory.base, "memory_of_machine", lambda: needed - 1)
    with pytest.raises(ConfigError, match=r"--batch-size 3: .* 2 sequences would fill it"):
        memory.check_memory(config, SHAPE)
    monkeypatch.setattr(
        memory.base, "memory_of_machine", lambda: None
    )  # a system that does not say
    memory.check_memory(config, SHAPE)
