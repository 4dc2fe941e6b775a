"""Resident memory of training: after construction, after some steps, and at its peak.

    python benchmarks/bench_training_memory.py                              # stories110m, dynamic
    python benchmarks/bench_training_memory.py --pipeline static --limit-gb 3.4

One step is forward, backward, Adam and upload of one micro-batch of random tokens, as the trainer does
it: weights, gradients and both moments in fp32, fp16 weights and activations on the device. GB is 1e9
bytes. Exits with 1 when the peak is above --limit-gb, or when losses do not fall as they should.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import resource
import sys
from pathlib import Path

import numpy as np

import pyane
from pyane._core import train as cpu
from pyane.llama import PRESETS, Parameters, create_model


def resident_gb() -> float:
    """Now; Linux only, elsewhere the peak."""
    status = Path("/proc/self/status")
    if not status.exists():
        return peak_gb()
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024 / 1e9


def peak_gb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--preset", default="stories110m", choices=PRESETS)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--seq", type=int, default=256)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as cores")
    parser.add_argument("--device", default="emulator")
    parser.add_argument("--limit-gb", type=float, default=2.6)
    for name in ("pipeline", "weights-as", "blobs", "taps", "cls", "rmsnorm-backward"):
        parser.add_argument(f"--{name}")
    args = parser.parse_args()
    if args.threads:
        pyane.set_num_threads(args.threads)
    base = resident_gb()
    config = PRESETS[args.preset]
    parameters = Parameters(config).init(np.random.default_rng(0))
    model = create_model(
        config,
        parameters,
        device=pyane.device(args.device),
        batch=args.batch,
        seq_len=args.seq,
        pipeline=args.pipeline,
        weights_as=args.weights_as,
        blobs=args.blobs,
        taps=args.taps,
        cls=args.cls,
        rmsnorm_backward=args.rmsnorm_backward,
    )
    m, v = parameters.zeros_like(), parameters.zeros_like()
    rng = np.random.default_rng(1)
    tokens = rng.integers(0, config.vocab_size, (args.batch, args.seq + 1)).astype(np.int32)
    losses, resident = [], []
    for step in range(args.steps):
        losses.append(model.loss_and_gradients(tokens[:, :-1], tokens[:, 1:]))
        with model.half_weights() as halves:
            cpu.adam_update(
                parameters.flat,
                model.gradients.flat,
                m.flat,
                v.flat,
                step=step + 1,
                learning_rate=3e-4,
                zero_grads=True,
                halves=halves or [],
            )
        if halves is None:
            model.upload_weights()
        resident.append(round(resident_gb(), 3))
    fp32 = 4 * 4 * config.n_parameters / 1e9
    result = {
        "preset": args.preset,
        "options": vars(model.options),
        "python_and_libraries_gb": round(base, 3),
        "weights_gradients_moments_gb": round(fp32, 3),
        "resident_after_each_step_gb": resident,
        "peak_gb": round(peak_gb(), 3),
        "limit_gb": args.limit_gb,
        "losses": losses,
        "ms_by_phase": {name: round(1e3 * s) for name, s in model.timings.items()},
        "os": platform.platform(),
        "device": model.device.name,
    }
    print(json.dumps(result, indent=2))
    if abs(losses[0] - math.log(config.vocab_size)) > 0.2 or losses[-1] >= losses[0]:
        sys.exit(f"the losses are wrong: {losses}")
    if result["peak_gb"] > args.limit_gb:
        sys.exit(f"peak {result['peak_gb']} GB is above {args.limit_gb} GB")


if __name__ == "__main__":
    main()
