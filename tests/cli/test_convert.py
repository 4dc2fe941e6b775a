from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import sentencepiece

from pyane.cli import main
from pyane.llama import Config, Parameters, checkpoint
from pyane.train.stories import story_text
from pyane.train.tokenizer import load_tokenizer
from pyane.train.vocabulary import read_vocabulary

CONFIG = Config(
    dim=12, hidden_dim=17, n_layers=2, n_heads=3, n_kv_heads=1, vocab_size=13, seq_len=5
)


@pytest.fixture
def model(tmp_path: Path, rng: np.random.Generator) -> Path:
    values = rng.standard_normal(CONFIG.n_parameters).astype(np.float32)
    checkpoint.write(tmp_path / "a.bin", CONFIG, Parameters(CONFIG, values))
    return tmp_path / "a.bin"


def test_there_and_back(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(model), str(tmp_path / "hf")]) == 0
    out = capsys.readouterr().out
    assert f"hf: {CONFIG.n_parameters:,} parameters, 2 layers, vocabulary 13, float32" in out
    assert main(["convert", str(tmp_path / "hf"), str(tmp_path / "b.bin")]) == 0
    assert (tmp_path / "b.bin").read_bytes() == model.read_bytes()


def test_a_run_folder_with_its_tokenizer(shared_data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(shared_data / "stories260K.bin", run / "model.bin")
    shutil.copy(shared_data / "tok512.bin", run / "tokenizer.bin")
    assert main(["convert", str(run), str(tmp_path / "hf"), "--dtype", "bfloat16"]) == 0
    copy = (tmp_path / "hf/tokenizer.bin").read_bytes()
    assert copy == (shared_data / "tok512.bin").read_bytes()
    assert checkpoint.read(tmp_path / "hf")[0].n_layers == 5


def test_a_tokenizer_of_another_model_stays(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Llama 2's tokenizer beside a model of 512 tokens."""
    for name in ("stories260K.bin", "tokenizer.model"):
        (tmp_path / name).write_bytes((shared_data / name).read_bytes())
    assert main(["convert", str(tmp_path / "stories260K.bin"), str(tmp_path / "hf")]) == 0
    assert "tokenizer.model beside" in capsys.readouterr().err
    assert not (tmp_path / "hf/tokenizer.model").exists()


def test_the_tokens_that_took_part_go_along(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model.parent / "vocabulary.json").write_text('{"vocab_size": 13, "tokens": [1, 2, 7]}')
    assert main(["convert", str(model), str(tmp_path / "hf")]) == 0
    assert "only 3 of its 13 tokens took part in training" in capsys.readouterr().err
    ids = read_vocabulary(tmp_path / "hf", 13)
    assert ids is not None
    assert ids.tolist() == [1, 2, 7]
    assert main(["convert", str(model), str(tmp_path / "b.bin")]) == 0
    assert "b.bin cannot say which" in capsys.readouterr().err


def test_a_tokenizer(shared_data: Path, tmp_path: Path) -> None:
    """Llama 2's, as llama2.c's own encoder then uses it: the same tokens."""
    source = shared_data / "tokenizer.model"
    assert main(["convert", str(source), str(tmp_path / "tokenizer.bin")]) == 0
    theirs, ours = load_tokenizer(source), load_tokenizer(tmp_path / "tokenizer.bin")
    assert (ours.vocab_size, ours.bos_id, ours.eos_id) == (32000, 1, 2)
    for text in (story_text(20_000, 1), "naïve café — 東京 🐕", "a\n\nb 123", ""):
        assert ours.encode(text) == theirs.encode(text)
        assert ours.decode(ours.encode(text)) == text


def test_a_tokenizer_that_llama2c_cannot_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = io.BytesIO()
    lines = iter(story_text(20_000, 1).splitlines())
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines, model_writer=model, vocab_size=200, minloglevel=3
    )
    source, target = tmp_path / "unigram.model", tmp_path / "tokenizer.bin"
    source.write_bytes(model.getvalue())
    assert main(["convert", str(source), str(target)]) == 1
    assert "must be a byte-pair encoding; its scores are not ranks" in capsys.readouterr().err
    assert main(["convert", str(source), str(tmp_path / "tokenizer.txt")]) == 2
    assert "DST must end in .bin" in capsys.readouterr().err
    assert not target.exists()


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["a.bin", "a.bin"], 2, "DST must not be SRC, got a.bin for both"),
        (
            ["a.bin", "b.bin", "--dtype", "float16"],
            2,
            "--dtype must be float32 for a llama2.c file",
        ),
        (
            ["a.bin", "hf", "--dtype", "int4"],
            2,
            "--dtype must be one of float32, float16, bfloat16",
        ),
        (["a.bin", "full"], 1, "full: must be new or an empty folder"),
        (["a.bin", "absent/hf"], 1, "absent/hf: could not be written: No such file or directory"),
        (["absent", "hf"], 1, "absent: checkpoint cannot be read (No such file or directory)"),
        (["full", "hf"], 1, "full: must hold model.bin (a run folder) or model.safetensors"),
    ],
)
def test_errors(
    args: list[str],
    code: int,
    message: str,
    model: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(model.parent)
    Path("full").mkdir()
    Path("full/file").touch()
    assert main(["convert", *args]) == code
    assert message in capsys.readouterr().err
    assert sorted(p.name for p in Path().iterdir()) == ["a.bin", "full"]
