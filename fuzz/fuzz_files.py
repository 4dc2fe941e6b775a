"""Files that people hand to pyane from Python: any bytes give a result or one of pyane's errors.

python fuzz/fuzz_files.py -max_total_time=60 corpus fuzz/seeds/fuzz_files
"""

from __future__ import annotations

import contextlib
import gc
import json
import resource
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path

import atheris

import pyane
from pyane.llama import checkpoint, config_json
from pyane.train import TrainConfig, config_file, token_file
from pyane.train.tokenizer import load_tokenizer

# A length field must not make pyane ask for memory that the file does not justify.
MAX_MEMORY = 8 << 30
SAFETENSORS_CONFIG = {
    "model_type": "llama",
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 8,
    "max_position_embeddings": 8,
    "tie_word_embeddings": True,
    "rms_norm_eps": 1e-5,
}


def _train_config(path: Path) -> None:
    TrainConfig.from_dict(config_file.read_settings(path))


def _tokenize(path: Path) -> None:
    tokenizer = load_tokenizer(path)
    tokenizer.decode(tokenizer.encode("Once upon a time, caf\u00e9."))


def _open_tokens(description: Path) -> None:
    path = description.with_suffix("")
    path.write_bytes(bytes(8))
    token_file.open_token_file(path, vocab_size=512)


def _load(path: Path) -> None:
    model = pyane.load(path)
    pyane.check(model, chip="m1")


# The first byte of an input chooses one.
READERS: list[tuple[str, Callable[[Path], object]]] = [
    ("model.bin", checkpoint.read),
    ("model.safetensors", checkpoint.read),
    ("config.json", config_json.read_config),
    ("tokenizer.bin", _tokenize),
    ("tokenizer.model", _tokenize),
    ("tokenizer.json", _tokenize),
    ("run.toml", _train_config),
    ("run.json", _train_config),
    ("tokens.bin.json", _open_tokens),
    ("model.mil", _load),
]


def one_input(data: bytes) -> None:
    """One run of the fuzzer."""
    if not data:
        return
    name, read = READERS[data[0] % len(READERS)]
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder, name)
        path.write_bytes(data[1:])
        if name == "model.safetensors":
            path.with_name("config.json").write_text(json.dumps(SAFETENSORS_CONFIG))
        with contextlib.suppress(pyane.Error):
            read(path)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    # Not instrument_imports: its hook misses an editable install.
    for function in gc.get_objects():
        if isinstance(function, types.FunctionType) and (function.__module__ or "").startswith(
            "pyane"
        ):
            atheris.instrument_func(function)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
