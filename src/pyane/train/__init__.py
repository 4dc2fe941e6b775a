"""Training: stories, tokenizers, token data, the training loop and its run folder."""

from __future__ import annotations
