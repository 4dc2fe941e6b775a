"""Shape of a Llama 2 model."""

from __future__ import annotations

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
    """Sizes of a Llama 2 model: RMSNorm, RoPE, grouped-query attention, SwiGLU, no biases.

    Attributes:
        dim: Channels C of the residual stream.
        hidden_dim: Channels F inside the feed-forward block.
        n_layers: Layers L.
        n_heads: Query heads H; divides `dim`.
        n_kv_heads: Key and value heads; divides `n_heads`. Query head h reads KV head
            h // (n_heads / n_kv_heads).
        vocab_size: Tokens V.
        seq_len: Longest sequence, in tokens, that the model is meant for.
        tied_classifier: The classifier is the embedding table, not a matrix of its own.
        norm_eps: Added to the mean square in RMSNorm.
        rope_theta: Base of the rotary frequencies.

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

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "int":
                # bool is an int to Python; numpy integers are not, and would not serialise.
                if not isinstance(value, int) or isinstance(value, bool):
                    msg = f"Config: {field.name} must be an int, got {value!r}"
                    raise ConfigError(msg)
                if not 1 <= value <= _MAX_SIZE:
                    msg = f"Config: {field.name} must be between 1 and {_MAX_SIZE}, got {value}"
                    raise ConfigError(msg)
        if self.dim % self.n_heads:
            msg = f"Config: n_heads must divide dim = {self.dim}, got {self.n_heads}"
            raise ConfigError(msg)
        if self.n_heads % self.n_kv_heads:
            msg = f"Config: n_kv_heads must divide n_heads = {self.n_heads}, got {self.n_kv_heads}"
            raise ConfigError(msg)
        if self.head_dim % 2:
            msg = (
                "Config: dim / n_heads must be even, because RoPE turns pairs of channels, got "
                f"{self.dim} / {self.n_heads} = {self.head_dim}"
            )
            raise ConfigError(msg)
        if not isinstance(self.tied_classifier, bool):
            msg = f"Config: tied_classifier must be a bool, got {self.tied_classifier!r}"
            raise ConfigError(msg)
        if not 0.0 < self.norm_eps < 1.0:
            msg = f"Config: norm_eps must be between 0 and 1, got {self.norm_eps!r}"
            raise ConfigError(msg)
        if not 1.0 < self.rope_theta < float("inf"):
            msg = f"Config: rope_theta must be finite and above 1, got {self.rope_theta!r}"
            raise ConfigError(msg)

    @property
    def head_dim(self) -> int:
        """Channels D of one head."""
        return self.dim // self.n_heads

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
        [outputs, inputs]. `wcls` is there only when the classifier is not tied.
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
        if not self.tied_classifier:
            shapes["wcls"] = (self.vocab_size, dim)
        return shapes

    @property
    def n_parameters(self) -> int:
        """Numbers to train; a tied classifier counts once."""
        per_layer = (
            2 * self.dim  # rms_att_weight, rms_ffn_weight
            + 2 * self.q_dim * self.dim  # wq, wo
            + 2 * self.kv_dim * self.dim  # wk, wv
            + 3 * self.hidden_dim * self.dim  # w1, w2, w3
        )
        tables = 1 if self.tied_classifier else 2
        return self.n_layers * per_layer + self.dim + tables * self.vocab_size * self.dim


# Sizes of karpathy/tinyllamas. stories260k and stories110m have half and a quarter of the original
# sequence length: what `pyane train` and upstream's benchmark report use.
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
    }
)
