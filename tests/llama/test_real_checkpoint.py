"""stories260K.bin, a real trained model, against the answers of llama2.c."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backend
from pyane.llama import Model
from pyane.llama.checkpoint import read_llama2c


@pytest.fixture(scope="module")
def model(shared_data: Path) -> Model:
    config, parameters = read_llama2c(shared_data / "stories260K.bin")
    return Model(config, parameters, backend.device(), seq_len=256)


@pytest.fixture(scope="module")
def cases(shared_data: Path) -> list[dict[str, Any]]:
    return json.loads((shared_data / "stories260K_golden.json").read_text())["cases"]


def test_passages(model: Model, cases: list[dict[str, Any]]) -> None:
    for case in cases:
        tokens = np.array([case["passage_tokens"]])
        loss = model.loss(tokens[:, :-1], tokens[:, 1:])
        assert abs(loss - case["passage_mean_nll"]) < 0.01
        logits = model.logits(tokens[:, :64])[0, -1]
        assert np.abs(logits - case["logits_last_of_first_64"]).max() < 0.05


def test_greedy_text(model: Model, cases: list[dict[str, Any]]) -> None:
    for case in cases:
        tokens = list(case["prompt_tokens"])
        while len(tokens) < 48:
            tokens.append(int(model.next_token_logits(tokens).argmax()))
        assert tokens == case["greedy_tokens"][:48]
