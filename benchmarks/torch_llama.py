"""The goldens' Llama in PyTorch fp32, with pyane's weights; for benchmarks that compare with it."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "golden"))
from make_golden import Llama

if TYPE_CHECKING:
    from pyane.llama import Parameters


def torch_llama(parameters: Parameters, seq_len: int) -> Llama:
    """A copy of the weights."""
    sizes = dataclasses.asdict(parameters.config) | {"seq_len": seq_len}
    model = Llama(sizes)
    model.turn = model.turn.to(torch.complex64)
    with torch.no_grad():
        for weight, layer, name in named_weights(model):
            source = parameters[name]
            weight.copy_(torch.from_numpy(source if layer is None else source[layer]))
    return model


def named_weights(model: Llama) -> list[tuple[torch.nn.Parameter, int | None, str]]:
    """Every weight with its layer and its llama2.c name."""
    found = []
    for full_name, parameter in model.named_parameters():
        parts = full_name.removesuffix(".weight").split(".")
        found.append((parameter, int(parts[1]) if parts[0] == "layers" else None, parts[-1]))
    return found
