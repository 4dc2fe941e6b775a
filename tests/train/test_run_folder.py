from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyane.errors import CheckpointError, ConfigError
from pyane.train.metrics import JsonLines, read_jsonl
from pyane.train.run_folder import RunFolder, find_tokenizer, inherited_lock


def test_folders_are_numbered_and_never_reused(tmp_path: Path) -> None:
    parent = tmp_path / "runs"
    with_file = parent / "tiny-7"
    with_file.mkdir(parents=True)
    (parent / "tiny-x").mkdir()
    (parent / "other-9").mkdir()
    first, second = (RunFolder.create_next(parent, "tiny") for _ in range(2))
    assert [first.path.name, second.path.name] == ["tiny-8", "tiny-9"]
    first.close()
    second.close()
    first.close()


def test_chosen_folder_must_be_empty(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "a" / "b")
    run.close()
    with pytest.raises(ConfigError, match=r"--run-dir .*b: must be new or empty.*--resume .*b"):
        RunFolder.create(tmp_path / "a" / "b")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="must be a folder, got a file"):
        RunFolder.create(tmp_path / "file")
    with pytest.raises(CheckpointError, match="cannot be made"):
        RunFolder.create(Path("/proc/nowhere/run"))


def test_second_trainer_is_refused(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    run.write_config({"x": 1})
    code = "import sys; from pathlib import Path; from pyane.train.run_folder import RunFolder\n"
    code += "RunFolder.open(Path(sys.argv[1]))"

    def other_process() -> str:
        command = [sys.executable, "-c", code, run.path]
        return subprocess.run(command, capture_output=True, text=True, check=False).stderr

    assert "another trainer is working in this run folder" in other_process()
    with pytest.raises(CheckpointError, match="another trainer"):
        RunFolder.open(run.path)
    run.close()
    assert other_process() == ""


def test_lock_is_handed_to_the_process_that_replaces_this_one(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    run.write_config({"x": 1})
    run.close()
    # The first process replaces itself; meanwhile and afterwards nobody else gets in.
    open_it = "import os, sys\nfrom pathlib import Path\n"
    open_it += "from pyane.errors import CheckpointError\n"
    open_it += "from pyane.train.run_folder import RunFolder, inherited_lock\n"
    open_it += "path = Path(sys.argv[1])\n"
    second = open_it + (
        "assert inherited_lock(path) is not None\n"
        "assert inherited_lock(path.parent) is None\n"
        "run = RunFolder.open(path)\n"
        "assert not os.get_inheritable(run._lock_fd)\n"
        "assert inherited_lock(path) is None\n"
        "try: RunFolder.open(path)\n"
        "except CheckpointError as e: print(e)\n"
        "run.close()\n"
        "RunFolder.open(path)\n"
    )
    first = open_it + (
        "run = RunFolder.open(path)\nrun.bequeath_lock()\n"
        f"os.execv(sys.executable, [sys.executable, '-c', {second!r}, str(path)])\n"
    )
    command = [sys.executable, "-c", first, run.path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "another trainer is working in this run folder" in done.stdout


@pytest.mark.parametrize("value", ["", "x", "-1", "99999", "9" * 40, "0"])
def test_inherited_lock_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    RunFolder.create(tmp_path / "run").close()
    monkeypatch.setenv("PYANE_RUN_LOCK", value)
    assert inherited_lock(tmp_path / "run") is None


def test_leftovers_of_a_kill_are_removed(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    run.write_config({"x": 1})
    run.close()
    (run.path / ".state.bin.0123456789ab.tmp").write_bytes(b"half")
    (run.path / "notes.tmp").write_text("mine")
    RunFolder.open(run.path).close()
    assert {p.name for p in run.path.iterdir()} == {"config.json", "lock", "notes.tmp"}


def test_discard_removes_only_what_a_run_wrote(tmp_path: Path) -> None:
    for name, others in (("empty", False), ("used", True)):
        run = RunFolder.create(tmp_path / name)
        run.write_config({"x": 1})
        for early in ("vocabulary.json", "model.bin", "model.safetensors", "tokenizer.json"):
            (run.path / early).write_text("{}")
        if others:
            (run.path / "notes").write_text("mine")
        run.discard()
        run.close()
        assert run.path.exists() == others
    assert [p.name for p in (tmp_path / "used").iterdir()] == ["notes"]


def test_folders_that_are_no_runs(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="none: run folder does not exist"):
        RunFolder.open(tmp_path / "none")
    with pytest.raises(CheckpointError, match=r"not a run folder: no config\.json"):
        RunFolder.open(tmp_path)


def test_find_tokenizer(tmp_path: Path) -> None:
    assert find_tokenizer(tmp_path) is None
    (tmp_path / "tokenizer.bin").touch()
    assert find_tokenizer(tmp_path) == tmp_path / "tokenizer.bin"


def write_steps(path: Path, steps: range, keep: int) -> None:
    lines = JsonLines(path, keep)
    for step in steps:
        lines.write({"step": step, "loss": 1 / (step + 1)})
    lines.sync()
    lines.close()


def test_resumed_metrics_equal_unbroken_ones(tmp_path: Path) -> None:
    write_steps(tmp_path / "whole", range(20), -1)
    write_steps(tmp_path / "broken", range(15), -1)
    with (tmp_path / "broken").open("a") as f:
        f.write('{"step": 15, "lo')  # killed while writing
    write_steps(tmp_path / "broken", range(11, 20), 10)
    assert (tmp_path / "broken").read_bytes() == (tmp_path / "whole").read_bytes()


@pytest.mark.parametrize("torn", [b"", b"{", b"[]\n", b'{"step": 3}', b"\xff\n"])
def test_torn_lines_are_dropped(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "m"
    path.write_bytes(b'{"step": 1}\n{"step": 2}\n' + torn)
    write_steps(path, range(3, 4), 2)
    assert [r["step"] for r in read_jsonl(path)] == [1, 2, 3]


def test_numbers_that_json_lacks(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path / "m", -1)
    lines.write({"step": 1, "norm": float("inf"), "loss": 0.1 + 0.2})
    lines.close()
    lines.close()
    record = json.loads((tmp_path / "m").read_text())
    assert record == {"step": 1, "norm": None, "loss": 0.1 + 0.2}


def test_metrics_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match="could not be written"):
        JsonLines(tmp_path, -1)
    lines = JsonLines(tmp_path / "m", -1)
    lines.write({"step": 1})

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"m: could not be written .No space left on device"):
        lines.sync()
    lines.close()
