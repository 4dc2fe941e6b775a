"""tokenizer.json, with models trained here by the library `tokenizers`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyane.errors import ConfigError, DataError
from pyane.train.huggingface_tokenizer import HuggingFaceTokenizer
from pyane.train.stories import story_text
from pyane.train.tokenizer import Tokenizer, check_vocabulary, load_tokenizer

library = pytest.importorskip("tokenizers")

TEXTS = [
    "",
    " ",
    "a",
    "Once upon a time, there was a dog.",
    "  two  spaces \n\n\ttab\r\n",
    "naïve café — 東京 🐕‍🦺 \x00\x7f",
    "it's 1234567 </s> <s> <|endoftext|> <0x0A>",
    "\u2581 is a mark",
]


def byte_level() -> Any:
    """As GPT-2, Llama 3 and Qwen have it."""
    tokenizer = library.Tokenizer(library.models.BPE())
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|begin_of_text|>", "<|end_of_text|>"],
        initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([story_text(20_000, 1)], trainer)
    tokenizer.add_tokens(["<think>"])
    return tokenizer


def sentencepiece_like() -> Any:
    """As Llama 2 has it."""
    special = ["<unk>", "<s>", "</s>"]
    tokenizer = library.Tokenizer(library.models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.normalizer = library.normalizers.Sequence(
        [library.normalizers.Prepend("\u2581"), library.normalizers.Replace(" ", "\u2581")]
    )
    tokenizer.decoder = library.decoders.Sequence(
        [
            library.decoders.Replace("\u2581", " "),
            library.decoders.ByteFallback(),
            library.decoders.Fuse(),
            library.decoders.Strip(" ", 1, 0),
        ]
    )
    alphabet = special + [f"<0x{b:02X}>" for b in range(256)]
    trainer = library.trainers.BpeTrainer(
        vocab_size=500, special_tokens=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([story_text(20_000, 1)], trainer)
    settings = json.loads(tokenizer.to_str())
    settings["added_tokens"] = settings["added_tokens"][:3]
    return library.Tokenizer.from_str(json.dumps(settings))


@pytest.fixture(scope="module", params=[byte_level, sentencepiece_like])
def theirs(request: pytest.FixtureRequest) -> Any:
    return request.param()


@pytest.fixture(scope="module")
def ours(theirs: Any) -> HuggingFaceTokenizer:
    return HuggingFaceTokenizer(theirs.to_str().encode())


@pytest.mark.parametrize("text", TEXTS)
def test_round_trip(ours: HuggingFaceTokenizer, text: str) -> None:
    ids = ours.encode(text, eos=True)
    assert (ids[0], ids[-1]) == (ours.bos_id, ours.eos_id)
    # The mark for a space cannot be told from one: as in SentencePiece itself.
    expected = text.replace("\u2581", " ") if ours.adds_space else text
    assert ours.decode(ids) == expected
    assert ours.encode_all([text, "x"]) == [ids[:-1], ours.encode("x")]


def test_tokens_are_those_of_the_library(ours: HuggingFaceTokenizer, theirs: Any) -> None:
    theirs.encode_special_tokens = True
    for text in TEXTS:
        assert ours.encode(text, bos=False) == theirs.encode(text, add_special_tokens=False).ids
    text = "One day, a café 🐕"
    ids = ours.encode(text, bos=False)
    assert ours.decode(ids) == theirs.decode(ids) == text
    assert ours.vocab_size == theirs.get_vocab_size()


def test_every_byte_has_a_token(ours: HuggingFaceTokenizer) -> None:
    """Whatever a model generates can be shown; each token is the bytes that the library's are."""
    pieces = [ours.piece_bytes(i) for i in range(ours.vocab_size)]
    assert {bytes([b]) for b in range(256)} <= set(pieces)
    for token in (-1, ours.vocab_size):
        with pytest.raises(DataError, match=rf"token {token} is outside \[0, {ours.vocab_size}\)"):
            ours.piece_bytes(token)


def test_a_split_character_appears_when_it_is_whole(ours: HuggingFaceTokenizer) -> None:
    stream = ours.stream()
    parts = [stream.add(token) for token in ours.encode("🐕")]
    assert [part for part in parts if part] == ["🐕"]
    assert stream.add(ours.encode("🐕")[-1]) == "\ufffd"  # a last byte without the first


def test_special_tokens_of_the_config(theirs: Any, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(theirs.to_str())
    usual = load_tokenizer(path)
    assert usual.bos_id >= 0
    config = tmp_path / "tokenizer_config.json"
    last = max(theirs.get_vocab(), key=theirs.get_vocab().get)
    config.write_text(json.dumps({"bos_token": None, "eos_token": {"content": last}}))
    tokenizer = load_tokenizer(path)
    assert (tokenizer.bos_id, tokenizer.eos_id) == (-1, theirs.get_vocab()[last])
    assert tokenizer.encode("a") == usual.encode("a", bos=False)
    (tmp_path / "copy").mkdir()
    tokenizer.save(tmp_path / "copy/tokenizer.json")
    copy = load_tokenizer(tmp_path / "copy/tokenizer.json")
    assert (copy.bos_id, copy.eos_id) == (tokenizer.bos_id, tokenizer.eos_id)
    for text, message in [
        ('{"eos_token": "<absent>"}', "has no token '<absent>', which tokenizer_config.json calls"),
        ("[]", r"tokenizer_config\.json: cannot be read"),
        ("{", r"tokenizer_config\.json: cannot be read"),
    ]:
        config.write_text(text)
        with pytest.raises(DataError, match=message):
            load_tokenizer(path)


def test_vocabulary_and_model(ours: HuggingFaceTokenizer, shared_data: Path) -> None:
    n = ours.vocab_size
    check_vocabulary(ours, n, "x")
    check_vocabulary(ours, n + 64, "x")  # padded to a round size
    with pytest.raises(ConfigError, match=f"x: tokenizer has {n} tokens, the model {n - 1}"):
        check_vocabulary(ours, n - 1, "x")
    llama2c: Tokenizer = load_tokenizer(shared_data / "tok512.bin")
    check_vocabulary(llama2c, 512, "x")
    with pytest.raises(ConfigError, match="tokenizer has 512 tokens, the model 513"):
        check_vocabulary(llama2c, 513, "x")


WORD_LEVEL = {"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "a"}}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a tokenizer.json"),
        (b"{}", "not a tokenizer.json"),
        (b"\xff\xfe", "not a tokenizer.json"),
        (b"[" * 100_000, "not a tokenizer.json"),
        (json.dumps(WORD_LEVEL).encode(), "decoder must be ByteLevel or SentencePiece-like"),
        (
            json.dumps({"model": WORD_LEVEL["model"] | {"vocab": {"a": 4_000_000_000}}}).encode(),
            "must hold tokens numbered from 0, got 1 below 4000000001",
        ),
    ],
)
def test_other_files(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message):
        load_tokenizer(path)


def test_the_library_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(DataError, match=r"needs the library tokenizers.*pip install 'pyane\[hugg"):
        HuggingFaceTokenizer(b"{}")


@pytest.mark.slow
def test_llama_2_s_vocabulary_in_both_formats(shared_data: Path, tmp_path: Path) -> None:
    """transformers turns the SentencePiece model into a tokenizer.json: the same tokens come out."""
    transformers = pytest.importorskip("transformers")
    converted = transformers.LlamaTokenizerFast.from_pretrained(
        str(shared_data), vocab_file=str(shared_data / "tokenizer.model")
    )
    converted.save_pretrained(tmp_path)
    ours = load_tokenizer(tmp_path / "tokenizer.json")
    theirs = load_tokenizer(shared_data / "tokenizer.model")
    assert (ours.vocab_size, ours.bos_id, ours.eos_id) == (32000, 1, 2)
    for text in [*TEXTS, story_text(5_000, 2)]:
        if not text.startswith(
            (" ", "\u2581")
        ):  # which the conversion takes for the space before it
            assert ours.encode(text) == theirs.encode(text), text
            assert ours.decode(ours.encode(text)) == text


def test_damaged_files_are_refused_or_read(theirs: Any, rng: np.random.Generator) -> None:
    whole = theirs.to_str().encode()
    for _ in range(60):
        raw = bytearray(whole)
        for at in rng.integers(0, len(raw), 3):
            raw[at] = rng.choice([rng.integers(256), ord("0"), ord('"'), ord("}")])
        try:
            tokenizer = HuggingFaceTokenizer(bytes(raw))
        except DataError:
            continue
        tokenizer.decode(tokenizer.encode("One day."))
