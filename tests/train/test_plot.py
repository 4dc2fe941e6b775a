from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyane.errors import CheckpointError, ConfigError
from pyane.train.plot import Curves, plot_loss, plot_runs, read_curves

STEPS = [{"step": i, "loss": 6.0 / i} for i in range(1, 50)]


@pytest.mark.parametrize(
    "records",
    [
        [],
        [{"step": 0, "held_out_loss": 6.2}],
        [{"step": 0, "held_out_loss": 6.2}, {"step": 1, "loss": 6.0}],
        [{"step": 0, "held_out_loss": 6.2}, *STEPS, {"step": 50, "held_out_loss": 0.1}],
    ],
    ids=["none", "stopped at once", "one step", "many"],
)
def test_picture_is_written(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(json.dumps(r) + "\n" for r in records))
    for name in "ab":
        plot_loss(metrics, tmp_path / name, "title")
    data = (tmp_path / "a").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) > 5_000
    assert data == (tmp_path / "b").read_bytes()


def make_run(path: Path, n: int = 5) -> Path:
    path.mkdir()
    records: list[dict[str, Any]] = [{"step": 0, "tokens": 0, "held_out_loss": 6.5}]
    records += [{"step": i, "tokens": 100 * i, "loss": 6.0 - i} for i in range(1, n)]
    records[-1]["held_out_loss"] = 2.25
    times = [{"step": i, "train_ms": 30e3, "evaluate_ms": 0, "save_ms": 30e3} for i in range(1, n)]
    for name, lines in (("metrics.jsonl", records), ("timing.jsonl", times)):
        (path / name).write_text("".join(json.dumps(r) + "\n" for r in lines))
    return path


@pytest.mark.parametrize(
    ("x", "at"),
    [("step", [1, 2, 3, 4]), ("tokens", [100, 200, 300, 400]), ("minutes", [1, 2, 3, 4])],
)
def test_curves_of_a_run(tmp_path: Path, x: str, at: list[float]) -> None:
    curves = read_curves(make_run(tmp_path / "small"), x)
    assert curves.name == "small"
    np.testing.assert_array_equal(curves.training, np.stack([at, [5.0, 4.0, 3.0, 2.0]], 1))
    np.testing.assert_array_equal(curves.held_out, [[0, 6.5], [at[-1], 2.25]])


def test_pictures_of_several_runs(tmp_path: Path) -> None:
    runs = [read_curves(make_run(tmp_path / name)) for name in ("small", "large")]
    for kind, magic in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
        for name in "ab":
            plot_runs(runs, tmp_path / f"{name}.{kind}")
        data = (tmp_path / f"a.{kind}").read_bytes()
        assert data.startswith(magic)
        assert data == (tmp_path / f"b.{kind}").read_bytes()
    text = (tmp_path / "a.svg").read_text()
    for words in ("small (2.250 held out)", "large (2.250 held out)", "optimizer steps"):
        assert words in text


def test_many_runs_and_a_run_that_has_just_begun(tmp_path: Path) -> None:
    line = np.array([[1.0, 2.0], [2.0, 1.0]])
    runs = [Curves(f"run {i}", line, np.empty((0, 2))) for i in range(25)]
    runs.append(Curves("begun", np.empty((0, 2)), line[:1]))
    plot_runs(runs, tmp_path / "many.svg", "tokens", "Many runs")
    text = (tmp_path / "many.svg").read_text()
    for words in ("run 24", "begun (2.000 held out)", "Many runs", "tokens trained on"):
        assert words in text


def test_what_cannot_be_plotted(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"x\.gif: must end in \.png, \.svg or \.pdf, got \.gif"):
        plot_runs([read_curves(run)], tmp_path / "x.gif")
    with pytest.raises(CheckpointError, match=r"none: metrics cannot be read .No such file"):
        read_curves(tmp_path / "none")
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl: metrics cannot be read"):
        read_curves(tmp_path)
    (run / "timing.jsonl").write_text('{"a": 1}\n[]\n{"step": "x", "train_ms": "y"}\n')
    assert len(read_curves(run, "minutes").training) == 0
    (run / "timing.jsonl").unlink()
    (run / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n')
    with pytest.raises(CheckpointError, match="holds no losses by minutes"):
        read_curves(run, "minutes")
    with pytest.raises(CheckpointError, match="holds no losses by tokens"):
        read_curves(run, "tokens")
    (run / "metrics.jsonl").write_bytes(b"\xff\xfe\n")
    with pytest.raises(CheckpointError, match="metrics cannot be read"):
        read_curves(run)
