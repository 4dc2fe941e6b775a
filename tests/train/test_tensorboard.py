from __future__ import annotations

import importlib.util
import math
import struct
from pathlib import Path

import pytest

from pyane.errors import ConfigError
from pyane.train.optimizer import MicroBatch
from pyane.train.tensorboard import TensorBoardLog, check_installed
from pyane.train.trainer import StepReport


def report(step: int, held_out: float | None = None) -> StepReport:
    batch = MicroBatch(5.0, 0.02, {"t_ane": 0.004})
    return StepReport(
        step, 5.0 - step, held_out, 1e-3, math.inf, 64.0, 1, 9, 0.1, micro_batches=(batch, batch)
    )


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Points by curve, read from the event file's own framing (TFRecord) and protobuf messages."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    result: dict[str, list[tuple[int, float]]] = {}
    (file,) = folder.iterdir()
    data = file.read_bytes()
    while data:
        (n,) = struct.unpack_from("<Q", data)
        event = event_pb2.Event.FromString(data[12 : 12 + n])
        data = data[12 + n + 4 :]
        for value in event.summary.value:
            result.setdefault(value.tag, []).append((event.step, value.simple_value))
    return result


def test_curves(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    log = TensorBoardLog(tmp_path / "logs", 0)
    log.on_step(StepReport(0, math.nan, 6.0, 0.0, math.nan, 64.0, 0, 0, 0.5))
    for i in (1, 2):
        log.on_step(report(i, 3.0 if i == 2 else None))
    log.close()
    log.close()
    curves = scalars(tmp_path / "logs")
    assert curves["loss/training"] == [(1, 4.0), (2, 3.0)]
    assert curves["loss/held_out"] == [(0, 6.0), (2, 3.0)]
    assert curves["optimizer/learning_rate"] == [(1, pytest.approx(1e-3)), (2, pytest.approx(1e-3))]
    assert curves["optimizer/skipped_steps"] == [(0, 0), (1, 1), (2, 1)]
    assert curves["time/t_ane_ms"] == [(1, pytest.approx(8.0)), (2, pytest.approx(8.0))]
    assert curves["time/ms_per_step"] == [(1, pytest.approx(100.0)), (2, pytest.approx(100.0))]
    assert "optimizer/gradient_norm" not in curves  # infinite, as in a skipped step


def test_package_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"needs the package tensorboardX: pip install .pyane"):
        check_installed()
