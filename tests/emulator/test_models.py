"""Published models with random weights: the emulator against PyTorch in fp64."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import pyane
from pyane._core import mil

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "mil"
DTYPES = {"fp16": np.float16, "fp32": np.float32}


def interpreter() -> ModuleType:
    pytest.importorskip("torch")
    return importlib.import_module("torch_interpreter")


def blobs(program: mil.Program) -> dict[int, tuple[str, mil.Type]]:
    """Name and type of every tensor in the weight file, by offset."""
    found = {}
    for operation in program.functions[0].operations:
        value = operation.attributes["val"].value if operation.type == "const" else None
        if isinstance(value, mil.BlobReference):
            found[value.offset] = (operation.outputs[0].name, operation.outputs[0].type)
    return found


def random_weight(rng: np.random.Generator, name: str, kind: mil.Type) -> np.ndarray:
    """Such that signals keep their size from layer to layer."""
    shape = tuple(int(n) for n in kind.shape)
    if len(shape) > 1 and "weight" in name:
        array = rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))
    elif "weight" in name:  # The gain of a normalisation.
        array = 1 + 0.1 * rng.normal(size=shape)
    else:
        array = 0.1 * rng.normal(size=shape)
    return array.astype(DTYPES[kind.dtype])


def with_weights(rng: np.random.Generator, name: str):
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"no {path}")
    program = mil.parse(path.read_bytes(), name)
    writer, weights = mil.BlobWriter(), {}
    for offset, (weight, kind) in sorted(blobs(program).items()):
        weights[offset] = random_weight(rng, weight, kind)
        # Apple's writer has made the file that the text refers to: the offsets must be its.
        assert writer.add(weights[offset]) == offset
    return program, weights, {"@model_path/weights/weight.bin": writer.finish()}


def assert_close(result: np.ndarray, exact: np.ndarray, unit: float, n_roundings: int) -> None:
    """Each of the operations on the way to a result rounds it, relative to its size and
    independently of the others: errors add up as their squares do. Sums of products in fp32 round
    more often, with signs as random as those of their terms; the factor of 2 is for them, and for
    layers that make errors larger than the signal."""
    error = np.linalg.norm(result.astype(np.float64) - exact) / np.linalg.norm(exact)
    assert np.isfinite(result).all()
    assert error <= 2 * np.sqrt(n_roundings) * unit


@pytest.mark.slow
def test_yolov8n(emulator: pyane.Device, rng: np.random.Generator) -> None:
    torch_interpreter = interpreter()
    program, weights, files = with_weights(
        rng, "Sarves1911__zero-copy-mac-inference__models__yolov8n.mil"
    )
    image = rng.uniform(0, 255, (1, 3, 640, 640)).astype(np.float32)
    kernel = emulator.compile(program, files)
    result = kernel(image)
    assert result.shape == (1, 84, 8400)
    exact = torch_interpreter.evaluate(program, weights, {"image": image})["var_911"]
    # Some 70 fp32 layers.
    assert_close(result, exact, 2.0**-24, 70)
    boxes, classes = result[:, :4], result[:, 4:]
    assert_close(boxes, exact[:, :4], 2.0**-24, 70)
    assert_close(classes, exact[:, 4:], 2.0**-24, 70)


@pytest.mark.slow
def test_whisper_tiny_encoder(emulator: pyane.Device, rng: np.random.Generator) -> None:
    torch_interpreter = interpreter()
    program, weights, files = with_weights(
        rng, "exPHAT__SwiftWhisper__Tests__WhisperTests__TestResources__tiny-encoder.mil"
    )
    mel = rng.normal(size=(1, 80, 3000)).astype(np.float32)
    kernel = emulator.compile(program, files)
    result = kernel(mel)
    assert result.shape == (1, 1500, 384)
    exact = torch_interpreter.evaluate(program, weights, {"logmel_data": mel})["output"]
    # Some 20 fp16 roundings on the way through each of four blocks.
    assert_close(result, exact, 2.0**-11, 80)
