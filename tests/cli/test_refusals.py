"""What a trainer refuses to go on with: an error of one line, and nothing in the folder changes."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pyane.cli import main
from pyane.train.state import load_state, save_state

SETTINGS = [
    "--batch-size", "1", "--seq-len", "16", "--eval-sequences", "1", "--steps", "4",
    "--save-every", "2", "--threads", "1", "--device", "emulator",
]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    tokens = np.random.default_rng(0).integers(3, 512, 800).astype("<u2")
    tokens.tofile(folder / "tokens.bin")
    args = ["train", *SETTINGS, "--data", str(folder / "tokens.bin"), "--run-dir"]
    assert main([*args, str(folder / "run")]) == 0
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of its own for the test, whose data the test may change."""
    shutil.copytree(finished, tmp_path / "copy")
    path = tmp_path / "copy" / "run"
    state = load_state(path / "state.bin")
    state.config["data"] = str(tmp_path / "copy" / "tokens.bin")
    save_state(path / "state.bin", state)
    monkeypatch.chdir(tmp_path)
    return path


def contents(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def refused(run: Path, capsys: pytest.CaptureFixture[str], *args: str) -> str:
    before = contents(run)
    assert main(["train", "--resume", str(run), "--steps", "6", *args]) in (1, 2)
    assert contents(run) == before
    out, err = capsys.readouterr()
    assert err.startswith("pyane: error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in out + err
    return err


def test_control(run: Path) -> None:
    assert main(["train", "--resume", str(run), "--steps", "6"]) == 0


def test_corrupted_state(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray((run / "state.bin").read_bytes())
    data[len(data) // 2] ^= 1
    (run / "state.bin").write_bytes(data)
    err = refused(run, capsys)
    assert "state.bin: training state is corrupt: its checksum does not agree" in err
    assert "model.bin beside it holds the weights (--init-from)" in err


def test_changed_data(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = run.parent / "tokens.bin"
    tokens = np.fromfile(file, "<u2")
    tokens[3] ^= 1
    tokens.tofile(file)
    err = refused(run, capsys)
    assert "tokens.bin: the data are not those the run began with (SHA-256 of the tokens" in err


def test_missing_and_unreadable_data(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = run.parent / "tokens.bin"
    data = file.read_bytes()
    file.write_bytes(data[:-1])
    assert "token file must hold 2 bytes per token, got 1599 bytes" in refused(run, capsys)
    file.unlink()
    assert "tokens.bin: token file does not exist" in refused(run, capsys)
    file.mkdir()
    assert "token file must be a file, got a folder" in refused(run, capsys)
    if os.geteuid() == 0:
        return  # root may read everything
    file.rmdir()
    file.write_bytes(data)
    file.chmod(0)
    assert "token file cannot be read (Permission denied)" in refused(run, capsys)


def test_run_without_a_state(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "state.bin").unlink()
    err = refused(run, capsys)
    assert "state.bin is missing" in err  # what was trained is not to be thrown away
    assert f"--init-from {run / 'model.bin'}" in err
    (run / "metrics.jsonl").write_text('{"step": 0, "held_out_loss": 6.2}\n')
    err = refused(run, capsys)
    assert "the run ended before its first state was saved; remove the folder and begin" in err


def test_unknown_chip(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(run.parent / "tokens.bin")
    args = ["train", *SETTINGS, "--data", data, "--run-dir", "x", "--chip", "m1maxx"]
    assert main(args) == 2
    assert "must be one of m1, m1pro, " in (err := capsys.readouterr().err)
    assert "got 'm1maxx'; did you mean 'm1max'?" in err
    assert not Path("x").exists()


def test_state_of_another_shape(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = load_state(run / "state.bin")
    state.model["dim"] *= 2
    save_state(run / "state.bin", state)
    err = refused(run, capsys)
    assert "state.bin: training state describes no model (Parameters: flat must be a" in err


def test_state_of_another_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = load_state(run / "state.bin")
    n_unused = 64 * 100  # as if the vocabulary had been compacted from 612 tokens
    state.unused_rows = np.zeros(n_unused, np.float32)
    state.config["compact_vocabulary"] = True
    save_state(run / "state.bin", state)
    assert "numbers are needed" in refused(run, capsys)


def test_initial_weights_of_another_shape(
    run: Path, capsys: pytest.CaptureFixture[str], shared_data: Path
) -> None:
    args = ["train", *SETTINGS, "--init-from", str(run / "model.bin")]
    tokenizer = str(shared_data / "tokenizer.model")
    assert main([*args, "--tokenizer", tokenizer, "--run-dir", "x"]) == 2
    assert "tokenizer has 32000 tokens, the model 512" in capsys.readouterr().err
    (run / "model.bin").write_bytes((run / "model.bin").read_bytes()[:-4])
    assert main([*args, "--run-dir", "x"]) == 1
    assert "model.bin: " in capsys.readouterr().err
    assert not Path("x").exists()


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits other processes")
def test_disk_that_fills_up(run: Path, tmp_path: Path) -> None:
    data = str(run.parent / "tokens.bin")
    args = [sys.executable, "-m", "pyane", "train", *SETTINGS, "--data", data]
    done = subprocess.run([*args, "--run-dir", "whole", "--steps", "40"], check=False)
    assert done.returncode == 0
    running = subprocess.Popen(
        [*args, "--run-dir", "full", "--steps", "40"], stderr=subprocess.PIPE, text=True
    )
    metrics = tmp_path / "full" / "metrics.jsonl"
    while running.poll() is None and not (
        metrics.exists() and metrics.read_bytes().count(b"\n") > 5
    ):
        time.sleep(0.001)
    # From now on files end at a megabyte, as writes do on a full disk.
    resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    _, err = running.communicate()
    assert running.returncode == 1
    assert "could not be" in err
    assert "File too large" in err
    assert err.count("\n") == 1
    assert not list((tmp_path / "full").glob(".*.tmp"))
    assert load_state(tmp_path / "full" / "state.bin").step >= 4
    assert main(["train", "--resume", "full"]) == 0
    for name in ("metrics.jsonl", "model.bin", "state.bin"):
        assert (tmp_path / "full" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("n_bytes", [100, 1_000_000, 2_000_000])  # config, weights, state
def test_disk_that_is_full_from_the_beginning(run: Path, tmp_path: Path, n_bytes: int) -> None:
    code = "import resource, sys\nfrom pyane.cli import main\n"
    code += f"resource.setrlimit(resource.RLIMIT_FSIZE, ({n_bytes}, {n_bytes}))\n"
    code += "sys.exit(main(sys.argv[1:]))"
    args = ["train", *SETTINGS, "--data", str(run.parent / "tokens.bin"), "--run-dir", "new"]
    done = subprocess.run(
        [sys.executable, "-c", code, *args], check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert not (tmp_path / "new").exists()
