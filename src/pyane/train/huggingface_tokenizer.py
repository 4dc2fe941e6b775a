"""Tokenizers of Hugging Face, tokenizer.json, by the library `tokenizers`.

The library encodes. Decoding is ours, token by token: a token's bytes are what it stands for in the
alphabet of its model. There are two: GPT-2's, where every byte has a printable character of its own (Llama
3, Qwen), and SentencePiece's, where U+2581 is a space and <0x0A> a byte (Llama 2, Mistral).

Source: huggingface/tokenizers, decoders/byte_level.rs and byte_fallback.rs; openai/gpt-2, encoder.py
(bytes_to_unicode).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..atomic_file import atomic_write
from ..errors import DataError
from .tokenizer_base import Tokenizer

# Names of the tokens that begin and end a text, the most specific first.
_BOS = ("<|begin_of_text|>", "<s>", "<bos>", "[BOS]")
_EOS = ("<|end_of_text|>", "</s>", "<eos>", "[EOS]", "<|endoftext|>")
_CONFIG = "tokenizer_config.json"
_MAX_CONFIG_BYTES = 1 << 24
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


class HuggingFaceTokenizer(Tokenizer):
    """Tokenizer read from a tokenizer.json.

    Args:
        data: Contents of the file.
        source: Its name, for error messages.
        special: Names of the tokens that begin and end a text, as tokenizer_config.json has them under
            "bos_token" and "eos_token"; without, the usual names are looked for.

    Raises:
        DataError: Not such a file, of an alphabet we do not know, or the library `tokenizers` is absent.
    """

    file_name = "tokenizer.json"
    may_be_smaller = True

    def __init__(
        self, data: bytes, source: str = "tokenizer.json", special: dict[str, Any] | None = None
    ) -> None:
        self._data = data
        self._special = special
        try:
            import tokenizers  # noqa: PLC0415  (optional)
        except ImportError as e:
            msg = (
                f"{source}: needs the library tokenizers, which is not installed: "
                "pip install 'pyane[huggingface]'"
            )
            raise DataError(msg) from e
        try:
            settings = json.loads(data)
            self._library = tokenizers.Tokenizer.from_buffer(data)
        # The library raises bare Exception.
        except Exception as e:
            msg = f"{source}: not a tokenizer.json ({_first_line(e)})"
            raise DataError(msg) from e
        self._library.no_truncation()
        self._library.no_padding()
        self._library.encode_special_tokens = True  # a text that says "</s>" means just that
        ids = self._library.get_vocab(with_added_tokens=True)
        self.vocab_size = 1 + max(ids.values(), default=-1)
        if not ids or self.vocab_size > 2 * len(ids) + 1024:
            msg = f"{source}: must hold tokens numbered from 0, got {len(ids)} below {self.vocab_size}"
            raise DataError(msg)
        self._pieces = _pieces(settings, ids, self.vocab_size, source)
        self.bos_id, self.eos_id = (
            self._find(ids, special, key, usual, source)
            for key, usual in (("bos_token", _BOS), ("eos_token", _EOS))
        )
        self.adds_space = self.piece_bytes_of("a").startswith(b" ")

    @classmethod
    def open(cls, path: Path, data: bytes) -> HuggingFaceTokenizer:
        """With the tokenizer_config.json beside the file, where there is one."""
        special = None
        try:
            with (path.parent / _CONFIG).open("rb") as file:
                config = json.loads(file.read(_MAX_CONFIG_BYTES))
            special = {key: config.get(key) for key in ("bos_token", "eos_token")}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, AttributeError, RecursionError) as e:
            msg = f"{path.parent / _CONFIG}: cannot be read ({_first_line(e)})"
            raise DataError(msg) from e
        return cls(data, str(path), special)

    @staticmethod
    def _find(
        ids: dict[str, int],
        special: dict[str, Any] | None,
        key: str,
        usual: Sequence[str],
        source: str,
    ) -> int:
        if special is None:
            return next((ids[name] for name in usual if name in ids), -1)
        name = special.get(key)
        if isinstance(name, dict):  # an "AddedToken", as old versions write it
            name = name.get("content")
        if name is None:
            return -1
        if name not in ids:
            msg = f"{source}: has no token {name!r:.80}, which {_CONFIG} calls {key}"
            raise DataError(msg)
        return ids[name]

    def piece_bytes_of(self, text: str) -> bytes:
        """Bytes of the tokens of `text`, as a decoder that knows no beginning joins them."""
        return b"".join(self._pieces[i] for i in self.encode(text, bos=False))

    def encode(self, text: str, bos: bool = True, eos: bool = False) -> list[int]:
        """See `Tokenizer.encode`."""
        ids: list[int] = self._library.encode(text, add_special_tokens=False).ids
        return self._framed(ids, bos, eos)

    def encode_all(self, texts: Sequence[str], bos: bool = True) -> list[list[int]]:
        """`encode` of every text, faster than one by one."""
        encodings = self._library.encode_batch_fast(list(texts), add_special_tokens=False)
        return [self._framed(encoding.ids, bos, eos=False) for encoding in encodings]

    def _framed(self, ids: list[int], bos: bool, eos: bool) -> list[int]:
        before = [self.bos_id] if bos and self.bos_id >= 0 else []
        return [*before, *ids, *([self.eos_id] if eos and self.eos_id >= 0 else [])]

    def piece_bytes(self, token: int) -> bytes:
        """See `Tokenizer.piece_bytes`."""
        self._check(token)
        return self._pieces[token]

    def serialized(self) -> bytes:
        """The tokenizer.json as it was read."""
        return self._data

    def __reduce__(self) -> tuple[Any, ...]:
        """For sending to other processes."""
        return type(self), (self._data, self.file_name, self._special)

    def save(self, path: Path) -> None:
        """Write tokenizer.json, and what is known from tokenizer_config.json beside it."""
        super().save(path)
        if self._special is not None:
            with atomic_write(path.with_name(_CONFIG)) as file:
                file.write(json.dumps(self._special, indent=2).encode() + b"\n")


def _pieces(
    settings: dict[str, Any], ids: dict[str, int], vocab_size: int, source: str
) -> list[bytes]:
    """What each token stands for."""
    text = json.dumps([settings.get("decoder"), settings.get("pre_tokenizer")])
    is_byte_level = '"ByteLevel"' in text
    model = settings.get("model") or {}
    if not is_byte_level and not (model.get("byte_fallback") or "\\u2581" in text):
        msg = (
            f"{source}: decoder must be ByteLevel or SentencePiece-like (byte fallback, Metaspace), "
            f"got {settings.get('decoder')!r:.120}"
        )
        raise DataError(msg)
    table = {chr(c): b for b, c in enumerate(_byte_level_alphabet())}
    pieces = [b""] * vocab_size
    for name, i in ids.items():
        byte = _BYTE.fullmatch(name)
        if is_byte_level:
            known = all(c in table for c in name)
            pieces[i] = bytes(table[c] for c in name) if known else name.encode()
        elif byte:
            pieces[i] = bytes([int(byte[1], 16)])
        else:
            pieces[i] = name.replace("\u2581", " ").encode()
    for added in settings.get("added_tokens") or []:
        pieces[added["id"]] = b"" if added.get("special") else added["content"].encode()
    return pieces


def _byte_level_alphabet() -> list[int]:
    """GPT-2's code point of each byte: itself where it is printable, else the next from 256 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(256, 512))
    return [b if b in printable else next(spare) for b in range(256)]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
