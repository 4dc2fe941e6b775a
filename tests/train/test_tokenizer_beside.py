"""Which tokenizer goes with weights when nobody names one."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from pyane import llama, train
from pyane.cli import main
from pyane.errors import ConfigError, DataError
from pyane.train.stories import story_text
from pyane.train.tokenizer_beside import tokenizer_beside

SIZES = {"tokenizer.model": 420, "tok400.model": 400, "tok410.model": 410}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of 400 tokens among tokenizers of several sizes."""
    folder = tmp_path_factory.mktemp("source")
    for name, size in SIZES.items():
        train.train_tokenizer(story_text(50_000, 0), size).save(folder / name)
    config = llama.Config(
        dim=16, hidden_dim=24, n_layers=1, n_heads=2, n_kv_heads=1, vocab_size=400, seq_len=300
    )
    parameters = llama.Parameters(config).init(np.random.default_rng(0))
    llama.checkpoint.write(folder / "model.bin", config, parameters)
    return folder


@pytest.fixture
def folder(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(source, tmp_path / "copy")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "copy"


def test_the_one_that_fits(folder: Path) -> None:
    for size, name in ((400, "tok400.model"), (410, "tok410.model"), (420, "tokenizer.model")):
        found = tokenizer_beside(folder / "model.bin", size)
        assert found is not None
        assert (found[0], found[1].vocab_size) == (folder / name, size)
    assert train.load_model(folder / "model.bin")[2] == folder / "tok400.model"


def test_commands_take_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", str(folder / "model.bin"), "--max-tokens", "3"]) == 0
    args = ["--story-bytes", "20000", "--seq-len", "16", "--batch-size", "1", "--steps", "1"]
    args += ["--init-from", str(folder / "model.bin"), "--run-dir", "run"]
    assert main(["train", *args, "--eval-sequences", "1"]) == 0
    assert "vocabulary 400" in capsys.readouterr().out
    kept = Path("run", "tokenizer.model").read_bytes()
    assert kept == (folder / "tok400.model").read_bytes()


def test_none_that_fits(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "tok400.model").write_bytes(b"")
    for command in (["generate"], ["train", "--init-from"]):
        assert main([*command, str(folder / "model.bin")]) in (1, 2)
        out, err = capsys.readouterr()
        assert out == ""  # no stories have been written
        assert f"{folder / 'model.bin'}: no tokenizer beside it fits: " in err
        assert f"{folder / 'tokenizer.model'}: tokenizer has 420 tokens, the model 400; " in err
        assert f"{folder / 'tok410.model'}: tokenizer has 410 tokens, the model 400. " in err
        assert str(folder / "tok400.model") in err
        assert "--tokenizer FILE" in err
    assert not Path("runs").exists()


def test_a_single_one(folder: Path) -> None:
    """Its own error. Other files are none, whatever they are called."""
    for name in ("tok400.model", "tok410.model"):
        (folder / name).unlink()
    for name in ("tokens.bin", "tokenizer_config.json"):
        (folder / name).write_bytes(b"\0" * 8)
    with pytest.raises(ConfigError, match=r"tokenizer\.model: tokenizer has 420 tokens, the model"):
        tokenizer_beside(folder / "model.bin", 400)
    (folder / "tokenizer.model").write_bytes(b"?")
    with pytest.raises(DataError, match=r"tokenizer\.model"):
        tokenizer_beside(folder / "model.bin", 400)
    (folder / "tokenizer.model").unlink()
    assert tokenizer_beside(folder / "model.bin", 400) is None
    assert train.load_model(folder / "model.bin")[2] is None


def test_a_named_one_is_checked_before_the_data(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = str(folder / "tok410.model")
    assert main(["train", "--init-from", str(folder / "model.bin"), "--tokenizer", wrong]) == 2
    out, err = capsys.readouterr()
    assert f"--tokenizer {wrong}: tokenizer has 410 tokens, the model 400; " in err
    assert out == ""
    args = ["train", "--init-from", str(folder / "model.bin"), "--seq-len", "301"]
    assert main(args) == 2
    out, err = capsys.readouterr()
    assert "--seq-len must be at most 300, the model's, got 301" in err
    assert out == ""


def test_weights_that_are_shared(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """stories260K.bin beside Llama 2's tokenizer.model, and its own tok512.bin."""
    args = [str(shared_data / "stories260K.bin"), "--prompt", "Once", "--max-tokens", "2"]
    assert main(["generate", *args, "--temperature", "0"]) == 0
    assert capsys.readouterr().out.startswith("Once upon")
