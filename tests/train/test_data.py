from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyane.errors import DataError
from pyane.train.data import (
    Dataset,
    Sampler,
    data_hash,
    encode_text,
    open_token_file,
    read_text,
    split,
    split_documents,
)
from pyane.train.llama2c_tokenizer import Llama2cTokenizer
from pyane.train.stories import story_text
from pyane.train.tokenizer import load_tokenizer, train_tokenizer


def counting(n: int, seq_len: int, held_out: int = 10) -> Dataset:
    tokens = np.arange(n, dtype=np.uint16)
    return Dataset(tokens[: n - held_out], tokens[n - held_out :], seq_len, data_hash(tokens))


# Text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"holds no text \(0 bytes\)"),
        (b" \n\t\n", r"holds no text \(4 bytes\)"),
        (b"fine\nbad \xff here", r"story\.txt:2: text must be UTF-8, got byte 0xff at offset 9"),
        (b"\xef\xbb\xbfa\n\nb\x80", r"story\.txt:3: .* got byte 0x80 at offset 7"),
        (b"cut \xe2\x9c", r":1: .* got byte 0xe2 at offset 4"),
    ],
)
def test_bad_text(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "story.txt"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message):
        read_text(path)


def test_text_that_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.txt: text file does not exist"):
        read_text(tmp_path / "none.txt")
    with pytest.raises(DataError, match="text file must be a file, got a folder"):
        read_text(tmp_path)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(DataError, match="must be a regular file"):
        read_text(fifo)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_text(tmp_path: Path) -> None:
    path = tmp_path / "secret.txt"
    path.write_text("x")
    path.chmod(0)
    with pytest.raises(DataError, match="cannot be read"):
        read_text(path)


def test_byte_order_mark_and_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "dos.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n\r\nthree")
    assert split_documents(read_text(path)) == ["one\ntwo", "three"]


@pytest.mark.parametrize(
    ("text", "documents"),
    [
        ("a", ["a"]),
        ("a\n\nb\n", ["a", "b"]),
        ("a\nb\n \t\n\n\nc", ["a\nb", "c"]),
        ("\n\na\n\n", ["a"]),
        ("a\n\nb\n<|endoftext|>\nc", ["a\n\nb", "c"]),
    ],
)
def test_documents(text: str, documents: list[str]) -> None:
    assert split_documents(text) == documents


def test_every_document_begins_with_bos() -> None:
    text = story_text(20_000, seed=0)
    tokenizer = train_tokenizer(text, 400)
    tokens = encode_text(text, tokenizer)
    assert tokens.dtype == np.uint16
    assert (tokens == tokenizer.bos_id).sum() == len(split_documents(text))
    starts = np.flatnonzero(tokens == tokenizer.bos_id)
    first = tokenizer.decode(tokens[: starts[1]].tolist())
    assert first == split_documents(text)[0]


def test_real_text_with_both_tokenizers(shared_data: Path) -> None:
    text = read_text(shared_data / "tinystories_200k.txt")
    llama = load_tokenizer(shared_data / "tokenizer.model")
    tokens = encode_text(text, llama)
    assert tokens.dtype == np.uint16
    assert 45_000 < len(tokens) < 55_000
    small = encode_text(text, load_tokenizer(shared_data / "tok512.bin"))
    assert small.max() < 512


# Token files


def test_token_file_is_mapped(tmp_path: Path) -> None:
    path = tmp_path / "tokens.bin"
    expected = np.arange(1000, dtype="<u2")
    expected.tofile(path)
    tokens = open_token_file(path, vocab_size=1000)
    assert isinstance(tokens, np.memmap)
    np.testing.assert_array_equal(tokens, expected)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "token file is empty"),
        (b"\1\0\2", "must hold 2 bytes per token, got 3 bytes"),
        (b"\1\0\xff\1\0\2", r"token 512 at position 2 is outside \[0, 512\)"),
    ],
)
def test_bad_token_file(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "tokens.bin"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message):
        open_token_file(path, vocab_size=512)


def test_token_file_that_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        open_token_file(tmp_path / "none.bin", 512)
    with pytest.raises(DataError, match="got a folder"):
        open_token_file(tmp_path, 512)


def test_hash_depends_on_tokens_not_on_their_type() -> None:
    tokens = np.arange(100)
    assert data_hash(tokens.astype(np.uint16)) == data_hash(tokens.astype(np.int32))
    other = tokens.copy()
    other[7] = 8
    assert data_hash(tokens) != data_hash(other)


# Split


def test_split_holds_out_the_end() -> None:
    d = split(np.arange(1000, dtype=np.uint16), 16, 0.1, "x")
    assert (len(d.train), len(d.held_out)) == (900, 100)
    assert d.held_out[0] == 900


@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.999])
def test_both_parts_have_a_sequence(fraction: float) -> None:
    d = split(np.arange(34, dtype=np.uint16), 16, fraction, "x")
    assert (len(d.train), len(d.held_out)) == (17, 17)


def test_too_few_tokens() -> None:
    with pytest.raises(
        DataError, match=r"tiny: 34 tokens are needed .*, got 33.*smaller --seq-len"
    ):
        split(np.arange(33, dtype=np.uint16), 16, 0.1, "tiny")


def test_held_out_batches_are_spread_and_fixed() -> None:
    d = counting(1000, seq_len=8, held_out=8 * 10 + 1)
    batches = list(d.held_out_batches(batch_size=2, n_sequences=5))
    assert [len(t) for t, _ in batches] == [2, 2, 1]
    starts = [int(row[0]) for tokens, _ in batches for row in tokens]
    assert starts == [919, 919 + 16, 919 + 32, 919 + 48, 919 + 64]
    for tokens, targets in batches:
        np.testing.assert_array_equal(tokens + 1, targets)
    assert sum(len(t) for t, _ in d.held_out_batches(4, 100)) == 10  # all there are


# Sampler


def test_targets_are_the_next_tokens() -> None:
    sampler = Sampler(counting(1000, seq_len=7), batch_size=3, seed=0)
    tokens, targets = sampler.batch(5)
    assert tokens.shape == targets.shape == (3, 7)
    assert tokens.dtype == targets.dtype == np.int32
    np.testing.assert_array_equal(tokens + 1, targets)
    np.testing.assert_array_equal(np.diff(tokens, axis=1), 1)


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**64 - 1),
    seq_len=st.integers(1, 40),
    batch_size=st.integers(1, 9),
    index=st.integers(0, 300),
)
def test_any_batch_can_be_drawn_alone(seed: int, seq_len: int, batch_size: int, index: int) -> None:
    d = counting(300, seq_len)
    through = Sampler(d, batch_size, seed)
    for i in range(index):
        through.batch(i)
    for a, b in zip(through.batch(index), Sampler(d, batch_size, seed).batch(index), strict=True):
        np.testing.assert_array_equal(a, b)


@settings(deadline=None)
@given(seed=st.integers(0, 2**64 - 1), seq_len=st.integers(1, 40))
def test_a_pass_visits_every_sequence_once(seed: int, seq_len: int) -> None:
    d = counting(300, seq_len)
    sampler = Sampler(d, 1, seed)
    starts = [int(sampler.batch(i)[0][0, 0]) for i in range(d.n_sequences)]
    assert len(set(starts)) == d.n_sequences
    assert len({s % seq_len for s in starts}) == 1
    assert max(starts) + seq_len < len(d.train)


def test_passes_and_seeds_differ() -> None:
    d = counting(2000, seq_len=8)
    n = d.n_sequences

    def order(seed: int, which: int) -> list[int]:
        sampler = Sampler(d, 1, seed)
        return [int(sampler.batch(which * n + i)[0][0, 0]) for i in range(n)]

    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)
    assert order(0, 0) != sorted(order(0, 0))


def test_order_is_the_same_everywhere() -> None:
    sampler = Sampler(counting(200, seq_len=10), 4, seed=0)
    assert sampler.batch(0)[0][:, 0].tolist() == [175, 35, 75, 5]


def test_one_sequence_repeats() -> None:
    d = counting(9 + 10, seq_len=8)
    sampler = Sampler(d, 2, 0)
    assert sampler.batch(0)[0][:, 0].tolist() == [0, 0]


def test_batch_from_a_mapped_file(tmp_path: Path) -> None:
    path = tmp_path / "t.bin"
    np.arange(500, dtype="<u2").tofile(path)
    d = split(open_token_file(path, 500), 16, 0.1, "t")
    tokens, _ = Sampler(d, 2, 0).batch(0)
    assert not isinstance(tokens, np.memmap)
    assert tokens.flags.writeable


def test_vocabulary_above_16_bits() -> None:
    class Big(Llama2cTokenizer):
        def __init__(self) -> None:
            self.vocab_size = 70_000

        def encode(self, text: str, bos: bool = True, eos: bool = False) -> list[int]:  # noqa: ARG002
            return [69_999] * len(text)

    assert encode_text("abc", Big()).tolist() == [69_999] * 3
