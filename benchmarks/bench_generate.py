"""Tokens per second of generation: with a cache of keys and values, and without.

    python benchmarks/bench_generate.py --preset stories260k
    python benchmarks/bench_generate.py --preset stories110m --prompt 64 --tokens 32 --threads 2

Four ways to the same greedy text of a model with random weights, each in a process of its own: all
positions computed again for every token (`Model`), the decoder with single tokens one and sixteen
positions wide (as on the emulator and as on the engine), and, if they are installed, transformers and
PyTorch in fp32 with their own cache. Nothing is reported unless their logits of the first token agree.
Compilation, the prompt and the tokens are timed apart.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import pyane
from pyane.llama import PRESETS, Decoder, Model, Parameters, checkpoint

WAYS = {
    "full": "every position again for every token",
    "decoder": "cache, single tokens one wide",
    "decoder16": "cache, single tokens sixteen wide",
    "transformers": "transformers, fp32, its cache",
}


def parameters_of(preset: str) -> Parameters:
    """Large enough to make the next token depend on the text."""
    parameters = Parameters(PRESETS[preset]).init(np.random.default_rng(0))
    parameters.flat *= 2
    return parameters


def time_pyane(way: str, args: argparse.Namespace) -> dict[str, Any]:
    if args.threads:
        pyane.set_num_threads(args.threads)
    parameters = parameters_of(args.preset)
    config, device = parameters.config, pyane.device(args.device)
    prompt = prompt_of(args)

    def make() -> Model | Decoder:
        if way == "full":
            return Model(config, parameters, device)
        return Decoder(config, parameters, device, pad_single=way == "decoder16")

    with make() as model:
        text = list(prompt)
        for _ in range(args.tokens):  # compiles what the timed run needs
            text.append(int(model.next_token_logits(text).argmax()))
        if isinstance(model, Decoder):
            model.reset()
        start = time.perf_counter()
        first = model.next_token_logits(prompt)
        prompt_ms = 1e3 * (time.perf_counter() - start)
        text = [*prompt, int(first.argmax())]
        times = []
        for _ in range(args.tokens - 1):
            start = time.perf_counter()
            text.append(int(model.next_token_logits(text).argmax()))
            times.append(time.perf_counter() - start)
    return {"logits": first.tolist(), "threads": pyane.num_threads(), **summary(prompt_ms, times)}


def time_transformers(args: argparse.Namespace) -> dict[str, Any]:
    import torch  # noqa: PLC0415 - optional
    import transformers  # noqa: PLC0415

    if args.threads:
        torch.set_num_threads(args.threads)
    parameters = parameters_of(args.preset)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.write(Path(folder) / "hf", parameters.config, parameters)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            Path(folder) / "hf", dtype=torch.float32
        ).eval()
    with torch.inference_mode():
        for _ in range(2):  # the first to warm up
            start = time.perf_counter()
            result = model(torch.tensor([prompt_of(args)]), use_cache=True, logits_to_keep=1)
            prompt_ms = 1e3 * (time.perf_counter() - start)
        first = result.logits[0, -1]
        times = []
        for _ in range(args.tokens - 1):
            start = time.perf_counter()
            token = result.logits[:, -1:].argmax(-1)
            result = model(token, past_key_values=result.past_key_values, use_cache=True)
            times.append(time.perf_counter() - start)
    return {
        "logits": first.tolist(),
        "threads": torch.get_num_threads(),
        **summary(prompt_ms, times),
    }


def summary(prompt_ms: float, times: list[float]) -> dict[str, float]:
    return {
        "prompt_ms": round(prompt_ms, 2),
        "token_median_ms": round(1e3 * statistics.median(times), 3),
        "token_best_ms": round(1e3 * min(times), 3),
        "tokens_per_second": round(1 / statistics.median(times), 1),
    }


def prompt_of(args: argparse.Namespace) -> list[int]:
    vocab_size = PRESETS[args.preset].vocab_size
    return np.random.default_rng(1).integers(0, vocab_size, args.prompt).tolist()


def in_own_process(way: str) -> dict[str, Any]:
    command = [sys.executable, __file__, *sys.argv[1:], "--only", way]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--preset", default="stories260k", choices=list(PRESETS))
    parser.add_argument("--prompt", type=int, default=32, help="tokens of the prompt")
    parser.add_argument("--tokens", type=int, default=64, help="tokens to generate")
    parser.add_argument("--threads", type=int, default=0, help="0: each library's own choice")
    parser.add_argument("--device", default="emulator")
    parser.add_argument("--no-torch", action="store_true")
    parser.add_argument("--only", choices=list(WAYS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        is_ours = args.only != "transformers"
        print(json.dumps(time_pyane(args.only, args) if is_ours else time_transformers(args)))
        return
    ways = [way for way in WAYS if way != "transformers"]
    has_torch = all(importlib.util.find_spec(name) for name in ("torch", "transformers"))
    if has_torch and not args.no_torch:
        ways.append("transformers")
    results = {way: in_own_process(way) for way in ways}
    reference = np.array(results[ways[-1]].pop("logits"))
    for way in ways[:-1]:
        error = np.linalg.norm(np.array(results[way].pop("logits")) - reference)
        # 20 fp16 roundings a layer of 2^-11 each, no layer doubling them: tests/llama/test_decode.py.
        allowed = 2 * 2**-11 * np.sqrt(20 * PRESETS[args.preset].n_layers)
        if error > 2 * allowed * np.linalg.norm(reference):
            sys.exit(f"{way}: logits are off by {error}: nothing reported")
    slowest = results["full"]["token_median_ms"]
    for way, result in results.items():
        result["times_as_fast"] = round(slowest / result["token_median_ms"], 2)
        result["what"] = WAYS[way]
    where = {
        "cores": os.cpu_count(),
        "load": [round(x, 1) for x in os.getloadavg()],
        "os": platform.platform(),
        "pyane": pyane.__version__,
        "command": " ".join(["bench_generate.py", *sys.argv[1:]]),
    }
    print(json.dumps({"where": where, "results": results}, indent=2))


if __name__ == "__main__":
    main()
