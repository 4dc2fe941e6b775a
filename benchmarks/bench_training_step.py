"""Milliseconds per training step: pyane's dynamic pipeline beside PyTorch eager fp32.

    python benchmarks/bench_training_step.py --preset stories260k --batch 8
    python benchmarks/bench_training_step.py --preset stories110m --threads 4

One step is upload, forward, backward and Adam of one micro-batch of random tokens. Nothing is timed
before both have given the same loss. Without torch (or with --no-torch) pyane is timed alone, and
checked against ln(vocabulary), where the loss of a new model starts.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import pyane
from pyane._core import train as cpu
from pyane.llama import PRESETS, Model, Parameters

HERE = Path(__file__).resolve().parent


def resident_mb() -> dict[str, float]:
    """Resident now (Linux) and at its peak, MB = 1e6 bytes."""
    found = {}
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmRSS"):
                found["resident_mb"] = int(line.split()[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found["peak_resident_mb"] = peak * (1 if sys.platform == "darwin" else 1024) / 1e6
    return {name: round(value) for name, value in found.items()}


def measure(step: Callable[[], None], runs: int, warm_up: int) -> dict[str, float | int]:
    for _ in range(warm_up):
        step()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - start))
    return {
        "median_ms": round(statistics.median(times), 2),
        "best_ms": round(min(times), 2),
        "runs": runs,
    }


def bench_pyane(args: argparse.Namespace, tokens: np.ndarray) -> dict:
    if args.threads:
        pyane.set_num_threads(args.threads)
    config = PRESETS[args.preset]
    parameters = Parameters(config).init(np.random.default_rng(0))
    start = time.perf_counter()
    model = Model(config, parameters, pyane.device(args.device), batch=args.batch, seq_len=args.seq)
    ids, targets = tokens[:, :-1], tokens[:, 1:]
    loss = model.loss_and_gradients(ids, targets)
    ready_ms = 1e3 * (time.perf_counter() - start)
    m, v = parameters.zeros_like(), parameters.zeros_like()
    n_steps = 0

    def step() -> None:
        nonlocal n_steps
        n_steps += 1
        model.upload_weights()
        model.zero_gradients()
        model.loss_and_gradients(ids, targets)
        cpu.adam_update(
            parameters.flat,
            model.gradients.flat,
            m.flat,
            v.flat,
            step=n_steps,
            learning_rate=0.0,
        )

    return {
        "engine": f"pyane {pyane.__version__} on {model.device.name}",
        "threads": pyane.num_threads(),
        "loss": loss,
        "compile_and_first_step_ms": round(ready_ms),
        **measure(step, args.runs, args.warm_up),
        **resident_mb(),
    }


def bench_torch(args: argparse.Namespace, tokens: np.ndarray) -> dict:
    import torch  # noqa: PLC0415 - optional
    from torch.nn import functional as F  # noqa: PLC0415
    from torch_llama import torch_llama  # noqa: PLC0415 - needs torch

    if args.threads:
        torch.set_num_threads(args.threads)
    config = PRESETS[args.preset]
    model = torch_llama(Parameters(config).init(np.random.default_rng(0)), args.seq)
    ids = torch.from_numpy(tokens[:, :-1].astype(np.int64))
    targets = torch.from_numpy(tokens[:, 1:].astype(np.int64)).flatten()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0, fused=True)
    losses = []

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(ids).flatten(0, 1), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    result = measure(step, args.runs, args.warm_up)
    return {
        "engine": f"PyTorch {torch.__version__} eager fp32, fused Adam",
        "threads": torch.get_num_threads(),
        "loss": losses[0],
        **result,
        **resident_mb(),
    }


def in_own_process(name: str) -> dict:
    """Runs one engine in a process of its own, so that neither's threads nor memory count twice."""
    command = [sys.executable, __file__, *sys.argv[1:], "--only", name]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        check=False,
        capture_output=True,
        text=True,
        cwd=HERE,
    )
    return done.stdout.strip() or "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--preset", default="stories260k")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--seq", type=int, default=256)
    parser.add_argument("--threads", type=int, default=0, help="0: each library's own choice")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--device", default="emulator")
    parser.add_argument("--no-torch", action="store_true")
    parser.add_argument("--only", choices=["pyane", "torch"], help=argparse.SUPPRESS)
    args = parser.parse_args()

    vocab_size = PRESETS[args.preset].vocab_size
    tokens = (
        np.random.default_rng(1)
        .integers(0, vocab_size, (args.batch, args.seq + 1))
        .astype(np.int32)
    )
    if args.only:
        bench = bench_pyane if args.only == "pyane" else bench_torch
        print(json.dumps(bench(args, tokens)))
        return
    results = [in_own_process("pyane")]
    expected = math.log(vocab_size)
    if not args.no_torch and importlib.util.find_spec("torch"):
        results.append(in_own_process("torch"))
        expected = results[1]["loss"]
    if abs(results[0]["loss"] - expected) > (0.01 if len(results) > 1 else 0.2):
        sys.exit(f"pyane's loss is {results[0]['loss']}, expected {expected}: nothing timed")
    where = {
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "commit": commit(),
        "command": " ".join(["bench_training_step.py", *sys.argv[1:]]),
    }
    print(json.dumps({"where": where, "results": results}, indent=2))


if __name__ == "__main__":
    main()
