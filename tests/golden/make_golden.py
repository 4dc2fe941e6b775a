"""Writes llama_*.npz: a tiny Llama 2 in PyTorch, its logits, loss, gradients, ten Adam steps.

    python tests/golden/make_golden.py [CASE...]

Needs torch; the tests that read the files do not. Each file holds
    config        JSON of pyane.llama.Config's fields
    versions      JSON: torch, numpy
    weight/NAME   fp32, llama2.c names and layouts
    tokens        [10, B, S + 1]: one batch per step, two in turn; inputs [:, :, :-1], targets [:, :, 1:]
    targets       [10, B, S]: as above, some of them -1 (ignored)
    logits, loss, grad/NAME   of the first batch, computed in fp64, stored in fp32 (loss fp64)
    adam_losses   [10] fp64: loss before each of ten Adam steps, one batch each
    adam          JSON: learning_rate, beta1, beta2, eps
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

ADAM = {"learning_rate": 2e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
N_STEPS = 10

# Sequence lengths that are no multiple of 16, one of them prime; head dims 6 and 8.
CASES = {
    "mha_tied": {
        "config": {
            "dim": 32,
            "hidden_dim": 44,
            "n_layers": 2,
            "n_heads": 4,
            "n_kv_heads": 4,
            "vocab_size": 31,
            "seq_len": 19,
            "tied_classifier": True,
        },
        "batch": 2,
    },
    "gqa_untied": {
        "config": {
            "dim": 36,
            "hidden_dim": 40,
            "n_layers": 3,
            "n_heads": 6,
            "n_kv_heads": 2,
            "vocab_size": 37,
            "seq_len": 21,
            "tied_classifier": False,
        },
        "batch": 3,
    },
    "gqa_tied": {
        "config": {
            "dim": 32,
            "hidden_dim": 52,
            "n_layers": 2,
            "n_heads": 8,
            "n_kv_heads": 1,
            "vocab_size": 29,
            "seq_len": 13,
            "tied_classifier": True,
        },
        "batch": 1,
    },
    # As Qwen3: heads wider than dim / n_heads (of which 5 does not divide 36), QK-norm.
    "qk_norm": {
        "config": {
            "dim": 36,
            "hidden_dim": 44,
            "n_layers": 2,
            "n_heads": 10,
            "n_kv_heads": 5,
            "vocab_size": 31,
            "seq_len": 17,
            "tied_classifier": True,
            "head_dim": 8,
            "qk_norm": True,
            "norm_eps": 1e-6,
            "rope_theta": 1e6,
        },
        "batch": 2,
    },
}
NORM_EPS = 1e-5
ROPE_THETA = 10000.0


class Layer(nn.Module):
    def __init__(self, c: dict) -> None:
        super().__init__()
        head_dim = c.get("head_dim", c["dim"] // c["n_heads"])
        q_dim, kv_dim = head_dim * c["n_heads"], head_dim * c["n_kv_heads"]
        self.eps = c.get("norm_eps", NORM_EPS)
        self.n_heads, self.n_kv_heads = c["n_heads"], c["n_kv_heads"]
        self.rms_att_weight = nn.Parameter(torch.empty(c["dim"]))
        self.rms_ffn_weight = nn.Parameter(torch.empty(c["dim"]))
        self.qk_norm = c.get("qk_norm", False)
        if self.qk_norm:
            self.rms_q_weight = nn.Parameter(torch.empty(head_dim))
            self.rms_k_weight = nn.Parameter(torch.empty(head_dim))
        self.wq = nn.Linear(c["dim"], q_dim, bias=False)
        self.wk = nn.Linear(c["dim"], kv_dim, bias=False)
        self.wv = nn.Linear(c["dim"], kv_dim, bias=False)
        self.wo = nn.Linear(q_dim, c["dim"], bias=False)
        self.w1 = nn.Linear(c["dim"], c["hidden_dim"], bias=False)
        self.w2 = nn.Linear(c["hidden_dim"], c["dim"], bias=False)
        self.w3 = nn.Linear(c["dim"], c["hidden_dim"], bias=False)

    def heads(self, x: torch.Tensor, n: int) -> torch.Tensor:
        return x.unflatten(-1, (n, -1)).transpose(1, 2)  # [B, heads, S, D]

    def forward(self, x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
        h = F.rms_norm(x, x.shape[-1:], self.rms_att_weight, self.eps)

        def rotate(y: torch.Tensor) -> torch.Tensor:
            pairs = torch.view_as_complex(y.unflatten(-1, (-1, 2)).contiguous())
            return torch.view_as_real(pairs * turn).flatten(-2)

        q = self.heads(self.wq(h), self.n_heads)
        k = self.heads(self.wk(h), self.n_kv_heads)
        if self.qk_norm:
            q = F.rms_norm(q, q.shape[-1:], self.rms_q_weight, self.eps)
            k = F.rms_norm(k, k.shape[-1:], self.rms_k_weight, self.eps)
        q, k = rotate(q), rotate(k)
        v = self.heads(self.wv(h), self.n_kv_heads)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.wo(a.transpose(1, 2).flatten(-2))
        h = F.rms_norm(x, x.shape[-1:], self.rms_ffn_weight, self.eps)
        return x + self.w2(F.silu(self.w1(h)) * self.w3(h))


class Llama(nn.Module):
    def __init__(self, c: dict) -> None:
        super().__init__()
        self.token_embedding_table = nn.Embedding(c["vocab_size"], c["dim"])
        self.layers = nn.ModuleList(Layer(c) for _ in range(c["n_layers"]))
        self.rms_final_weight = nn.Parameter(torch.empty(c["dim"]))
        self.wcls = None if c["tied_classifier"] else nn.Linear(c["dim"], c["vocab_size"], False)
        head_dim = c.get("head_dim", c["dim"] // c["n_heads"])
        self.eps, theta = c.get("norm_eps", NORM_EPS), c.get("rope_theta", ROPE_THETA)
        exponents = torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim
        angles = torch.outer(torch.arange(c["seq_len"]).double(), theta**-exponents)
        self.turn = torch.polar(torch.ones_like(angles), angles)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.token_embedding_table(tokens)
        for layer in self.layers:
            x = layer(x, self.turn)
        x = F.rms_norm(x, x.shape[-1:], self.rms_final_weight, self.eps)
        head = self.token_embedding_table.weight if self.wcls is None else self.wcls.weight
        return F.linear(x, head)

    def tensors(self, *, grad: bool) -> dict[str, np.ndarray]:
        """By llama2.c name; per-layer weights stacked."""

        def value(p: nn.Parameter) -> np.ndarray:
            return (p.grad if grad else p).detach().numpy().astype(np.float32)

        found: dict[str, list[np.ndarray]] = {}
        for name, parameter in self.named_parameters():
            short = name.removesuffix(".weight").rsplit(".", 1)[-1]
            found.setdefault(short, []).append(value(parameter))
        return {
            name: np.stack(values) if f"layers.0.{name}" in self.layer_names() else values[0]
            for name, values in found.items()
        }

    def layer_names(self) -> set[str]:
        return {n.removesuffix(".weight") for n, _ in self.named_parameters()}


def make(name: str, case: dict) -> None:
    c = case["config"]
    torch.manual_seed(sum(name.encode()))
    rng = np.random.default_rng(sum(name.encode()))
    model = Llama(c).double()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if "rms" in parameter_name:
                parameter.uniform_(0.5, 1.5)
            elif "embedding" in parameter_name:
                parameter.normal_(0, 0.5)
            else:  # keeps variances near one, so that no part of the model is a bystander
                parameter.normal_(0, parameter.shape[1] ** -0.5)
            # What the file holds is exactly what was computed with.
            parameter.copy_(parameter.float().double())
    # Two batches in turn: the losses fall, so that a wrong update shows in them.
    shape = (2, case["batch"], c["seq_len"] + 1)
    tokens = rng.integers(0, c["vocab_size"], shape).astype(np.int32)
    targets = tokens[:, :, 1:].copy()
    targets[rng.random(targets.shape) < 0.1] = -1
    tokens, targets = (np.tile(a, (N_STEPS // 2, 1, 1)) for a in (tokens, targets))
    out: dict[str, np.ndarray] = {"tokens": tokens, "targets": targets}
    out |= {f"weight/{n}": v for n, v in model.tensors(grad=False).items()}

    optimizer = torch.optim.Adam(
        model.parameters(),
        lr=ADAM["learning_rate"],
        betas=(ADAM["beta1"], ADAM["beta2"]),
        eps=ADAM["eps"],
    )
    losses = []
    for step in range(N_STEPS):
        logits = model(torch.from_numpy(tokens[step, :, :-1]).long())
        wanted = torch.from_numpy(targets[step]).long()
        loss = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=-1)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            out["logits"] = logits.detach().numpy().astype(np.float32)
            out["loss"] = np.float64(loss.item())
            out |= {f"grad/{n}": v for n, v in model.tensors(grad=True).items()}
        losses.append(loss.item())
        optimizer.step()
    out["adam_losses"] = np.array(losses)
    texts = {
        "config": {"norm_eps": NORM_EPS, "rope_theta": ROPE_THETA} | c,
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "adam": ADAM,
    }
    out |= {key: np.array(json.dumps(value)) for key, value in texts.items()}
    path = Path(__file__).parent / f"llama_{name}.npz"
    np.savez_compressed(path, **out)
    print(f"{path.name}: {path.stat().st_size} bytes, losses {losses[0]:.4f} -> {losses[-1]:.4f}")


if __name__ == "__main__":
    wanted = sys.argv[1:] or CASES
    for case_name in wanted:
        make(case_name, CASES[case_name])
