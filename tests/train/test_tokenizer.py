from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyane.errors import DataError
from pyane.train.llama2c_tokenizer import Llama2cTokenizer
from pyane.train.sentencepiece_tokenizer import SentencePieceTokenizer
from pyane.train.stories import story_text
from pyane.train.tokenizer import Tokenizer, load_tokenizer, train_tokenizer

STORIES = story_text(100_000, seed=0)


def llama2c_file(
    merges: tuple[tuple[bytes, float], ...] = (), max_length: int = 16, cut: int | None = None
) -> bytes:
    pieces: list[tuple[bytes, float]] = [(b"<unk>", 0.0), (b"\n<s>\n", 0.0), (b"\n</s>\n", 0.0)]
    pieces += [(b"<0x%02X>" % i, 0.0) for i in range(256)]
    pieces += merges
    data = struct.pack("<i", max_length)
    data += b"".join(struct.pack("<fi", score, len(p)) + p for p, score in pieces)
    return data[:cut]


LETTERS = tuple((bytes([c]), -100.0) for c in b" abc")


@pytest.fixture(scope="module", params=["sentencepiece", "llama2c"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    if request.param == "sentencepiece":
        return train_tokenizer(STORIES, 512)
    return Llama2cTokenizer(llama2c_file(((b" ", -9.0), (b"a", -9.0), (b" a", -1.0))))


def test_training_is_deterministic_and_silent(capfd: pytest.CaptureFixture[str]) -> None:
    first, second = train_tokenizer(STORIES, 512), train_tokenizer(STORIES, 512)
    assert first.serialized() == second.serialized()
    assert capfd.readouterr() == ("", "")


def test_trained_vocabulary() -> None:
    tokenizer = train_tokenizer(STORIES, 512)
    assert (tokenizer.vocab_size, tokenizer.bos_id, tokenizer.eos_id) == (512, 1, 2)
    ids = tokenizer.encode("Once upon a time", bos=True, eos=True)
    assert ids[0] == 1
    assert ids[-1] == 2
    assert len(ids) < 10
    assert max(ids) < 512


def test_training_sees_lines_of_any_length() -> None:
    words = train_tokenizer(" ".join(STORIES.split()), 512)
    usual = train_tokenizer(STORIES, 512)
    pieces = [{t.piece_bytes(i) for i in range(512)} for t in (words, usual)]
    assert len(pieces[0] & pieces[1]) > 450
    no_spaces = "".join(STORIES.split())
    assert train_tokenizer(no_spaces, 400).vocab_size == 400


@settings(deadline=None)
@given(text=st.text())
def test_round_trip(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert all(0 <= i < tokenizer.vocab_size for i in ids)
    # SentencePiece's own space mark and NUL are the two texts it does not keep.
    if "\u2581" not in text and "\0" not in text:
        assert tokenizer.decode(ids) == text


@settings(deadline=None)
@given(text=st.text())
def test_streamed_text_is_the_decoded_text(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    stream = tokenizer.stream()
    pieces = [stream.add(i) for i in ids]
    assert "".join(pieces) + stream.finish() == tokenizer.decode(ids)
    assert all("\ufffd" not in p for p in pieces) or "\ufffd" in text


def test_stream_waits_for_whole_characters(tokenizer: Tokenizer) -> None:
    stream = tokenizer.stream()
    first, *rest = [3 + b for b in "✓".encode()]
    assert [stream.add(first), *map(stream.add, rest)] == ["", "", "✓"]
    stream.add(first)
    assert stream.finish() == "\ufffd"


def test_encode_all_agrees_with_encode(tokenizer: Tokenizer) -> None:
    texts = ["One day.", "", "a a a", "line\nline"]
    assert tokenizer.encode_all(texts) == [tokenizer.encode(t) for t in texts]


@pytest.mark.parametrize("token", [-1, 100_000])
def test_decode_refuses_ids_outside_the_vocabulary(tokenizer: Tokenizer, token: int) -> None:
    with pytest.raises(DataError, match=rf"token {token} is outside \[0, {tokenizer.vocab_size}\)"):
        tokenizer.decode([token])


def test_saved_and_loaded(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / tokenizer.file_name
    tokenizer.save(path)
    again = load_tokenizer(path)
    assert type(again) is type(tokenizer)
    assert again.encode("Once a cat") == tokenizer.encode("Once a cat")
    assert [p.name for p in tmp_path.iterdir()] == [tokenizer.file_name]


def test_best_score_merges_first_and_leftmost_of_equals() -> None:
    def encode(text: str, *merges: tuple[bytes, float]) -> list[bytes]:
        tokenizer = Llama2cTokenizer(llama2c_file((*LETTERS, *merges)))
        return [tokenizer.piece_bytes(i) for i in tokenizer.encode(text, bos=False)]

    assert encode("abc", (b"ab", -2.0), (b"bc", -1.0)) == [b" ", b"a", b"bc"]
    assert encode("abc", (b"ab", -1.0), (b"bc", -2.0)) == [b" ", b"ab", b"c"]
    assert encode("aaa", (b"aa", -1.0)) == [b" ", b"aa", b"a"]
    # A merge makes a better one possible.
    assert encode("abc", (b"ab", -3.0), (b"abc", -1.0), (b" a", -2.0)) == [b" a", b"b", b"c"]


@settings(deadline=None)
@given(text=st.text(alphabet=" abc", max_size=30))
def test_merging_equals_the_search_over_all_pairs(text: str) -> None:
    merges = tuple(
        (piece, score)
        for piece, score in {
            b"ab": -3.0,
            b"bc": -3.0,
            b"abc": -2.0,
            b"aa": -5.0,
            b"aab": -1.0,
        }.items()
    )
    tokenizer = Llama2cTokenizer(llama2c_file((*LETTERS, *merges)))
    scores = dict(merges)
    pieces = [bytes([c]) for c in (" " + text).encode()] if text else []
    while True:  # the rule, as llama2.c states it
        pairs = [(scores.get(a + b, -1e10), i) for i, (a, b) in enumerate(zip(pieces, pieces[1:]))]  # noqa: B905, RUF007
        best = max(pairs, key=lambda p: (p[0], -p[1]), default=(-1e10, 0))
        if best[0] == -1e10:
            break
        i = best[1]
        pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]
    ids = tokenizer.encode(text, bos=False)
    assert [tokenizer.piece_bytes(i) for i in ids] == pieces


def test_real_llama2c_tokenizer(shared_data: Path) -> None:
    tokenizer = load_tokenizer(shared_data / "tok512.bin")
    golden = json.loads((shared_data / "stories260K_golden.json").read_text())
    assert tokenizer.vocab_size == 512
    for case in golden["cases"]:
        assert tokenizer.encode(case["prompt"]) == case["prompt_tokens"]
        assert tokenizer.decode(case["greedy_tokens"]) == case["greedy_text"]
    text = (shared_data / "tinystories_200k.txt").read_text()[:20_000]
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_real_sentencepiece_tokenizer(shared_data: Path) -> None:
    tokenizer = load_tokenizer(shared_data / "tokenizer.model")
    assert isinstance(tokenizer, SentencePieceTokenizer)
    assert (tokenizer.vocab_size, tokenizer.bos_id, tokenizer.eos_id) == (32000, 1, 2)
    ids = tokenizer.encode("Once upon a time")
    assert ids == [1, 9038, 2501, 263, 931]  # as in Llama 2
    assert tokenizer.decode(ids) == "Once upon a time"


SPECIAL = 4 + 3 * 8 + 5 + 5 + 6


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a llama2.c tokenizer: 0 bytes"),
        (b"\1\0", "2 bytes, its header alone has 4"),
        (struct.pack("<i", -7), "max_token_length must be positive, got -7"),
        (struct.pack("<i", 7), "must hold at least 259 tokens .*, got 0"),
        (llama2c_file(cut=104), "token 7 at offset 100 needs 8 bytes, but the file ends at 104"),
        (llama2c_file(cut=-1), r"token 258 at offset 3614: piece needs 6 bytes, .* ends at 3627"),
        (llama2c_file(max_length=4), r"token 0 at offset 4: length must be in \[0, 4\].*, got 5"),
        (struct.pack("<ifi", 7, 0.0, -1), r"length must be in \[0, 7\] .*, got -1"),
        (struct.pack("<ifi", 2**31 - 1, 0.0, 2**31 - 2), "piece needs 2147483646 bytes"),
        (struct.pack("<ifi", 7, float("nan"), 1), "score must be finite, got nan"),
        (
            llama2c_file()[:SPECIAL] + llama2c_file()[SPECIAL:].replace(b"<0x41>", b"<0x42>"),
            "token 68 must be the byte <0x41>, got b'<0x42>'",
        ),
    ],
    ids=range(11),
)
def test_hostile_llama2c_files(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "tokenizer.bin"
    path.write_bytes(data)
    with pytest.raises(DataError, match=f"tokenizer.bin.*{message}"):
        load_tokenizer(path)


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\x0a\xff\xff\xff\xff\x0f", bytes(range(256))], ids=range(4)
)
def test_hostile_sentencepiece_files(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"tokenizer\.model: not a SentencePiece model"):
        load_tokenizer(path)


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.model: tokenizer does not exist"):
        load_tokenizer(tmp_path / "none.model")
    with pytest.raises(DataError, match="tokenizer must be a file, got a folder"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(("text", "vocab_size"), [("abc", 100), ("", 512)])
def test_too_little_text_to_train_on(text: str, vocab_size: int) -> None:
    with pytest.raises(
        DataError, match=f"cannot train a tokenizer of {vocab_size} tokens .* --tokenizer"
    ):
        train_tokenizer(text, vocab_size)


def test_few_words_make_a_smaller_vocabulary() -> None:
    text = "The cat sat on the mat. " * 100
    tokenizer = train_tokenizer(text, 512)
    assert 256 < tokenizer.vocab_size < 512
    assert tokenizer.decode(tokenizer.encode(text)) == text
