"""Training steps of stories110m, the same in pyane, PyTorch and JAX: for benchmarks.emulator.training.

A step is forward, backward and Adam of one micro-batch of 256 random tokens, all from the same weights;
`SUBJECTS[name](threads)` makes the model, runs one step, and gives its loss and the step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from pyane.llama import PRESETS, Config, Parameters

CONFIG: Config = PRESETS["stories110m"]
POSITIONS = 256
LEARNING_RATE = 1e-4
ADAM = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
LAYER_WEIGHTS = ("rms_att_weight", "wq", "wk", "wv", "wo", "rms_ffn_weight", "w1", "w2", "w3")

Step = Callable[[], dict[str, float] | None]
"""May return seconds of its parts."""
Subject = Callable[[int], tuple[dict[str, Any], Step]]


def tokens() -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets, [1, S]."""
    drawn = np.random.default_rng(1).integers(0, CONFIG.vocab_size, (1, POSITIONS + 1))
    return drawn[:, :-1].astype(np.int32), drawn[:, 1:].astype(np.int32)


def parameters() -> Parameters:
    return Parameters(CONFIG).init(np.random.default_rng(0))


def rope() -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine, [S, D / 2]."""
    head_dim = CONFIG.dim // CONFIG.n_heads
    angles = np.outer(
        np.arange(POSITIONS), CONFIG.rope_theta ** -(np.arange(0, head_dim, 2) / head_dim)
    )
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def pyane_step(pipeline: str, adam_update: Callable[..., None] | None = None) -> Subject:
    """With an `adam_update` that does, besides, what a caller wants."""

    def make(threads: int) -> tuple[dict[str, Any], Step]:
        import pyane  # noqa: PLC0415 - each subject imports what it needs
        from pyane._core import train as cpu  # noqa: PLC0415
        from pyane.llama import create_model  # noqa: PLC0415

        pyane.set_num_threads(threads)
        weights = parameters()
        model = create_model(
            CONFIG, weights, device=pyane.device("emulator"), seq_len=POSITIONS, pipeline=pipeline
        )
        ids, targets = tokens()
        m, v = weights.zeros_like(), weights.zeros_like()
        losses: list[float] = []
        is_uploaded = [False]

        def step() -> dict[str, float]:
            start = time.perf_counter()
            if not is_uploaded[0]:
                model.upload_weights()
            uploaded = time.perf_counter()
            losses.append(model.loss_and_gradients(ids, targets))
            with model.half_weights() as halves:  # As the trainer does.
                (adam_update or cpu.adam_update)(
                    weights.flat,
                    model.gradients.flat,
                    m.flat,
                    v.flat,
                    step=len(losses),
                    learning_rate=LEARNING_RATE,
                    zero_grads=True,  # Likewise; the first gradients are zero.
                    halves=halves or [],
                    **ADAM,
                )
            is_uploaded[0] = halves is not None
            return {"upload": uploaded - start}

        step()
        return {"engine": f"pyane {pyane.__version__}, {pipeline}", "loss": losses[0]}, step

    return make


def torch_step(*, compiled: bool = False, bf16: bool = False) -> Subject:
    def make(threads: int) -> tuple[dict[str, Any], Step]:
        import torch  # noqa: PLC0415
        from torch.nn import functional as F  # noqa: PLC0415

        torch.set_num_threads(threads)
        source = parameters()
        embedding, final = (
            torch.tensor(source[name], requires_grad=True)
            for name in ("token_embedding_table", "rms_final_weight")
        )
        layers = [
            {name: torch.tensor(source[name][i], requires_grad=True) for name in LAYER_WEIGHTS}
            for i in range(CONFIG.n_layers)
        ]
        weights = [embedding, final, *(w for layer in layers for w in layer.values())]
        del source
        cos, sin = (torch.from_numpy(table) for table in rope())
        ids, targets = (torch.from_numpy(t.astype(np.int64)) for t in tokens())
        optimizer = torch.optim.Adam(
            weights, LEARNING_RATE, (ADAM["beta1"], ADAM["beta2"]), ADAM["eps"], fused=True
        )

        def turn(x: torch.Tensor) -> torch.Tensor:
            even, odd = x[..., ::2], x[..., 1::2]
            return torch.stack((even * cos - odd * sin, odd * cos + even * sin), -1).flatten(-2)

        def heads(x: torch.Tensor) -> torch.Tensor:
            return x.unflatten(-1, (CONFIG.n_heads, -1)).transpose(1, 2)

        def norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
            return F.rms_norm(x, x.shape[-1:], weight, CONFIG.norm_eps)

        def loss_of(ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            x = F.embedding(ids, embedding)
            for w in layers:
                h = norm(x, w["rms_att_weight"])
                q, k, v = (heads(F.linear(h, w[name])) for name in ("wq", "wk", "wv"))
                a = F.scaled_dot_product_attention(turn(q), turn(k), v, is_causal=True)
                x = x + F.linear(a.transpose(1, 2).flatten(-2), w["wo"])
                h = norm(x, w["rms_ffn_weight"])
                x = x + F.linear(F.silu(F.linear(h, w["w1"])) * F.linear(h, w["w3"]), w["w2"])
            logits = F.linear(norm(x, final), embedding)
            return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())

        if compiled:
            loss_of = torch.compile(loss_of)
        losses: list[float] = []

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = loss_of(ids, targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())

        step()
        kind = ("torch.compile" if compiled else "eager") + (" bf16 autocast" if bf16 else " fp32")
        return {"engine": f"PyTorch {torch.__version__} {kind}", "loss": losses[0]}, step

    return make


def jax_step(_threads: int) -> tuple[dict[str, Any], Step]:
    """Threads: as many as the process may use cores."""
    import jax  # noqa: PLC0415
    from jax import numpy as jnp  # noqa: PLC0415

    source = parameters()
    weights: Any = {
        "embedding": jnp.asarray(source["token_embedding_table"]),
        "final": jnp.asarray(source["rms_final_weight"]),
        "layers": [
            {name: jnp.asarray(source[name][i]) for name in LAYER_WEIGHTS}
            for i in range(CONFIG.n_layers)
        ],
    }
    del source
    cos, sin = (jnp.asarray(table) for table in rope())
    causal = jnp.tril(jnp.ones((POSITIONS, POSITIONS), bool))
    ids, targets = (jnp.asarray(t[0]) for t in tokens())

    def turn(x: Any) -> Any:
        even, odd = x[..., ::2], x[..., 1::2]
        return jnp.stack((even * cos - odd * sin, odd * cos + even * sin), -1).reshape(x.shape)

    def norm(x: Any, weight: Any) -> Any:
        return weight * x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + CONFIG.norm_eps)

    def heads(x: Any) -> Any:
        return x.reshape(POSITIONS, CONFIG.n_heads, -1).swapaxes(0, 1)

    def loss_of(w: Any) -> Any:
        x = w["embedding"][ids]
        for layer in w["layers"]:
            h = norm(x, layer["rms_att_weight"])
            q, k, v = (heads(h @ layer[name].T) for name in ("wq", "wk", "wv"))
            scores = turn(q) @ turn(k).swapaxes(1, 2) / math.sqrt(q.shape[-1])
            mixed = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf)) @ v
            x = x + mixed.swapaxes(0, 1).reshape(POSITIONS, -1) @ layer["wo"].T
            h = norm(x, layer["rms_ffn_weight"])
            x = x + (jax.nn.silu(h @ layer["w1"].T) * (h @ layer["w3"].T)) @ layer["w2"].T
        logits = norm(x, w["final"]) @ w["embedding"].T
        picked = jnp.take_along_axis(logits, targets[:, None], 1)[:, 0]
        return (jax.nn.logsumexp(logits, 1) - picked).mean()

    def update(w: Any, m: Any, v: Any, n: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(w)
        beta1, beta2 = ADAM["beta1"], ADAM["beta2"]
        m = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, m, gradients)
        v = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, v, gradients)
        rate = LEARNING_RATE * jnp.sqrt(1 - beta2**n) / (1 - beta1**n)
        eps = ADAM["eps"] * jnp.sqrt(1 - beta2**n)
        w = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + eps), w, m, v)
        return w, m, v, loss

    jitted = jax.jit(update, donate_argnums=(0, 1, 2))
    state = [weights, jax.tree.map(jnp.zeros_like, weights), jax.tree.map(jnp.zeros_like, weights)]
    del weights
    losses: list[float] = []

    def step() -> None:
        *state[:], loss = jitted(*state, float(len(losses) + 1))
        losses.append(float(loss))
        jax.block_until_ready(state)

    step()
    return {"engine": f"JAX {jax.__version__} jit fp32", "loss": losses[0]}, step


SUBJECTS: dict[str, Subject] = {
    "pyane-dynamic": pyane_step("dynamic"),
    "pyane-static": pyane_step("static"),
    "torch-eager": torch_step(),
    "torch-compile": torch_step(compiled=True),
    "torch-eager-bf16": torch_step(bf16=True),
    "jax-jit": jax_step,
}
