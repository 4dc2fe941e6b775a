"""What is fused into the training kernels, and what it is worth: each choice beside its alternative.

    python benchmarks/bench_fusion.py                     # stories110m
    python benchmarks/bench_fusion.py --preset stories15m --threads 2

Two parts: one layer's forward kernels split where they are fused, and whole training steps of a model
of --layers layers with every option. Alternatives that only move the same operations must give the
same bits, the others the same loss to 1e-3, before anything is timed. Alternatives take turns, so that
a busy machine disturbs them alike. CPU time is that of all threads together: with --threads 1 it says
most where other programs run, too.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

import pyane
from pyane.llama import PRESETS, Config, Parameters, create_model
from pyane.llama.kernels import (
    FORWARD,
    Interface,
    KernelDefinition,
    KernelShape,
    building_blocks,
    static_forward_kernels,
)

Steps = dict[str, Callable[[], None]]


def take_turns(steps: Steps, runs: int) -> dict[str, dict[str, float]]:
    times: dict[str, list[float]] = {name: [] for name in steps}
    cpu_times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for _ in range(runs):
        for name, step in steps.items():
            start, cpu_start = time.perf_counter(), time.process_time()
            step()
            times[name].append(1e3 * (time.perf_counter() - start))
            cpu_times[name].append(1e3 * (time.process_time() - cpu_start))
    return {
        name: {
            "best_ms": round(min(t), 2),
            "median_ms": round(statistics.median(t), 2),
            "median_cpu_ms": round(statistics.median(cpu_times[name]), 2),
        }
        for name, t in times.items()
    }


def norm_kernel(name: str, x: str, weight: str, result: str) -> KernelDefinition:
    def body(shape: KernelShape, **given: object) -> tuple[object, ...]:
        eps = shape.config.norm_eps
        return (building_blocks.rmsnorm(given[x], given[weight], eps, name=result),)

    return KernelDefinition(name, body, (x,), (weight,), (result,))


def without_norm(kernel: KernelDefinition, weight: str, result: str) -> KernelDefinition:
    """The kernel reading the normalised activation instead of making it."""

    def body(shape: KernelShape, **given: object) -> tuple[object, ...]:
        normalised = given.pop(result)
        rmsnorm = building_blocks.rmsnorm
        building_blocks.rmsnorm = lambda *_, **__: normalised
        try:
            results = kernel.body(shape, **given, **{weight: None})
        finally:
            building_blocks.rmsnorm = rmsnorm
        kept = zip(kernel.outputs, results, strict=True)
        return tuple(value for name, value in kept if name != result)

    return replace(
        kernel,
        body=body,
        inputs=(*kernel.inputs, result),
        weights=tuple(name for name in kernel.weights if name != weight),
        outputs=tuple(name for name in kernel.outputs if name != result),
    )


def without_projection(kernel: KernelDefinition) -> KernelDefinition:
    """sdpaFwd up to `attn`."""

    def body(shape: KernelShape, **given: object) -> tuple[object, ...]:
        results = kernel.body(shape, **given, wo=given["wq"])
        kept = zip(kernel.outputs, results, strict=True)
        return tuple(value for name, value in kept if name != "xmid")

    return replace(
        kernel,
        body=body,
        weights=tuple(name for name in kernel.weights if name != "wo"),
        outputs=tuple(name for name in kernel.outputs if name != "xmid"),
    )


def projection() -> KernelDefinition:
    def body(_: KernelShape, **given: object) -> tuple[object, ...]:
        from pyane import mil  # noqa: PLC0415 - beside its only use

        y = building_blocks.linear(given["wo"], given["attn"])
        return (mil.add(x=given["xin"], y=y, name="xmid"),)

    return KernelDefinition("wo", body, ("attn", "xin"), ("wo",), ("xmid",))


class Layer:
    """Kernels of one layer, one after the other, on surfaces of their own."""

    def __init__(
        self, kernels: tuple[KernelDefinition, ...], shape: KernelShape, device: pyane.Device
    ) -> None:
        dims = shape.tensor_shapes()
        n_bytes = max(2 * int(np.prod(d)) for d in dims.values())
        self.arrays: dict[str, np.ndarray] = {}
        surfaces: dict[str, pyane.Surface] = {}
        self.requests = []
        for kernel in kernels:
            for name in kernel.inputs + kernel.weights + kernel.outputs:
                if name not in surfaces:
                    surfaces[name] = pyane.Surface(n_bytes)
                    self.arrays[name] = surfaces[name].array(dims[name], np.float16)
            compiled = device.compile(Interface(kernel, shape).program())
            self.requests.append(
                compiled.bind(
                    {name: surfaces[name] for name in kernel.inputs + kernel.weights},
                    {name: surfaces[name] for name in kernel.outputs},
                )
            )
        rng = np.random.default_rng(0)
        for name in sorted({n for k in kernels for n in (*k.weights, "xin")}):
            values = rng.standard_normal(dims[name], dtype=np.float32)
            self.arrays[name][...] = 1 if name.startswith("rms") else values * 0.05

    def run(self) -> None:
        pyane.evaluate(self.requests)


def bench_layer(config: Config, args: argparse.Namespace, device: pyane.Device) -> dict:
    shape = KernelShape(config, args.batch, args.seq)
    sdpa, w13, w2 = FORWARD
    variants = {
        "as it is: sdpaFwd, ffnW13, ffnW2": FORWARD,
        "feed-forward in one (static)": static_forward_kernels(config),
        "RMSNorm by itself": (
            norm_kernel("rms1", "xin", "rmsatt", "xnatt"),
            without_norm(sdpa, "rmsatt", "xnatt"),
            norm_kernel("rms2", "xmid", "rmsffn", "xnffn"),
            without_norm(w13, "rmsffn", "xnffn"),
            w2,
        ),
        "Wo by itself": (without_projection(sdpa), projection(), w13, w2),
    }
    layers = {name: Layer(kernels, shape, device) for name, kernels in variants.items()}
    for layer in layers.values():
        layer.run()
    first, *others = layers.values()
    for other in others:
        if not np.array_equal(first.arrays["xout"], other.arrays["xout"]):
            sys.exit("the variants differ: nothing timed")
    return take_turns({name: layer.run for name, layer in layers.items()}, args.runs)


def bench_steps(config: Config, args: argparse.Namespace, device: pyane.Device) -> dict:
    config = replace(config, n_layers=args.layers)
    variants: dict[str, dict[str, str]] = {
        "dynamic": {"weights_as": "inputs", "taps": "outputs"},
        "dynamic, packed": {"weights_as": "packed", "taps": "outputs"},
        "dynamic, concat": {"weights_as": "inputs", "taps": "concat"},
        "dynamic, packed, concat": {"weights_as": "packed", "taps": "concat"},
        "static (without compiling)": {"pipeline": "static"},
        "dynamic, cls=ane": {"cls": "ane"},
        "dynamic, rmsnorm_backward=ane": {"rmsnorm_backward": "ane"},
    }
    rng = np.random.default_rng(1)
    tokens = rng.integers(0, config.vocab_size, (args.batch, args.seq + 1)).astype(np.int32)
    steps: Steps = {}
    losses = {}
    phases: dict[str, dict[str, float]] = {}
    models = {}
    parameters = Parameters(config).init(np.random.default_rng(0))
    for name, options in variants.items():
        model = create_model(
            config, parameters, device=device, batch=args.batch, seq_len=args.seq, **options
        )
        models[name] = model

        def step(model: object = model) -> None:
            model.zero_gradients()
            model.loss_and_gradients(tokens[:, :-1], tokens[:, 1:])

        losses[name] = model.loss_and_gradients(tokens[:, :-1], tokens[:, 1:])
        steps[name] = step
    for name, loss in losses.items():
        exact = "ane" not in name
        if abs(loss - losses["dynamic"]) > (0.0 if exact else 1e-3):
            sys.exit(f"{name}: loss {loss}, not {losses['dynamic']}: nothing timed")
    found = take_turns(steps, args.runs)
    for name, model in models.items():
        phases[name] = {key: round(1e3 * value, 1) for key, value in model.timings.items()}
    return {name: {**times, "last_ms_by_phase": phases[name]} for name, times in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--preset", default="stories110m", choices=PRESETS)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--seq", type=int, default=256)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as cores")
    parser.add_argument("--device", default="emulator")
    args = parser.parse_args()
    if args.threads:
        pyane.set_num_threads(args.threads)
    device = pyane.device(args.device)
    config = PRESETS[args.preset]
    where = {
        "device": device.name,
        "threads": pyane.num_threads(),
        "os": platform.platform(),
        "command": " ".join(["bench_fusion.py", *sys.argv[1:]]),
    }
    layer = bench_layer(config, args, device)
    print(json.dumps({"where": where, "one layer forward": layer}, indent=2))
    print(json.dumps({"steps": bench_steps(config, args, device)}, indent=2))


if __name__ == "__main__":
    main()
