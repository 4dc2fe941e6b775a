from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pyane.train.plot import plot_loss

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
