"""Training: stories, tokenizers, token data, the training loop and its run folder.

`start` and `resume` set up a `Session` from a `TrainConfig`; its `trainer.train()` does the rest.
"""

from __future__ import annotations

from .config import TrainConfig
from .run_folder import RunFolder
from .session import Session, load_model, resume, start
from .tokenizer import load_tokenizer, train_tokenizer
from .trainer import StepReport, Trainer

__all__ = [
    "RunFolder",
    "Session",
    "StepReport",
    "TrainConfig",
    "Trainer",
    "load_model",
    "load_tokenizer",
    "resume",
    "start",
    "train_tokenizer",
]
