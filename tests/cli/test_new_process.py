"""Runs that outlive their process: a spent compile budget, and kills at random moments."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SMALL = [
    "--batch-size", "1", "--seq-len", "32", "--story-bytes", "20000", "--eval-sequences", "2",
    "--save-every", "4", "--eval-every", "5", "--steps", "14", "--threads", "1",
    "--device", "emulator",
]  # fmt: skip
RESULTS = ("metrics.jsonl", "model.bin", "best.bin", "state.bin")

# Python runs this in every process that it starts. It stands in for a device on which every upload
# of weights compiles, and a process may do so only so many times.
BUDGET = """
import os
from pyane import errors, llama
upload, used = llama.Model.upload_weights, []
def limited(self):
    if len(used) == int(os.environ["UPLOADS_PER_PROCESS"]):
        raise errors.CompileBudgetError("the budget of this process is spent")
    used.append(1)
    upload(self)
llama.Model.upload_weights = limited
del llama.Model.half_weights  # which would upload without it
with open(os.environ["PROCESSES"], "a") as file:
    print(os.getpid(), file=file)
"""


def train(here: Path, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pyane", "train", *args],
        check=False,
        capture_output=True,
        text=True,
        cwd=here,
        env={**os.environ, **environment},
    )


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    path = tmp_path_factory.mktemp("whole")
    done = train(path, *SMALL, "--run-dir", "run")
    assert done.returncode == 0, done.stderr
    return path / "run"


@pytest.fixture
def budgeted(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(BUDGET)
    return {"PYTHONPATH": str(tmp_path / "site"), "PROCESSES": str(tmp_path / "processes")}


def test_spent_budget_goes_on_in_a_new_process(
    whole: Path, tmp_path: Path, budgeted: dict[str, str]
) -> None:
    args = [*SMALL, "--run-dir", "run", "--jsonl", "log.jsonl"]
    done = train(tmp_path, *args, **budgeted, UPLOADS_PER_PROCESS="6")
    assert (done.returncode, done.stderr) == (0, "")
    processes = (tmp_path / "processes").read_text().split()
    assert len(processes) == 3  # 15 uploads: before every step, and before the last evaluation
    assert len(set(processes)) == 1  # exec keeps the id, so that a shell waits for the right one
    for name in RESULTS:
        assert (tmp_path / "run" / name).read_bytes() == (whole / name).read_bytes()
    # Output and log go on as if nothing had happened.
    lines = [line for line in done.stdout.splitlines() if line.startswith("step ")]
    assert [int(line.split()[1].split("/")[0]) for line in lines] == list(range(15))
    assert done.stdout.count("Run folder:") == 1
    assert done.stdout.count("Efficiency Report") == 1
    assert "Total steps:     14" in done.stdout
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    # Also of the steps that one process made and the next one finished.
    assert [r["step"] for r in records if r["type"] == "step"] == list(range(14))
    assert [r["batch"] for r in records if r["type"] == "batch"] == list(range(1, 15))
    metrics = (whole / "metrics.jsonl").read_text().splitlines()[1:]
    losses = [json.loads(line)["loss"] for line in metrics]
    assert [r["loss"] for r in records if r["type"] == "step"] == losses
    assert all(r["train_ms"] > 0 for r in records if r["type"] == "batch")
    assert not [p.name for p in (tmp_path / "run").iterdir() if p.suffix == ".tmp"]


@pytest.mark.slow
def test_static_pipeline_within_a_budget(tmp_path: Path) -> None:
    # Five programs a layer for new weights, and one more at first: two uploads a process.
    args = [*SMALL, "--pipeline", "static", "--accumulation", "1", "--steps", "5"]
    args += ["--eval-every", "3"]
    for name, budget in (("whole", "1000"), ("one", "26"), ("run", "51")):
        done = train(tmp_path, *args, "--run-dir", name, PYANE_COMPILE_BUDGET=budget)
        assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("  held out ") == 6
    # One upload a process, as for 12 layers on the engine: a step that is evaluated takes two.
    assert_same_results(tmp_path / "one", tmp_path / "whole")
    assert "No story: no compilations are left" in done.stdout
    assert_same_results(tmp_path / "run", tmp_path / "whole")
    times = [
        json.loads(line) for line in (tmp_path / "run" / "timing.jsonl").read_text().splitlines()
    ]
    assert len(times) == 6
    # Compiled for the first evaluation (and step 1), for steps 2 and 3, for the evaluation after it
    # (and step 4), for step 5 and the last evaluation.
    assert [t["compile_ms"] > 0 for t in times] == [True, False, True, True, False, True]
    assert all(t["train_ms"] > 0 for t in times[1:])  # also of steps that the next process finished


def test_one_upload_per_process(whole: Path, tmp_path: Path, budgeted: dict[str, str]) -> None:
    done = train(tmp_path, *SMALL, "--run-dir", "run", **budgeted, UPLOADS_PER_PROCESS="1")
    assert (done.returncode, done.stderr) == (0, "")
    # One for the first evaluation and step 1, then one for every step, and one for the last
    # evaluation: that after steps 5 and 10 is what the next step starts from.
    assert len((tmp_path / "processes").read_text().split()) == 15
    assert_same_results(tmp_path / "run", whole)


def test_the_new_process_is_started_as_the_first_was(tmp_path: Path) -> None:
    # Files of the user's, named like modules of Python's own, mean nothing to the script `pyane`.
    (tmp_path / "json.py").write_text("raise SystemExit('json.py of the working directory')")
    script = tmp_path / "bin" / "pyane"
    script.parent.mkdir()
    script.write_text("import sys\nfrom _pyane_command import main\nsys.exit(main())\n")
    args = [*SMALL, "--pipeline", "static", "--accumulation", "1", "--steps", "2"]
    done = subprocess.run(
        [sys.executable, "-X", "utf8", str(script), "train", *args, "--run-dir", "run"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYANE_COMPILE_BUDGET": "26"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Files in run" in done.stdout


def test_budget_too_small_for_a_step(tmp_path: Path, budgeted: dict[str, str]) -> None:
    done = train(tmp_path, *SMALL, "--run-dir", "run", **budgeted, UPLOADS_PER_PROCESS="0")
    assert done.returncode == 1
    assert done.stderr == (
        "pyane: one step needs more compilations than a process may make: "
        "the budget of this process is spent\n"
    ).replace("pyane: ", "pyane: error: ")
    assert len((tmp_path / "processes").read_text().split()) == 1
    assert not (tmp_path / "run").exists()


def killed_at_random(
    here: Path, steps: int, n_kills: int, moments: random.Random, *options: str
) -> int:
    """Trains in `here`/run with kills in between; returns how many found the run at work."""
    metrics, args = here / "run" / "metrics.jsonl", ["--run-dir", "run", *SMALL, *options]
    hits = 0
    for i in range(n_kills):
        # Not before the first step: until the state of step 0 is saved, there is no run.
        low, high = steps * i // n_kills, steps * (i + 1) // n_kills
        target = moments.randrange(max(1, low), high)
        running = subprocess.Popen(
            [sys.executable, "-m", "pyane", "train", *args, "--steps", str(steps)],
            cwd=here,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        while running.poll() is None:
            if metrics.exists() and metrics.read_bytes().count(b"\n") > target:
                time.sleep(moments.random() * 0.02)
                break
            time.sleep(0.001)
        running.send_signal(signal.SIGKILL)
        _, err = running.communicate()
        assert err == ""
        hits += running.returncode == -signal.SIGKILL
        args = ["--resume", "run", "--device", "emulator"]
    done = train(here, *args, "--steps", str(steps))
    assert done.returncode == 0 or "steps are done" in done.stderr, done.stderr
    return hits


def assert_same_results(a: Path, b: Path) -> None:
    for name in RESULTS:
        assert (a / name).read_bytes() == (b / name).read_bytes(), name


def test_killed_three_times(whole: Path, tmp_path: Path) -> None:
    assert killed_at_random(tmp_path, 14, 3, random.Random(1)) >= 2
    assert_same_results(tmp_path / "run", whole)


@pytest.mark.slow
def test_killed_twenty_times(tmp_path: Path) -> None:
    options = ["--save-every", "7", "--patience", "50", "--compact-vocabulary"]
    done = train(tmp_path, *SMALL, *options, "--steps", "200", "--run-dir", "whole")
    assert done.returncode == 0, done.stderr
    moments = random.Random(2)
    assert killed_at_random(tmp_path, 200, 20, moments, *options) >= 18
    assert_same_results(tmp_path / "run", tmp_path / "whole")
