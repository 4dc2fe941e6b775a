from __future__ import annotations

import pytest

from pyane.train import stopwatch
from pyane.train.stopwatch import Stopwatch


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Its last number is the time."""
    now = [100.0]
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: now[-1])
    return now


def test_inner_parts_count_once(clock: list[float]) -> None:
    watch = Stopwatch()
    with watch.part("train"):
        clock.append(101.0)
        with watch.part("evaluate"):
            clock.append(103.0)
            watch.move("compile", 0.5)
        clock.append(107.0)
        watch.move("compile", 1.0)
    with watch.part("train"):
        clock.append(117.0)
    assert watch.take() == {"train": 14.0, "evaluate": 1.5, "compile": 1.5}
    assert watch.take() == {}


def test_time_counts_when_something_is_raised(clock: list[float]) -> None:
    watch = Stopwatch()

    def fail() -> None:
        with watch.part("train"):
            clock.append(102.0)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with watch.part("save"):
        clock.append(103.0)
    assert watch.take() == {"train": 2.0, "save": 1.0}
