"""GFLOP/s of matmul on the emulator, beside the CPU's measured multiply-add ceiling.

    python benchmarks/bench_gemm.py [--threads 1] [--seconds 0.3]

fp16 operands, fp32 sums, one rounding to fp16. Each product is checked against fp64 first; a wrong
one is not timed. A constant operand is packed when compiling, a dynamic one at every evaluation.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import pyane
from pyane._core import base

# Products of a Llama 2 layer at 110M parameters (weights [F, C] times activations [C, S]), its
# attention (12 heads), a weight gradient, and single-token decoding: batch, m, k, n.
SHAPES = [
    (1, 768, 768, 256),
    (1, 2048, 768, 256),
    (1, 768, 2048, 256),
    (1, 512, 512, 1024),
    (1, 768, 256, 768),
    (12, 256, 64, 256),
    (12, 256, 256, 64),
    (1, 768, 768, 1),
]
HEADER = "program(1.3)\n[buildInfo = dict<string, string>({})]\n"


def program(batch: int, m: int, k: int, n: int) -> str:
    return (
        f"{HEADER}{{\n    func main<ios18>(tensor<fp16, [{batch}, {m}, {k}]> a, "
        f"tensor<fp16, [{batch}, {k}, {n}]> b) {{\n"
        f"        tensor<fp16, [{batch}, {m}, {n}]> c = matmul(x = a, y = b)"
        '[name = string("c")];\n    } -> (c);\n}\n'
    )


def check(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    """Half a unit of fp16 for the result, one of fp32 per term of the sum."""
    exact = np.matmul(a.astype(np.float64), b.astype(np.float64))
    magnitude = np.matmul(abs(a).astype(np.float64), abs(b).astype(np.float64))
    bound = 2.0**-11 * abs(exact) + a.shape[-1] * 2.0**-23 * magnitude + 2.0**-25
    if not (abs(c - exact) <= bound).all():
        sys.exit(f"wrong result for {a.shape} @ {b.shape}: not timed")


def run(shape: tuple[int, int, int, int], seconds: float) -> list[float]:
    """Seconds of each evaluation."""
    batch, m, k, n = shape
    kernel = pyane.device("emulator").compile(program(batch, m, k, n))
    rng = np.random.default_rng(0)
    kernel.inputs["a"][...] = rng.normal(size=(batch, m, k))
    kernel.inputs["b"][...] = rng.normal(size=(batch, k, n))
    kernel.evaluate()
    check(kernel.inputs["a"], kernel.inputs["b"], kernel.outputs["c"])
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        kernel.evaluate()
        times.append(time.perf_counter() - start)
    return times


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def commit() -> str:
    result = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout.strip() or "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.3, help="for each product")
    arguments = parser.parse_args()
    base.set_num_threads(arguments.threads)
    roof = base.measure_fma_gflops()
    print(f"{cpu_name()}, {platform.system()} {platform.release()}, {base.isa()}")
    print(f"pyane {pyane.__version__} ({commit()}), NumPy {np.__version__}")
    print(f"{arguments.threads} threads; one thread's multiply-add ceiling {roof:.0f} GFLOP/s\n")
    print(f"{'batch x m x k x n':24} {'median':>8} {'best':>8} GFLOP/s   of ceiling   runs")
    for shape in SHAPES:
        times = run(shape, arguments.seconds)
        work = 2e-9 * np.prod(shape)
        median, best = work / np.median(times), work / min(times)
        share = median / (roof * arguments.threads), best / (roof * arguments.threads)
        name = " x ".join(map(str, shape))
        print(
            f"{name:24} {median:8.1f} {best:8.1f}         {share[0]:4.0%} {share[1]:4.0%} {len(times):6}"
        )


if __name__ == "__main__":
    main()
