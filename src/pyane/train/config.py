"""What a training run is told to do."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from .._core import base
from ..errors import ConfigError

# What suits each preset, where it differs from TrainConfig's defaults. The learning rate falls with
# the width of the model, as in llama2.c's training runs.
_PRESET_DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "stories260k": {},
    "stories15m": {"learning_rate": 5e-4, "warmup_steps": 100, "steps": 2000},
    "stories42m": {"learning_rate": 5e-4, "warmup_steps": 100, "steps": 2000},
    "stories110m": {"learning_rate": 3e-4, "warmup_steps": 100, "steps": 2000},
    "qwen3-0.6b": {"learning_rate": 3e-4, "warmup_steps": 100, "steps": 2000, "batch_size": 1},
}
# A model of other sizes is most likely wider than stories260k, whose learning rate it would not survive.
_OTHER_SIZES: Final[dict[str, Any]] = _PRESET_DEFAULTS["stories15m"]

# Counts reach the core as 32-bit numbers.
_MAX_INT: Final = 2**31 - 1
# The stories are made and tokenised in memory, at some ten bytes a character.
_MAX_STORY_BYTES: Final = 1 << 30

# Fields a resumed run may change. The others decide which numbers come out.
RESUMABLE: Final = frozenset({"steps", "threads", "device", "save_every", "eval_every", "patience"})

CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "schedule": ("cosine", "linear", "constant"),
    "pipeline": ("dynamic", "static"),
    "weights_as": ("packed", "inputs"),
    "blobs": ("per-matrix", "single"),
    "taps": ("outputs", "concat"),
    "cls": ("cpu", "ane"),
    "rmsnorm_backward": ("cpu", "ane"),
    "numerics": ("ieee", "hardware"),
}
"""Settings that are one of a few words."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of a training run. Every field is a flag of `pyane train`.

    Attributes:
        preset: Sizes of the model: a key of `pyane.llama.PRESETS`, or a `.json` file that holds them,
            Hugging Face's config.json or the fields of `pyane.llama.Config`. `init_from` brings its own.
        data: Text file (UTF-8) or `.bin` file of tokens (docs/data.md); None: the built-in stories.
        tokenizer: SentencePiece `.model`, llama2.c `.bin` or Hugging Face `.json`; None: one is trained on
            the text.
        init_from: Run folder, llama2.c checkpoint or Hugging Face folder whose weights training starts
            from.
        steps: Optimizer steps.
        batch_size: Sequences B of a micro-batch.
        accumulation: Micro-batches per step.
        seq_len: Positions S per sequence.
        learning_rate: Highest learning rate, reached after the warm-up.
        schedule: What the learning rate does after the warm-up: "cosine" or "linear" down to the
            minimum, or "constant".
        min_learning_rate: Fraction of `learning_rate` that the schedule ends at.
        warmup_steps: Steps of linear increase from 0.
        beta1: Decay of Adam's first moment.
        beta2: Decay of Adam's second moment.
        epsilon: Added to the root of Adam's second moment.
        weight_decay: Decoupled decay of the matrices; norm weights are left alone.
        clip_norm: Gradients are scaled down to this global norm; 0 turns clipping off.
        loss_scale: First loss scale of the fp16 backward pass, a power of two.
        held_out_fraction: Part of the data, its end, that is evaluated on and never trained on.
        eval_every: Steps between evaluations of the held-out loss; 0: only first and last.
        eval_sequences: Held-out sequences per evaluation.
        patience: Training stops after so many evaluations in a row without a new lowest held-out
            loss; 0: never.
        save_every: Steps between savings of the training state; 0: only the last.
        story_bytes: Size of the built-in stories' text.
        compact_vocabulary: Train only the tokens that occur in the data; see
            `pyane.train.vocabulary`.
        seed: Decides the first weights and the order of the data.
        threads: CPU threads; None: what the machine has.
        device: "ane" or "emulator"; None: the engine where there is one.
        chip: Chip that the emulator imitates and efficiency is measured against, "m1" to "m5";
            None: no chip, or that of the machine.
        numerics: "ieee", or "hardware" for the arithmetic of `chip`; emulator only.
        pipeline: "dynamic": weights are inputs, kernels compiled once. "static": weights are
            constants, kernels compiled after every step.
        weights_as: Inputs of a kernel: "inputs", a surface each, or "packed" into one; None: what
            suits the chip. For this and the following see `pyane.llama.PipelineOptions`.
        blobs: Constants of a program: "per-matrix", a file each, or in a "single" one.
        taps: Results of a kernel: "outputs", a surface each, or "concat", all in one; None: what
            suits the chip.
        cls: Where the classifier runs, "cpu" or "ane".
        rmsnorm_backward: Where RMSNorm's backward pass runs, "cpu" or "ane".

    Raises:
        ConfigError: A value is out of range; the message names the flag.
    """

    preset: str = "stories260k"
    data: str | None = None
    tokenizer: str | None = None
    init_from: str | None = None
    steps: int = 1600
    batch_size: int = 2
    accumulation: int = 1
    seq_len: int = 256
    learning_rate: float = 6e-3
    schedule: str = "cosine"
    min_learning_rate: float = 0.1
    warmup_steps: int = 100
    beta1: float = 0.9
    beta2: float = 0.99
    epsilon: float = 1e-8
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    loss_scale: float = 16384.0
    held_out_fraction: float = 0.05
    eval_every: int = 200
    eval_sequences: int = 32
    patience: int = 0
    save_every: int = 200
    story_bytes: int = 2_000_000
    compact_vocabulary: bool = False
    seed: int = 0
    threads: int | None = None
    device: str | None = None
    chip: str | None = None
    numerics: str = "ieee"
    pipeline: str = "dynamic"
    weights_as: str | None = None
    blobs: str = "per-matrix"
    taps: str | None = None
    cls: str = "cpu"
    rmsnorm_backward: str = "cpu"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            _check_type(field.name, str(field.type), value)
            if isinstance(value, int) and field.name != "seed":
                most = base.MAX_THREADS if field.name == "threads" else _MAX_INT
                _require(value <= most, field.name, f"be at most {most}", value)
        _check_at_least(self, 1, "steps", "batch_size", "accumulation", "seq_len", "threads")
        _check_at_least(self, 1, "eval_sequences", "story_bytes")
        _check_at_least(self, 0, "warmup_steps", "eval_every", "save_every", "clip_norm")
        _check_at_least(self, 0, "weight_decay", "seed", "patience")
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            _require(value is None or value in choices, name, f"be {_either(choices)}", value)
        large = self.story_bytes
        _require(large <= _MAX_STORY_BYTES, "story_bytes", f"be at most {_MAX_STORY_BYTES}", large)
        if self.numerics == "hardware" and self.chip is None:
            msg = "--numerics hardware needs to know whose: add --chip, e.g. --chip m1"
            raise ConfigError(msg)
        _require(self.seed < 1 << 64, "seed", "be below 2^64", self.seed)
        for name in ("learning_rate", "epsilon"):
            value = getattr(self, name)
            _require(value > 0, name, "be positive", value)
        for name in ("beta1", "beta2", "held_out_fraction"):
            value = getattr(self, name)
            _require(0 <= value < 1, name, "be in [0, 1)", value)
        low = self.min_learning_rate
        _require(0 <= low <= 1, "min_learning_rate", "be in [0, 1]", low)
        scale = self.loss_scale
        power_of_two = scale >= 1 and math.frexp(scale)[0] == 0.5
        _require(power_of_two, "loss_scale", "be a power of two, at least 1", scale)

    @classmethod
    def for_preset(cls, preset: str, /, **settings: Any) -> TrainConfig:
        """Defaults that suit the preset, with `settings` in place of some.

        The static pipeline's steps take ten micro-batches, because each ends with compilations.
        Weights that exist, `init_from`, are trained with a tenth of the learning rate: what the
        schedule of those from scratch ends at. The whole of it undoes their training first.

        Raises:
            ConfigError: An unknown setting, or a value out of range.
        """
        _check_type("preset", "str", preset)
        known = _OTHER_SIZES if preset.endswith(".json") else _PRESET_DEFAULTS.get(preset, {})
        defaults = dict(known)
        if settings.get("pipeline") == "static":
            defaults["accumulation"] = 10
        if settings.get("init_from") is not None:
            highest = defaults.get("learning_rate", cls.learning_rate)
            defaults["learning_rate"] = highest * cls.min_learning_rate
        return cls.from_dict({**defaults, **settings, "preset": preset})

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> TrainConfig:
        """Inverse of `to_dict`.

        Raises:
            ConfigError: An unknown setting, or a value out of range.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        for name in settings:
            if name not in known:
                msg = f"unknown training setting {name!r}; {suggestion(name, known)}"
                raise ConfigError(msg)
        return cls(**settings)

    def to_dict(self) -> dict[str, Any]:
        """All settings, as written to config.json."""
        return dataclasses.asdict(self)

    @property
    def model_name(self) -> str:
        """The preset, or what a file of sizes is called: "tiny" for tiny.json and tiny/config.json."""
        if not self.preset.endswith(".json"):
            return self.preset
        file = Path(self.preset).absolute()
        return (file.parent.name if file.name == "config.json" else file.stem) or "model"

    @property
    def tokens_per_step(self) -> int:
        """Tokens that one optimizer step trains on."""
        return self.batch_size * self.accumulation * self.seq_len


def suggestion(name: str, known: Iterable[str]) -> str:
    """What to say after an unknown name: the known one that looks like it, else all of them."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"


def _either(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _require(condition: bool, name: str, rule: str, value: object) -> None:
    if not condition:
        msg = f"--{name.replace('_', '-')} must {rule}, got {value}"
        raise ConfigError(msg)


def _check_type(name: str, annotation: str, value: object) -> None:
    kind, _, optional = annotation.partition(" | ")
    if value is None and optional:
        return
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "bool":
        _require(isinstance(value, bool), name, "be true or false", repr(value))
    elif kind == "str":
        _require(isinstance(value, str), name, "be text", value)
    elif kind == "int":
        _require(number and isinstance(value, int), name, "be a whole number", repr(value))
    else:
        finite = number and math.isfinite(value)  # type: ignore[arg-type]
        _require(finite, name, "be a finite number", repr(value))  # 3 is not '3'


def _check_at_least(config: TrainConfig, low: int, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        _require(value is None or value >= low, name, f"be at least {low}", value)
