"""Load a Core ML model, see what is in it, check it for a chip, evaluate it, time it.

python examples/run_model.py model.mlpackage [chip]

Takes .mlpackage, .mlmodelc and .mil. Without an argument, a small model is written and loaded.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import pyane
from pyane import mil


def small_model(folder: Path) -> Path:
    """A compiled model as Core ML lays it out: model.mil and weights/weight.bin."""

    @mil.program(x=mil.fp16[1, 64, 1, 128])
    def program(x):
        weight = np.random.default_rng(0).normal(scale=0.1, size=(64, 64, 1, 1)).astype(np.float16)
        y = mil.conv(x=x, weight=weight)
        return mil.softmax(x=y, axis=1, name="y")

    model = folder / "small.mlmodelc"
    (model / "weights").mkdir(parents=True)
    (model / "model.mil").write_text(str(program))
    for path, data in program.weights.items():
        (model / path.removeprefix("@model_path/")).write_bytes(memoryview(data))
    return model


def main(path: Path, chip: str) -> None:
    """Shows, checks and times the model at `path`."""
    model = pyane.load(path)  # weights are mapped, not read
    print(model)
    for note in model.notes:
        print("note:", note)
    for finding in pyane.check(model, chip=chip):
        print(finding)

    with pyane.device().compile(model) as kernel:
        rng = np.random.default_rng(0)
        for spec in kernel.input_specs.values():
            if spec.dtype.kind == "f":  # zeros otherwise: integers are mostly positions in tables
                kernel.inputs[spec.name][...] = rng.random(spec.shape)
        kernel.evaluate()
        start = time.perf_counter()
        for _ in range(10):
            kernel.evaluate()
        ms = (time.perf_counter() - start) * 100
        print(f"{kernel.device.name}: {ms:.3f} ms")
        for name, array in kernel.outputs.items():
            print(f"{name}: {array.dtype}{list(array.shape)}, mean {array.mean(dtype=float):.5f}")


if __name__ == "__main__":
    chosen_chip = sys.argv[2] if len(sys.argv) > 2 else "m1"
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]), chosen_chip)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(small_model(Path(scratch)), chosen_chip)
