"""Reads tests/golden/llama_*.npz (see make_golden.py there)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pyane.llama import Config

FOLDER = Path(__file__).parent / "golden"
NAMES = tuple(sorted(path.stem.removeprefix("llama_") for path in FOLDER.glob("llama_*.npz")))


@dataclass(frozen=True)
class Golden:
    config: Config
    weights: dict[str, np.ndarray]
    tokens: np.ndarray  # [10, B, S + 1]
    targets: np.ndarray  # [10, B, S]
    logits: np.ndarray  # [B, S, V], first batch
    loss: float
    gradients: dict[str, np.ndarray]
    adam: dict[str, float]
    adam_losses: np.ndarray  # [10]


def load(name: str) -> Golden:
    with np.load(FOLDER / f"llama_{name}.npz") as file:
        data = {key: file[key] for key in file.files}

    def part(prefix: str) -> dict[str, np.ndarray]:
        return {k.removeprefix(prefix): v for k, v in data.items() if k.startswith(prefix)}

    return Golden(
        config=Config(**json.loads(str(data["config"]))),
        weights=part("weight/"),
        tokens=data["tokens"],
        targets=data["targets"],
        logits=data["logits"],
        loss=float(data["loss"]),
        gradients=part("grad/"),
        adam=json.loads(str(data["adam"])),
        adam_losses=data["adam_losses"],
    )
