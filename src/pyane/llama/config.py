"""Shape of a Llama-like model."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

# A checkpoint header holds these as int32.
_MAX_SIZE = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of a Llama-like model: RMSNorm, RoPE, grouped-query attention, SwiGLU, no biases.

    Llama 2 and 3, and Qwen3 with `qk_norm` and a `head_dim` of its own.

    Attributes:
        dim: Channels C of the residual stream.
        hidden_dim: Channels F inside the feed-forward block.
        n_layers: Layers L.
        n_heads: Query heads H; divides `dim` unless `head_dim` is given.
        n_kv_heads: Key and value heads; divides `n_heads`. Query head h reads KV head
            h // (n_heads / n_kv_heads).
        vocab_size: Tokens V.
        seq_len: Longest sequence, in tokens, that the model is meant for.
        tied_classifier: The classifier is the embedding table, not a matrix of its own.
        norm_eps: Added to the mean square in RMSNorm.
        rope_theta: Base of the rotary frequencies.
        head_dim: Channels D of one head, even; 0 stands for dim / n_heads and is replaced by it.
        qk_norm: Queries and keys are normalised head by head before RoPE turns them (Qwen3).

    Raises:
        ConfigError: A size is not a positive integer, or the sizes do not fit together.
    """

    dim: int
    hidden_dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    vocab_size: int
    seq_len: int
    tied_classifier: bool = True
    norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    head_dim: int = 0
    qk_norm: bool = False

    def __post_init__(self) -> None:
        is_derived = self.head_dim == 0
        if is_derived and _is_size(self.dim) and _is_size(self.n_heads):
            if self.dim % self.n_heads:
                msg = (
                    f"Config: n_heads must divide dim = {self.dim} unless head_dim is given, got "
                    f"{self.n_heads}"
                )
                raise ConfigError(msg)
            object.__setattr__(self, "head_dim", self.dim // self.n_heads)
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "int":
                if not isinstance(value, int) or isinstance(value, bool):
                    msg = f"Config: {field.name} must be an int, got {value!r}"
                    raise ConfigError(msg)
                if not _is_size(value):
                    msg = f"Config: {field.name} must be between 1 and {_MAX_SIZE}, got {value}"
                    raise ConfigError(msg)
        if self.n_heads % self.n_kv_heads:
            msg = f"Config: n_kv_heads must divide n_heads = {self.n_heads}, got {self.n_kv_heads}"
            raise ConfigError(msg)
        if self.head_dim % 2:
            name = "dim / n_heads" if is_derived else "head_dim"
            origin = f"{self.dim} / {self.n_heads} = " if is_derived else ""
            msg = (
                f"Config: {name} must be even, because RoPE turns pairs of channels, got "
                f"{origin}{self.head_dim}"
            )
            raise ConfigError(msg)
        for name in ("tied_classifier", "qk_norm"):
            if not isinstance(getattr(self, name), bool):
                msg = f"Config: {name} must be a bool, got {getattr(self, name)!r}"
                raise ConfigError(msg)
        if not 0.0 < self.norm_eps < 1.0:
            msg = f"Config: norm_eps must be between 0 and 1, got {self.norm_eps!r}"
            raise ConfigError(msg)
        if not 1.0 < self.rope_theta < float("inf"):
            msg = f"Config: rope_theta must be finite and above 1, got {self.rope_theta!r}"
            raise ConfigError(msg)

    @property
    def q_dim(self) -> int:
        """Channels of all query heads, H * D."""
        return self.n_heads * self.head_dim

    @property
    def kv_dim(self) -> int:
        """Channels of all key (or value) heads."""
        return self.n_kv_heads * self.head_dim

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every weight by its llama2.c name, in the order of a llama2.c file.

        Per-layer weights are stacked: their first dimension is the layer. Matrices are
        [outputs, inputs]. `wcls` is there only when the classifier is not tied. `rms_q_weight` and
        `rms_k_weight`, one weight per channel of a head, are there only with `qk_norm`; llama2.c has
        no name for them.
        """
        layers, dim, hidden = self.n_layers, self.dim, self.hidden_dim
        shapes: dict[str, tuple[int, ...]] = {
            "token_embedding_table": (self.vocab_size, dim),
            "rms_att_weight": (layers, dim),
            "wq": (layers, self.q_dim, dim),
            "wk": (layers, self.kv_dim, dim),
            "wv": (layers, self.kv_dim, dim),
            "wo": (layers, dim, self.q_dim),
            "rms_ffn_weight": (layers, dim),
            "w1": (layers, hidden, dim),
            "w2": (layers, dim, hidden),
            "w3": (layers, hidden, dim),
            "rms_final_weight": (dim,),
        }
        if self.qk_norm:
            shapes["rms_q_weight"] = (layers, self.head_dim)
            shapes["rms_k_weight"] = (layers, self.head_dim)
        if not self.tied_classifier:
            shapes["wcls"] = (self.vocab_size, dim)
        return shapes

    @property
    def n_parameters(self) -> int:
        """Numbers to train; a tied classifier counts once."""
        return sum(math.prod(shape) for shape in self.parameter_shapes.values())

    @property
    def n_embedding_parameters(self) -> int:
        """Those of the embedding table alone."""
        return self.vocab_size * self.dim

    @property
    def size_text(self) -> str:
        """Parameters for people: "109.53M parameters (84.95M + 24.58M embedding)"."""
        embedding = self.n_embedding_parameters
        if self.n_parameters < 1_000_000:
            return f"{self.n_parameters:,} parameters"
        rest = (self.n_parameters - embedding) / 1e6
        return (
            f"{self.n_parameters / 1e6:.2f}M parameters "
            f"({rest:.2f}M + {embedding / 1e6:.2f}M embedding)"
        )


def _is_size(value: object) -> bool:
    # bool is an int to Python; numpy integers are not, and would not serialise.
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MAX_SIZE


# Sizes of karpathy/tinyllamas. stories260k and stories110m have half and a quarter of the original
# sequence length: what `pyane train` and upstream's benchmark report use. qwen3-0.6b has the sizes of
# Qwen/Qwen3-0.6B's config.json, with sequences as short as the others'; replace `seq_len` for longer.
PRESETS: Mapping[str, Config] = MappingProxyType(
    {
        "stories260k": Config(
            dim=64,
            hidden_dim=172,
            n_layers=5,
            n_heads=8,
            n_kv_heads=4,
            vocab_size=512,
            seq_len=256,
        ),
        "stories15m": Config(
            dim=288,
            hidden_dim=768,
            n_layers=6,
            n_heads=6,
            n_kv_heads=6,
            vocab_size=32000,
            seq_len=256,
        ),
        "stories42m": Config(
            dim=512,
            hidden_dim=1376,
            n_layers=8,
            n_heads=8,
            n_kv_heads=8,
            vocab_size=32000,
            seq_len=1024,
        ),
        "stories110m": Config(
            dim=768,
            hidden_dim=2048,
            n_layers=12,
            n_heads=12,
            n_kv_heads=12,
            vocab_size=32000,
            seq_len=256,
        ),
        "qwen3-0.6b": Config(
            dim=1024,
            hidden_dim=3072,
            n_layers=28,
            n_heads=16,
            n_kv_heads=8,
            head_dim=128,
            qk_norm=True,
            vocab_size=151936,
            seq_len=256,
            norm_eps=1e-6,
            rope_theta=1e6,
        ),
    }
)
