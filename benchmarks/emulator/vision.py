"""YOLOv8n at 640x640 beside ONNX Runtime and PyTorch in fp32, on as many threads.

The network is the MIL text of a published Core ML model with random weights of its sizes; the peers get
the same network, translated operation by operation. All must agree before anything is timed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import pyane
from pyane._core import mil

from .harness import Row, Settings, seconds, skipped, take_turns, threads, timer
from .mil_peers import Weights, random_weights, to_onnx, to_torch

MODEL = (
    Path(__file__).parents[3]
    / "shared/data/mil/Sarves1911__zero-copy-mac-inference__models__yolov8n.mil"
)
WEIGHT_FILE = "@model_path/weights/weight.bin"
TARGET = 1.2
LAYERS = 70
Run = Callable[[], dict[str, np.ndarray]]


def in_fp16(text: str, weights: Weights) -> tuple[str, bytes]:
    """The same network with every tensor in fp16, and its weight file."""
    writer = mil.BlobWriter()
    offsets = {old: writer.add(array.astype(np.float16)) for old, array in sorted(weights.items())}

    def moved(match: re.Match[str]) -> str:
        return f"{match[1]}({offsets[int(match[2])]})"

    # Factors of resizing are attributes, and stay what they are.
    lines = (
        line if "scale_factor" in line and "= const(" in line else line.replace("fp32", "fp16")
        for line in text.splitlines()
    )
    moved_text = re.sub(r"(offset = tensor<uint64, \[\]>)\((\d+)\)", moved, "\n".join(lines))
    return moved_text, writer.finish()


def in_fp32(text: str, weights: Weights) -> tuple[str, bytes]:
    writer = mil.BlobWriter()
    for offset, array in sorted(weights.items()):
        if writer.add(array) != offset:
            sys.exit(f"vision: tensor at offset {offset}: the text does not follow Apple's layout")
    return text, writer.finish()


def emulator_run(text: str, blob: bytes, image: np.ndarray) -> Run:
    kernel = pyane.device("emulator").compile(text, {WEIGHT_FILE: blob})
    (name,) = kernel.inputs
    kernel.inputs[name][...] = image

    def run() -> dict[str, np.ndarray]:
        kernel.evaluate()
        return dict(kernel.outputs)

    return run


def onnx_run(program: mil.Program, weights: Weights, image: np.ndarray, n_threads: int) -> Run:
    import onnxruntime  # noqa: PLC0415 -- optional

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = n_threads, 1
    session = onnxruntime.InferenceSession(
        to_onnx(program, weights), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    feed = {session.get_inputs()[0].name: image}
    return lambda: dict(zip(names, session.run(None, feed), strict=True))


def torch_run(program: mil.Program, weights: Weights, image: np.ndarray, n_threads: int) -> Run:
    import torch  # noqa: PLC0415 -- optional

    function = to_torch(program, weights)
    x = torch.from_numpy(image)

    def run() -> dict[str, np.ndarray]:
        torch.set_num_threads(n_threads)
        return {name: value.numpy() for name, value in function(x).items()}

    return run


PEERS = {"ONNX Runtime fp32": onnx_run, "PyTorch fp32": torch_run}


def check(name: str, result: dict[str, np.ndarray], exact: dict[str, np.ndarray]) -> None:
    """Each layer rounds once and sums in fp32, as in tests/emulator/test_models.py; both sides err."""
    unit = 2.0**-11 if "fp16" in name else 2.0**-24
    for output, value in exact.items():
        difference = np.linalg.norm(result[output].astype(np.float64) - value)
        error = difference / np.linalg.norm(value.astype(np.float64))
        if not error <= 2 * 2 * np.sqrt(LAYERS) * unit:
            sys.exit(f"vision: {name} differs from pyane fp32 by {error:.2g}: not timed")


def rows(settings: Settings) -> Iterator[Row]:
    work = "YOLOv8n 640x640"
    if not MODEL.exists():
        yield skipped(work, f"no {MODEL.name} in ../shared/data/mil")
        return
    text = MODEL.read_text()
    program = mil.parse(text, MODEL.name)
    rng = np.random.default_rng(0)
    weights = random_weights(program, rng)
    # Whole numbers, so that both element types see the same image.
    image = rng.integers(0, 256, (1, 3, 640, 640)).astype(np.float32)
    own = {
        "fp32": emulator_run(*in_fp32(text, weights), image),
        "fp16": emulator_run(*in_fp16(text, weights), image),
    }
    exact = {name: value.copy() for name, value in own["fp32"]().items()}
    check("pyane fp16", own["fp16"](), exact)
    for n in settings.threads:
        peers: dict[str, Run] = {}
        for name, make in PEERS.items():
            try:
                peers[name] = make(program, weights, image, n)
            except ImportError as error:
                yield skipped(f"{work}, {name}", str(error), n)
                continue
            check(name, peers[name](), exact)
        with threads(n):
            found = take_turns(
                {name: timer(run) for name, run in (own | peers).items()}, settings.rounds(20)
            )
        figures = {name: seconds(samples) for name, samples in found.items()}
        fastest = min(peers, key=lambda name: figures[name].median, default=None)
        for dtype in own:
            yield Row(
                f"{work} in {dtype}",
                n,
                figures[dtype],
                fastest or "",
                figures[fastest] if fastest else None,
                TARGET if fastest else None,
                details={name: figures[name].median for name in peers},
            )
