"""`pyane train` and `pyane generate` as processes: output, signals, kills."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyane import llama
from pyane.cli import main
from pyane.llama.flops import training_flops

SMALL = [
    "--batch-size", "1", "--seq-len", "32", "--story-bytes", "20000", "--eval-sequences", "2",
    "--save-every", "4", "--steps", "30", "--threads", "2",
]  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYANE_DEVICE", "emulator")
    return tmp_path


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "pyane", *args]


def process(*args: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command(*args), stdout=pipe, stderr=pipe, text=True, env=environment)


def wait_for_step(run: Path, step: int, running: subprocess.Popen[str]) -> None:
    metrics = run / "metrics.jsonl"
    for _ in range(6000):
        if metrics.exists() and metrics.read_text().count("\n") > step:
            return
        if running.poll() is not None:
            pytest.fail(f"ended early: {running.communicate()}")
        time.sleep(0.01)
    running.kill()
    pytest.fail(f"step {step} was not reached")


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    path = tmp_path_factory.mktemp("whole") / "run"
    done = subprocess.run(
        command("train", *SMALL, "--device", "emulator", "--run-dir", str(path)),
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (path / "stdout").write_text(done.stdout)
    return path


def test_output_and_files(whole: Path) -> None:
    out = (whole / "stdout").read_text()
    assert "260,032 parameters" in out
    assert "emulator" in out
    assert len(re.findall(r"^step +\d+/30  .*loss .*tokens/s", out, re.MULTILINE)) == 10
    assert re.search(r"^Held-out loss: \d\.\d{4} nats per token$", out, re.MULTILINE)
    assert "A story from the model:" in out
    for name in ("config.json", "metrics.jsonl", "loss.png", "model.bin", "tokenizer.model"):
        assert (whole / name).is_file()
        assert f"  {name} " in out
    assert "\x1b" not in out
    assert "\r" not in out


def test_efficiency_counts_every_micro_batch(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = [*SMALL, "--steps", "2", "--accumulation", "3", "--run-dir", "run", "--chip", "m4max"]
    assert main(["train", *args]) == 0
    out = capsys.readouterr().out
    times = map(json.loads, (here / "run" / "timing.jsonl").read_text().splitlines())
    seconds = sum(t["train_ms"] for t in times) / 1e3
    config, _ = llama.checkpoint.read(here / "run")
    flops = training_flops(config, 1, 32, cls_on_ane=False)
    for label, n in (("Emulated TFLOPS", flops.ane), ("Total TFLOPS", flops.total)):
        shown = re.search(rf"^{label}: +(\S+) ", out, re.MULTILINE)
        assert shown is not None
        # Four digits are shown, times are logged to a microsecond.
        assert float(shown[1]) == pytest.approx(2 * 3 * n / seconds / 1e12, rel=1e-3)
    assert re.search(
        r"^ANE utilization: the emulator reaches \S+% of .* \(M4 Max\)$", out, re.MULTILINE
    )


def test_same_seed_same_metrics(whole: Path, here: Path) -> None:
    assert main(["train", *SMALL, "--run-dir", "again"]) == 0
    for name in ("metrics.jsonl", "model.bin", "tokenizer.model", "loss.png"):
        assert (here / "again" / name).read_bytes() == (whole / name).read_bytes() or (
            name == "loss.png"  # its title names the folder
        )


@pytest.mark.parametrize("step", [2, 13])
def test_kill_and_resume_is_exact(whole: Path, here: Path, step: int) -> None:
    run = here / "run"
    running = process("train", *SMALL, "--run-dir", "run")
    wait_for_step(run, step, running)
    running.kill()
    running.communicate()
    assert main(["train", "--resume", "run"]) == 0
    for name in ("metrics.jsonl", "model.bin"):
        assert (run / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signal_saves_and_says_how_to_go_on(
    whole: Path, here: Path, number: signal.Signals, code: int
) -> None:
    running = process("train", *SMALL, "--run-dir", "run")
    wait_for_step(here / "run", 5, running)
    running.send_signal(number)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (code, "")
    assert "Stopped and saved after step" in out
    assert "pyane train --resume run" in out
    assert (here / "run" / "loss.png").is_file()
    assert main(["train", "--resume", "run"]) == 0
    assert (here / "run" / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_second_signal_ends_at_once_and_loses_nothing(whole: Path, here: Path) -> None:
    running = process("train", *SMALL, "--run-dir", "run")
    wait_for_step(here / "run", 9, running)
    for _ in range(20):  # at least two arrive before the step is over, and none does harm
        running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode in (130, -signal.SIGINT)
    assert err in ("", "pyane: interrupted\n")
    assert main(["train", "--resume", "run"]) == 0
    for name in ("metrics.jsonl", "model.bin", "best.bin"):
        assert (here / "run" / name).read_bytes() == (whole / name).read_bytes()


def test_ctrl_c_while_preparing(here: Path) -> None:
    running = process("train", "--story-bytes", "30000000")
    assert running.stdout is not None
    assert "stories" in running.stdout.readline()
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (130, "pyane: interrupted\n")
    assert list(here.iterdir()) == []


def test_second_trainer_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = [*SMALL[:-4], "--steps", "100000", "--run-dir", "run"]
    running = process("train", *args)
    wait_for_step(here / "run", 1, running)
    assert main(["train", "--resume", "run"]) == 1
    assert "another trainer is working in this run folder" in capsys.readouterr().err
    running.kill()
    running.communicate()


def test_default_folders_are_numbered(here: Path) -> None:
    for _ in range(2):
        assert main(["train", *SMALL, "--steps", "1"]) == 0
    assert sorted(p.name for p in (here / "runs").iterdir()) == ["stories260k-1", "stories260k-2"]


def test_finished_run(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--resume", str(whole)]) == 2
    assert "all 30 steps are done; to go on" in capsys.readouterr().err


@pytest.mark.parametrize("picture", ["missing", "of an earlier stop"])
def test_run_killed_before_its_end_was_told(
    whole: Path, here: Path, capsys: pytest.CaptureFixture[str], picture: str
) -> None:
    """After the last state: --resume draws and tells what is missing, and trains nothing."""
    shutil.copytree(whole, here / "run")
    drawn = here / "run" / "loss.png"
    if picture == "missing":
        drawn.unlink()
    else:
        drawn.write_bytes(b"old")
        os.utime(drawn, (0, 0))
    assert main(["train", "--resume", "run"]) == 0
    out = capsys.readouterr().out
    told = (whole / "stdout").read_text()
    for line in ("Held-out loss: ", "Lowest: "):
        assert re.findall(f"^{line}.*$", out, re.MULTILINE) == re.findall(
            f"^{line}.*$", told, re.MULTILINE
        )
    story = told.partition("A story from the model:")[2].partition("Files in")[0]
    assert f"A story from the model:{story}Files in run:" in out
    assert drawn.read_bytes().startswith(b"\x89PNG")
    for name in ("metrics.jsonl", "timing.jsonl", "model.bin", "best.bin", "state.bin"):
        assert (here / "run" / name).read_bytes() == (whole / name).read_bytes()
    assert main(["train", "--resume", "run"]) == 2
    assert main(["train", "--resume", "run", "--steps", "20"]) == 2
    assert "all 30 steps are done; to go on" in capsys.readouterr().err


def test_generate_continues_the_prompt(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["generate", str(whole), "--prompt", "Once upon a time", "--max-tokens", "8"]
    assert main(args) == 0
    first = capsys.readouterr()
    assert first.out.startswith("Once upon a time")
    assert first.err == ""
    assert main(args) == 0
    assert capsys.readouterr().out == first.out


def test_generate_tokens(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["generate", str(whole / "model.bin"), "--prompt", "Once", "--max-tokens", "5"]
    assert main([*args, "--temperature", "0", "--tokens"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    tokens = json.loads(out)
    assert tokens[0] == 1
    assert all(isinstance(t, int) and 0 <= t < 512 for t in tokens)


def test_generate_real_weights(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    golden = json.loads((shared_data / "stories260K_golden.json").read_text())
    for case in golden["cases"]:
        args = ["--tokenizer", str(shared_data / "tok512.bin"), "--prompt", case["prompt"]]
        args += ["--temperature", "0", "--max-tokens", "48", "--tokens"]
        assert main(["generate", str(shared_data / "stories260K.bin"), *args]) == 0
        tokens = json.loads(capsys.readouterr().out)
        assert tokens[:40] == case["greedy_tokens"][:40]


def test_reader_that_goes_away(whole: Path) -> None:
    running = process("generate", str(whole), "--max-tokens", "200")
    assert running.stdout is not None
    running.stdout.close()
    assert running.wait(timeout=60) in (0, 1)
    assert running.stderr is not None
    assert running.stderr.read() == ""
    running.stderr.close()


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    assert re.search(r"^device +emulator", capsys.readouterr().out, re.MULTILINE)
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["threads"] >= 1
    assert "numpy" in facts["packages"]
