from __future__ import annotations

import io
import json
import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from pyane import llama
from pyane.cli.dashboard import Dashboard, show_dashboard
from pyane.train.config import TrainConfig
from pyane.train.optimizer import MicroBatch
from pyane.train.run_folder import RunFolder
from pyane.train.session import Session
from pyane.train.trainer import StepReport


def session(path: Path, **settings: Any) -> Session:
    """As much of one as the dashboard looks at."""
    config = TrainConfig(steps=40, **settings)
    fake = SimpleNamespace(
        trainer=SimpleNamespace(config=config, step=0),
        run=RunFolder(path, -1),
        model=SimpleNamespace(config=llama.PRESETS["stories260k"]),
        tokenizer=None,
        vocabulary=None,
        device="emulator",
    )
    (path / "metrics.jsonl").touch()
    return cast(Session, fake)


def report(step: int, held_out: float | None = None) -> StepReport:
    timings = {"t_ane": 0.02, "t_io": 0.005}
    return StepReport(
        step,
        5.0 - step / 10,
        held_out,
        0.001,
        1.25,
        1024.0,
        2,
        step * 512,
        0.1,
        micro_batches=(MicroBatch(5.0, 0.06, timings), MicroBatch(5.0, 0.02, timings)),
    )


def screen(dashboard: Dashboard, width: int = 100, height: int = 30) -> str:
    file = io.StringIO()
    Console(file=file, width=width, height=height, force_terminal=True, color_system=None).print(
        dashboard
    )
    return file.getvalue()


def test_everything_is_shown(tmp_path: Path) -> None:
    dashboard = Dashboard(session(tmp_path))
    for i in range(1, 21):
        dashboard.on_step(report(i, 3.75 if i == 10 else None))
    text = screen(dashboard)
    assert "260,032 parameters on emulator" in text
    for part in ("20 of 40", "3.7500 at 10", "1.00e-03, 1.25", "1024, 2 skipped", "0:02 left"):
        assert part in text
    assert "5,120 tokens/s" in text  # 512 tokens in 0.1 s
    assert "memory" in text
    assert "GB" in text
    # Two passes: 40 ms on the device, 10 ms copying, 20 ms of the step's 100 ms elsewhere.
    for part in (r"t_ane +40\.0 ms", r"t_io +10\.0 ms", r"other +20\.0 ms"):
        assert re.search(part, text)
    assert "4.900" in text  # top of the curve
    assert "(none: the token file came without a tokenizer" in text


@pytest.mark.parametrize(("width", "height"), [(200, 60), (80, 24), (60, 18), (20, 5)])
def test_fits_the_screen(tmp_path: Path, width: int, height: int) -> None:
    dashboard = Dashboard(session(tmp_path))
    assert screen(dashboard, width, height)  # before the first step
    dashboard.on_step(report(1))
    lines = screen(dashboard, width, height).splitlines()
    assert len(lines) == height
    assert all(len(line) <= width for line in lines)


def test_resumed_run_shows_its_whole_curve(tmp_path: Path) -> None:
    s = session(tmp_path)
    records: list[dict[str, Any]] = [{"step": 0, "held_out_loss": 6.0}]
    records += [{"step": i, "loss": 6.0 - i} for i in (1, 2)]
    s.run.metrics.write_text("".join(json.dumps(r) + "\n" for r in records))
    dashboard = Dashboard(s)
    assert dashboard.losses == [(1, 5.0), (2, 4.0)]
    assert dashboard.held_out == [(0, 6.0)]


def test_long_runs_are_thinned(tmp_path: Path) -> None:
    dashboard = Dashboard(session(tmp_path))
    for i in range(1, 10_001):
        dashboard.on_step(report(i))
    assert 4096 <= len(dashboard.losses) <= 8192
    steps = [x for x, _ in dashboard.losses]
    assert steps == sorted(steps)
    assert steps[-1] == 10_000
    assert all(math.isclose(y, 5.0 - x / 10, abs_tol=0.2) for x, y in dashboard.losses)


def test_last_line_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with show_dashboard(session(tmp_path)) as on_step:
        on_step(report(7))
    assert "step 7/40  loss 4.300  5,120 tokens/s  0:04 left  2 skipped" in capsys.readouterr().out
