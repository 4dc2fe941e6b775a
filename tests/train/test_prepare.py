"""Texts to token files: the tokens are those of the whole text, whatever the blocks and processes."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pyane.errors import ConfigError, DataError
from pyane.train import documents
from pyane.train import prepare as module
from pyane.train.data import encode_text, open_token_file, read_text, split_documents
from pyane.train.documents import scan
from pyane.train.prepare import prepare
from pyane.train.sentencepiece_tokenizer import SentencePieceTokenizer
from pyane.train.stories import story_text
from pyane.train.tokenizer import load_tokenizer, train_tokenizer

TEXTS = {
    "blank_lines": "One.\n\nTwo,\nstill two.\n \t \n\n\nThree.\n \n \n  indented\n",
    "marker": "One.\n\nstill one.<|endoftext|>\nTwo.\n<|endoftext|>\n<|endoftext|>Three.",
    "windows": "One.\r\n\r\nTwo.\r\rThree.\r",
    "bom": "\ufeffOne.\n\nTwo.",
    "unicode": "né 東京 🐕‍🦺\n\n\u2028x\x85y\u00a0\n\n\x0cz",
    "no_separator": "just one document",
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.model"
    train_tokenizer(story_text(30_000, 0), 400).save(path)
    return path


def expected_tokens(texts: list[Path], tokenizer: Path) -> np.ndarray:
    encoder = load_tokenizer(tokenizer)
    return np.concatenate([encode_text(read_text(path), encoder) for path in texts])


@pytest.mark.parametrize("block", [1, 2, 3, 7, 1 << 20])
@pytest.mark.parametrize("name", TEXTS)
def test_documents_of_blocks_are_those_of_the_whole(
    name: str, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "_BLOCK", block)
    path = tmp_path / "text.txt"
    raw = TEXTS[name].encode()
    path.write_bytes(raw)
    file = scan(path)
    assert list(file.documents()) == split_documents(read_text(path))
    assert (file.n_bytes, file.sha256) == (len(raw), hashlib.sha256(raw).hexdigest())
    assert file.has_marker == (name == "marker")


@pytest.mark.parametrize("block", [1, 2, 5, 1 << 20])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("bad", [b"\xff", b"\xe6\x9d", b"\xc0\xaf"])
def test_bytes_that_are_no_text_are_found(
    block: int, bom: bytes, bad: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "_BLOCK", block)
    path = tmp_path / "text.txt"
    path.write_bytes(bom + "é\nab".encode() + bad + b"c\n")
    with pytest.raises(DataError) as whole:
        read_text(path)
    with pytest.raises(DataError) as in_blocks:
        scan(path)
    assert str(in_blocks.value) == str(whole.value)
    assert f":2: text must be UTF-8, got byte 0x{bad[0]:02x} at" in str(whole.value)


@pytest.mark.parametrize("raw", [b"", b" \n\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n"])
def test_files_without_text(raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=rf"holds no text \({len(raw)} bytes\)"):
        scan(path)


def test_a_document_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_BLOCK", 10)
    monkeypatch.setattr(documents, "_MAX_DOCUMENT", 30)
    path = tmp_path / "text.txt"
    path.write_text("word " * 20)
    with pytest.raises(DataError, match="more than 30 characters; separate documents by"):
        list(scan(path).documents())


@pytest.mark.parametrize("jobs", [1, 3])
def test_tokens(
    jobs: int, tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BATCH", 2_000)
    paths = []
    for i, text in enumerate([story_text(40_000, 1), *TEXTS.values()]):
        paths.append(tmp_path / f"{i}.txt")
        paths[-1].write_bytes(text.encode())
    calls: list[tuple[int, int]] = []
    output = tmp_path / "tokens.bin"
    result = prepare(
        paths, tokenizer, output, jobs=jobs, on_progress=lambda *args: calls.append(args)
    )
    tokens = expected_tokens(paths, tokenizer)
    assert np.array_equal(open_token_file(output, 400), tokens)
    assert (result.n_tokens, result.dtype) == (len(tokens), "uint16")
    assert result.n_documents == sum(len(split_documents(read_text(path))) for path in paths)
    assert calls == sorted(calls)
    assert calls[-1] == (result.n_bytes, sum(path.stat().st_size for path in paths))
    description = json.loads((tmp_path / "tokens.bin.json").read_text())
    assert description["sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
    assert description["tokenizer"] == {
        "file": "tokenizer.model",
        "sha256": hashlib.sha256(tokenizer.read_bytes()).hexdigest(),
    }
    assert description["sources"][1] == {
        "file": "1.txt",
        "n_bytes": paths[1].stat().st_size,
        "sha256": hashlib.sha256(paths[1].read_bytes()).hexdigest(),
    }
    assert len(list(tmp_path.iterdir())) == len(paths) + 2


def test_real_text_with_llama2c_s_tokenizer(shared_data: Path, tmp_path: Path) -> None:
    texts = [shared_data / "tinystories_200k.txt"]
    prepare(texts, shared_data / "tok512.bin", tmp_path / "tokens.bin", jobs=2)
    tokens = open_token_file(tmp_path / "tokens.bin", 512)
    assert np.array_equal(tokens, expected_tokens(texts, shared_data / "tok512.bin"))


def test_large_vocabularies_take_four_bytes(
    tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "token_dtype", lambda _: "uint32")
    (tmp_path / "text.txt").write_text(TEXTS["blank_lines"])
    prepare([tmp_path / "text.txt"], tokenizer, tmp_path / "tokens.bin")
    tokens = open_token_file(tmp_path / "tokens.bin", 400)
    assert tokens.dtype == np.uint32
    assert np.array_equal(tokens, expected_tokens([tmp_path / "text.txt"], tokenizer))


def test_tokenizers_travel_to_other_processes(tokenizer: Path, shared_data: Path) -> None:
    for path in (tokenizer, shared_data / "tok512.bin"):
        one = load_tokenizer(path)
        other = pickle.loads(pickle.dumps(one))
        assert other.encode(TEXTS["unicode"]) == one.encode(TEXTS["unicode"])
        assert other.sha256 == one.sha256


@pytest.fixture
def prepared(tokenizer: Path, tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text(TEXTS["blank_lines"])
    prepare([tmp_path / "text.txt"], tokenizer, tmp_path / "tokens.bin")
    return tmp_path / "tokens.bin"


def test_what_does_not_belong_together(prepared: Path, tokenizer: Path) -> None:
    sha256 = load_tokenizer(tokenizer).sha256
    n = len(open_token_file(prepared, 400, sha256))
    with pytest.raises(
        DataError, match=f"another tokenizer .SHA-256 {sha256[:12]}, this one has ff"
    ):
        open_token_file(prepared, 400, "f" * 64)
    raw = prepared.read_bytes()
    prepared.write_bytes(raw[:-2])
    with pytest.raises(
        DataError, match=rf"must hold {n} tokens, as tokens\.bin\.json says, got {n - 1}"
    ):
        open_token_file(prepared, 400)
    prepared.write_bytes(raw[:-2] + raw[:2])
    with pytest.raises(
        DataError, match=r"the tokens are not those that tokens\.bin\.json describes"
    ):
        open_token_file(prepared, 400)
    prepared.write_bytes(raw[:-1])
    with pytest.raises(DataError, match="must hold 2 bytes per token"):
        open_token_file(prepared, 400)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "[" * 10**5, '{"format": "pyane tokens", "version": 2, "dtype": "uint16"}'],
)
def test_descriptions_that_are_none(prepared: Path, text: str) -> None:
    prepared.with_name("tokens.bin.json").write_text(text)
    with pytest.raises(DataError, match=r"tokens\.bin\.json: not a description of a token file"):
        open_token_file(prepared, 400)


def test_failures_leave_what_was_there(
    prepared: Path, tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    text = tmp_path / "text.txt"
    for texts, message in [
        ([text, tmp_path / "absent"], "absent: text file does not exist"),
        ([tmp_path], "text file must be a file, got a folder"),
    ]:
        with pytest.raises(DataError, match=message):
            prepare(texts, tokenizer, prepared)
    with pytest.raises(DataError, match=r"absent/x\.bin: could not be written .No such file"):
        prepare([text], tokenizer, tmp_path / "absent/x.bin")
    with pytest.raises(ConfigError, match="must not replace an input"):
        prepare([prepared], tokenizer, prepared)
    with pytest.raises(ConfigError, match="must not replace an input"):
        prepare([tmp_path / "tokens.bin.json"], tokenizer, prepared)
    with pytest.raises(ConfigError, match="--jobs must be at least 1, got 0"):
        prepare([text], tokenizer, prepared, jobs=0)
    with pytest.raises(ConfigError, match="at least one text"):
        prepare([], tokenizer, prepared)

    def fails(*_: object) -> list[list[int]]:
        raise KeyboardInterrupt

    monkeypatch.setattr(SentencePieceTokenizer, "encode_all", fails)
    with pytest.raises(KeyboardInterrupt):
        prepare([text], tokenizer, prepared)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(number: int, tokenizer: Path, tmp_path: Path) -> None:
    """Ctrl-C reaches the whole group, as from a terminal; kill only the process."""
    (tmp_path / "text.txt").write_text(story_text(200_000, 1) * 200)
    command = [sys.executable, "-m", "pyane", "data", "prepare", "text.txt", "-j", "2"]
    process = subprocess.Popen(
        [*command, "--tokenizer", str(tokenizer)],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while process.poll() is None and not list(tmp_path.glob(".tokens.bin.*")):
        time.sleep(0.02)
    time.sleep(0.1)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]
