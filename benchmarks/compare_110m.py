"""Losses and gradients of stories110m-shaped training beside PyTorch fp32, step by step.

    python benchmarks/compare_110m.py --steps 50 --threads 2
    python benchmarks/compare_110m.py --steps 5 --pipeline static --n-kv-heads 4

Both start from the same weights, see the same random tokens and take the same Adam steps; the learning
rate rises linearly to the lower of the report's, as a trainer's does (`--warmup-steps 0`: from the first
step, where small differences grow large; docs/training_kernels.md has the numbers). `--batches 10` shows
ten batches in turn, so that the losses fall. With `--control`, PyTorch trains a second time from the same
weights rounded to fp16 once, and in fp32 from there on: how far its losses go from its own shows how much
of a difference any small change makes by that step. Losses go to stderr as they come. Needs torch.

Exits with 1 when a loss is further than --tolerance from PyTorch's, or a gradient of the first step
further than fp16 storage explains: 40 roundings per layer, as tests/llama/test_model.py counts them, each
a relative error of at most 2^-11, add up to 2 * 2^-11 * sqrt(40 L) of the gradient's norm.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import pyane
from pyane._core import train as cpu
from pyane.llama import PRESETS, Config, Parameters, create_model

ADAM = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
SIZES = ("n_layers", "n_kv_heads", "vocab_size")
OPTIONS = ("pipeline", "weights_as", "taps", "cls", "rmsnorm_backward")


def model_config(args: argparse.Namespace) -> Config:
    changes = {name: getattr(args, name) for name in SIZES if getattr(args, name)}
    return dataclasses.replace(PRESETS[args.preset], **changes)


def batches(args: argparse.Namespace, config: Config) -> np.ndarray:
    rng = np.random.default_rng(1)
    shape = (args.batches or args.steps, args.batch, args.seq + 1)
    return rng.integers(0, config.vocab_size, shape).astype(np.int32)


def learning_rate(args: argparse.Namespace, step: int) -> float:
    return args.learning_rate * min(1.0, (step + 1) / max(args.warmup_steps, 1))


def run_pyane(args: argparse.Namespace, folder: Path) -> dict:
    if args.threads:
        pyane.set_num_threads(args.threads)
    config = model_config(args)
    parameters = Parameters(config).init(np.random.default_rng(0))
    options = {name: getattr(args, name) for name in OPTIONS}
    model = create_model(
        config,
        parameters,
        device=pyane.device(args.device),
        batch=args.batch,
        seq_len=args.seq,
        **options,
    )
    m, v = parameters.zeros_like(), parameters.zeros_like()
    losses, seconds = [], []
    all_tokens = batches(args, config)
    for step in range(args.steps):
        tokens = all_tokens[step % len(all_tokens)]
        start = time.perf_counter()
        model.zero_gradients()
        losses.append(model.loss_and_gradients(tokens[:, :-1], tokens[:, 1:]))
        if model.overflowed:
            sys.exit(f"step {step}: gradients overflowed")
        if step == 0:
            np.save(folder / "pyane.npy", model.gradients.flat)
        cpu.adam_update(
            parameters.flat,
            model.gradients.flat,
            m.flat,
            v.flat,
            step=step + 1,
            learning_rate=learning_rate(args, step),
            **ADAM,
        )
        model.upload_weights()
        seconds.append(time.perf_counter() - start)
        print(f"{args.only} {step} {losses[-1]:.6f}", file=sys.stderr, flush=True)
    return {"losses": losses, "seconds": seconds, "options": dataclasses.asdict(model.options)}


def run_torch(args: argparse.Namespace, folder: Path) -> dict:
    import torch  # noqa: PLC0415 - the other process does without
    from torch.nn import functional as F  # noqa: PLC0415
    from torch_llama import named_weights, torch_llama  # noqa: PLC0415

    if args.threads:
        torch.set_num_threads(args.threads)
    config = model_config(args)
    parameters = Parameters(config).init(np.random.default_rng(0))
    if args.only == "control":
        parameters.flat[...] = parameters.flat.astype(np.float16)
    model = torch_llama(parameters, args.seq)
    optimizer = torch.optim.Adam(
        model.parameters(),
        lr=args.learning_rate,
        betas=(ADAM["beta1"], ADAM["beta2"]),
        eps=ADAM["eps"],
    )
    losses, seconds = [], []
    all_tokens = batches(args, config)
    for step in range(args.steps):
        tokens = torch.from_numpy(all_tokens[step % len(all_tokens)].astype(np.int64))
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        if step == 0 and args.only == "torch":
            gradients = Parameters(config)
            for weight, layer, name in named_weights(model):
                target = gradients[name] if layer is None else gradients[name][layer]
                target[...] = weight.grad.numpy()
            np.save(folder / "torch.npy", gradients.flat)
            del gradients
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(args, step)
        optimizer.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
        print(f"{args.only} {step} {losses[-1]:.6f}", file=sys.stderr, flush=True)
    return {"losses": losses, "seconds": seconds, "options": {"torch": torch.__version__}}


def in_own_process(name: str, folder: Path) -> dict:
    """So that neither counts the other's memory or threads."""
    command = [sys.executable, __file__, *sys.argv[1:], "--only", name, "--folder", str(folder)]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{name} failed")
    return json.loads(done.stdout)


def gradient_errors(config: Config, folder: Path) -> dict[str, float]:
    ours, theirs = (
        Parameters(config, np.load(folder / f"{name}.npy")) for name in ("pyane", "torch")
    )
    return {
        name: float(np.linalg.norm(ours[name] - value) / np.linalg.norm(value))
        for name, value in theirs.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--preset", default="stories110m", choices=PRESETS)
    for name in SIZES:
        parser.add_argument("--" + name.replace("_", "-"), type=int, help="instead of the preset's")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--batches", type=int, default=0, help="0: new tokens for every step")
    parser.add_argument("--seq", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--warmup-steps", type=int, default=50)
    parser.add_argument("--control", action="store_true", help="PyTorch against itself, too")
    parser.add_argument("--tolerance", type=float, default=1e-2)
    parser.add_argument("--threads", type=int, default=0, help="0: each library's own choice")
    parser.add_argument("--device", default="emulator")
    for name in OPTIONS:
        parser.add_argument("--" + name.replace("_", "-"))
    parser.add_argument("--only", choices=["pyane", "torch", "control"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        run = run_pyane if args.only == "pyane" else run_torch
        print(json.dumps(run(args, args.folder)))
        return
    config = model_config(args)
    with tempfile.TemporaryDirectory() as folder:
        names = ["pyane", "torch"] + ["control"] * args.control
        found = {name: in_own_process(name, Path(folder)) for name in names}
        errors = gradient_errors(config, Path(folder))
    ours, theirs = (np.array(found[name]["losses"]) for name in ("pyane", "torch"))
    print(f"{config.size_text}; {found['pyane']['options']}; {found['torch']['options']}")
    control = np.array(found["control"]["losses"]) - theirs if args.control else None
    print("step  PyTorch fp32  pyane       difference" + "  control" * args.control)
    for step, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        line = f"{step:4d}  {b:12.6f}  {a:10.6f}  {a - b:+.6f}"
        print(line if control is None else f"{line}  {control[step]:+.6f}")
    allowed = 2 * 2.0**-11 * math.sqrt(40 * config.n_layers)
    print(f"\ngradients of step 0, relative error of the norm (allowed {allowed:.4f})")
    for name, error in errors.items():
        print(f"{name:24s}{error:.5f}")
    worst = float(np.abs(ours - theirs).max())
    times = {name: np.median(result["seconds"]) for name, result in found.items()}
    print(f"\nlargest difference of a loss {worst:.6f}, allowed {args.tolerance}")
    if control is not None:
        print(f"PyTorch's from its own, started from rounded weights: {np.abs(control).max():.6f}")
    print(f"seconds a step (median): pyane {times['pyane']:.2f}, PyTorch {times['torch']:.2f}")
    if worst > args.tolerance or max(errors.values()) > allowed:
        sys.exit("outside what is allowed")


if __name__ == "__main__":
    main()
