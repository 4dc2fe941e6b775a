"""The tokenizer that lies beside weights: of several, the one whose vocabulary is the model's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from ..errors import ConfigError, Error
from .run_folder import TOKENIZERS
from .tokenizer import Tokenizer, check_vocabulary, load_tokenizer

# llama2.c names tokenizers of its own after their number of tokens.
_OF_A_SIZE: Final = re.compile(r"tok\d+\.(model|bin)")


def tokenizers_beside(model: Path) -> list[Path]:
    """Files beside a checkpoint, or in its folder, that are called as tokenizers are."""
    folder = model if model.is_dir() else model.parent
    usual = [folder / name for name in TOKENIZERS if (folder / name).is_file()]
    return usual + sorted(p for p in folder.glob("tok*") if _OF_A_SIZE.fullmatch(p.name))


def tokenizer_beside(model: Path, vocab_size: int) -> tuple[Path, Tokenizer] | None:
    """The first tokenizer beside a model whose vocabulary fits it; None when there is none at all.

    Raises:
        ConfigError: None of several fits; the message says of each why not.
        Error: The only one cannot be read or does not fit.
    """
    found = tokenizers_beside(model)
    reasons = []
    for path in found:
        try:
            tokenizer = load_tokenizer(path)
            check_vocabulary(tokenizer, vocab_size, str(path))
        except Error as e:
            if len(found) == 1:
                raise
            reasons.append(str(e).partition(";")[0])
            continue
        return path, tokenizer
    if not found:
        return None
    msg = (
        f"{model}: no tokenizer beside it fits: {'; '.join(reasons)}. Name the one it was trained "
        "with: --tokenizer FILE"
    )
    raise ConfigError(msg)
